"""``shardfleet local status``: a running fleet as another process sees it, by its folder and its Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.errors import DataFolderError
from shardfleet_shard.store.redis_store import PATIENT_TIMEOUT_S, RedisStore
from shardfleet_shard.system_clock import SystemClock

from .figures import Figures, FleetView, ShardProcess
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
        return view_text(f"{self.fleet} (pid {self.pid}{settling})", self.view, self.seconds)


def view_text(head: str, view: FleetView, seconds: float) -> str:
    """A fleet for a person: a line, the table of its shards, and what their simulations raise."""
    faults = "".join(f"\n{line.shard}: {line.error}" for line in view.shards if line.is_failing)
    return f"{head}: {to_line(view, seconds).strip()}\n{to_plain_table(view)}{faults}"


async def read_status(folder: DataFolder) -> Status:
    """Looks twice, half a second apart.

    Raises:
        DataFolderError: the folder's fleet does not run, or is only about to.
        StoreUnavailable: its Redis does not answer.
    """
    fleet = folder.running_fleet()
    clock = SystemClock()
    store = RedisStore(fleet.redis_url, fleet.fleet, timeout_s=PATIENT_TIMEOUT_S)
    world = World(store, _config(folder), clock, owned=False)
    try:
        await store.connect()
        phase, view = await read_view(world, folder.read_processes)
    finally:
        await store.close()
    return Status(
        fleet=fleet.fleet,
        pid=fleet.pid,
        seconds=(clock.now_unix_us() - fleet.started_unix_us) / 1_000_000,
        phase=phase,
        view=view,
    )


async def read_view(world: World, processes: Callable[[], Sequence[ShardProcess]]) -> tuple[str, FleetView]:
    """(phase, view) of a fleet with ``processes``, which are looked at last. Looks twice, half a second apart.

    Shards without a cell, which are about to come or go, are shown after the others.

    Raises:
        StoreUnavailable: no answer.
    """
    figures = Figures()
    observed = await world.observe()
    layout = layout_of(observed)
    shards = list(layout.shards) if layout is not None else []
    figures.take_counters(await world.admin.counters(), world.clock.now_unix_us())
    await asyncio.sleep(RATE_S)
    running = processes()
    shards += _beside(shards, running)
    figures.take_headers(await world.headers(shards))
    figures.take_counters(await world.admin.counters(), world.clock.now_unix_us())
    return observed.phase, figures.view(shards, running)


def _beside(shards: Sequence[str], processes: Iterable[ShardProcess]) -> list[str]:
    return [process.shard for process in processes if process.running and process.shard not in shards]


def _config(folder: DataFolder) -> FleetConfig:
    try:
        return FleetConfig.from_json(folder.config.read_text())
    except OSError as error:
        raise DataFolderError(f"{folder.config}: cannot be read ({error.strerror})") from error
