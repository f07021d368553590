"""``shardfleet local status``: a running fleet as another process sees it, by its folder and its Redis."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.errors import DataFolderError
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.system_clock import SystemClock

from .figures import Figures, FleetView
from .folder import DataFolder
from .table import to_line, to_plain_table
from .world import World, layout_of

RATE_S = 0.5
"""Between two looks, which give the rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """``seconds``: since the supervisor started. The view's handoffs are all of the world's life."""

    fleet: str
    pid: int
    seconds: float
    phase: str
    view: FleetView

    def to_dict(self) -> dict[str, Any]:
        return {
            "fleet": self.fleet,
            "running": True,
            "pid": self.pid,
            "phase": self.phase,
            "seconds": round(self.seconds, 1),
            **self.view.to_dict(),
        }

    def to_text(self) -> str:
        settling = ", settling" if self.phase == "settle" else ""
        head = f"{self.fleet} (pid {self.pid}{settling})"
        faults = "".join(f"\n{line.shard}: {line.error}" for line in self.view.shards if line.is_failing)
        return f"{head}: {to_line(self.view, self.seconds).strip()}\n{to_plain_table(self.view)}{faults}"


async def read_status(folder: DataFolder) -> Status:
    """Looks twice, half a second apart.

    Raises:
        DataFolderError: the folder's fleet does not run, or is only about to.
        StoreUnavailable: its Redis does not answer.
    """
    fleet = folder.running_fleet()
    clock, figures = SystemClock(), Figures()
    store = RedisStore(fleet.redis_url, fleet.fleet)
    world = World(store, _config(folder), clock, owned=False)
    try:
        await store.connect()
        observed = await world.observe()
        layout = layout_of(observed)
        shards = layout.shards if layout is not None else []
        figures.take_counters(await world.admin.counters(), clock.now_unix_us())
        await asyncio.sleep(RATE_S)
        figures.take_headers(await world.headers(shards))
        figures.take_counters(await world.admin.counters(), clock.now_unix_us())
    finally:
        await store.close()
    return Status(
        fleet=fleet.fleet,
        pid=fleet.pid,
        seconds=(clock.now_unix_us() - fleet.started_unix_us) / 1_000_000,
        phase=observed.phase,
        view=figures.view(shards, folder.read_processes()),
    )


def _config(folder: DataFolder) -> FleetConfig:
    try:
        return FleetConfig.from_json(folder.config.read_text())
    except OSError as error:
        raise DataFolderError(f"{folder.config}: cannot be read ({error.strerror})") from error
