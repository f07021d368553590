"""A fleet's world in Redis, from the supervisor's side: taking it up, following it, counting it at the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.clock import Clock
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.manifest import AuthorityManifest
from shardfleet_shard.core.requests import Done, Ended, Observe, Observed, Refused, Reopen
from shardfleet_shard.core.roll_requests import MIN_CALL_MS, CallRoll, Rolled, RollPhase
from shardfleet_shard.core.stream import LEAD_TICKS
from shardfleet_shard.core.ticks import TickGrid, WorldTime
from shardfleet_shard.errors import DataFolderError, SchemaChanged, StoreUnavailable, UsageError
from shardfleet_shard.simulations.registry import reader_for
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.handoff_transfer_manifest import HandoffTransferManifest
from shardfleet_shard.store.redis_store import RedisStore

from ..census import Census, census
from ..plan import Desired, check_resume
from ..watchdog.store import RepairingStore
from .report import Process

Say = Callable[[str], None]

LEASE_PATIENCE = 1.5
"""Leases of processes that are gone are waited for so many times their length; what still has one then is alive."""

UNPUBLISHED_US = 10_000_000
"""More than a shard lives on after its last manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What was there before this run: none of it counts as the run's."""

    processes: frozenset[Process]
    counters: Mapping[str, int]
    commands: int


class World:
    """One fleet in one Redis.

    Args:
        owned: this Redis belongs to the data folder, whose lock the supervisor holds, so that no process of the
            fleet can be alive but those that this supervisor starts.
    """

    def __init__(self, store: RedisStore, config: FleetConfig, clock: Clock, *, owned: bool) -> None:
        self.store = store
        self.config = config
        self.clock = clock
        self.owned = owned
        self.admin = FleetAdmin(store)
        self.transfers = HandoffTransferManifest(store)
        self.reader = RepairingStore(store)

    # --- taking it up ------------------------------------------------------------------------------------------

    async def take_up(self, *, resumed: bool, fresh: bool, stored: FleetConfig | None, say: Say) -> Baseline:
        """Checks Redis, makes sure that no shard of this fleet runs, and opens the world for this run.

        Args:
            resumed: the data folder says that its world goes on.
            fresh: remove what Redis has of this fleet.
            stored: the settings that the world was last run with, where they are known.
        Raises:
            StoreRefused: a Redis that cannot serve.
            UsageError: this fleet runs elsewhere, or its world is another folder's.
            DataFolderError: the stored world does not fit the file.
            SchemaChanged: its entities have other columns than the simulation.
            StoreUnavailable: no answer.
        """
        info = await self.store.connect()
        if not info.durable or info.appendfsync not in ("always", ""):
            say(
                f"warning: RedisNotDurable: {info.name} at {self.store.address} may forget what it answered; "
                "set appendonly yes and appendfsync always"
            )
        if await self.admin.exists():
            await self._wait_for_leases(say)
            if fresh:
                await self.admin.delete_fleet()
            elif not resumed:
                raise DataFolderError(
                    f"Redis at {self.store.address} holds a world of fleet {self.config.name!r} that is not this data "
                    "folder's; name that folder with --data, or use --fresh to start anew"
                )
        await self.reopen(_nothing if self.owned else say)  # a bundled Redis is a new process at each start
        await self._check_columns()
        check_resume(Desired(config=self.config), await self.admin.read_layout(), stored=stored)
        await self.admin.set_phase("run")
        headers = await self.headers(await self.admin.shards())
        if await self._continue_ticks([int(header["tick"]) for header in headers]):
            say(f"{self.config.name}: its world goes on where it stopped; --fresh would begin a new one")
        return Baseline(
            processes=frozenset((str(header["shard"]), int(header["epoch"])) for header in headers),
            counters=await self.admin.counters(),
            commands=await self.commands(),
        )

    async def _check_columns(self) -> None:
        """Whether the simulation can take the entities that are there. Raises ``SchemaChanged``."""
        name = self.config.simulation
        try:
            reader = reader_for(name, self.config.dimensions)
            await self.store.join(reader.schema, takes=reader.takes, simulation=name)
        except SchemaChanged as error:
            raise SchemaChanged(f"{error}, or start anew with --fresh") from error

    async def is_open(self) -> bool:
        """Whether no roll-call goes on. Begins one where Redis restarted; living shards do the rest.

        Raises:
            StoreUnavailable: no answer.
        """
        await self.store.join(founds=False)
        reply = await self._answer(CallRoll(call_ms=max(self.config.lease_us // 1_000, MIN_CALL_MS)))
        return isinstance(reply, Rolled) and reply.phase is RollPhase.OPEN

    async def reopen(self, say: Say) -> None:
        """After a restart of Redis, with no shard alive: the stored generation becomes the running one.

        Raises:
            UsageError: some process keeps its lease.
            StoreUnavailable: no answer.
        """
        joined = await self.store.join()
        if joined.stored == joined.generation:
            while not await self.is_open():  # noqa: ASYNC110 - left behind by a supervisor that was killed in it
                await asyncio.sleep(0.1)
            return
        if self.owned:
            await self.confirm_all_ended()
        patience_us = round(LEASE_PATIENCE * self.config.lease_us)
        deadline_us = self.clock.boottime_us() + patience_us
        while True:
            reply = await self._answer(Reopen())
            if isinstance(reply, Done):
                break
            if self.clock.boottime_us() > deadline_us:
                raise self._runs_elsewhere(reply.detail if isinstance(reply, Refused) else "")
            await asyncio.sleep(0.1)
        joined = await self.store.join()
        say(f"Redis is another process than before (generation {joined.generation[:8]}): the world goes on with it")

    async def _wait_for_leases(self, say: Say) -> None:
        """A supervisor that was killed took its shards along; their leases last a little longer."""
        if self.owned:
            await self.confirm_all_ended()
            return
        deadline_us = self.clock.boottime_us() + round(LEASE_PATIENCE * self.config.lease_us)
        said = False
        while living := [member.shard for member in (await self.observe()).members if member.living]:
            if self.clock.boottime_us() > deadline_us:
                raise self._runs_elsewhere(living[0])
            if not said:
                say(f"waiting for the lease of {', '.join(living)} to run out")
                said = True
            await asyncio.sleep(0.1)

    def _runs_elsewhere(self, shard: str) -> UsageError:
        return UsageError(
            f"{shard or 'a shard'} of fleet {self.config.name!r} runs already on Redis at {self.store.address}: "
            "end that fleet first, or give this one another metadata.name"
        )

    async def _continue_ticks(self, published: Sequence[int]) -> bool:
        """Moves the world's tick 0 up by its rest, if it had one. Returns whether there is a world already.

        Args:
            published: ticks of the last manifests.
        """
        observed = await self.observe()
        if not observed.seeded:
            return False
        await self._outlast_plans(max(published, default=-1))
        now_tick = TickGrid(self.config.tick_rate).at(self.clock.now_unix_us())
        if pause := WorldTime(observed.origin_tick, observed.rests).pause(published, now_tick):
            await self.admin.shift_origin(pause, from_tick=now_tick)
        return True

    async def _outlast_plans(self, last_tick: int) -> None:
        """Spawns and handoffs are written some ticks ahead; the world goes on only after all of these."""
        grid = TickGrid(self.config.tick_rate)
        ahead = max(LEAD_TICKS, grid.ticks_in(self.config.handoff_delay_us)) + 2
        surely_over = last_tick + grid.ticks_in(UNPUBLISHED_US) + ahead
        if grid.at(self.clock.now_unix_us()) <= surely_over:
            await asyncio.sleep(ahead * grid.dt)

    # --- following it ------------------------------------------------------------------------------------------

    async def observe(self) -> Observed:
        """Raises ``StoreUnavailable``."""
        reply = await self._answer(Observe())
        assert isinstance(reply, Observed)
        return reply

    async def headers(self, shards: Sequence[str]) -> list[dict[str, Any]]:
        """Headers of the last manifests of ``shards``; without those that never published, and damaged ones."""
        calls = [("HGET", f"{self.store.prefix}manifest:{shard}", "header") for shard in shards]
        texts = [text.decode("utf-8", "replace") for text in await self.store.call(calls) if text]
        return [json.loads(text) for text in texts if AuthorityManifest.from_stored(text, ())[0] is not None]

    async def commands(self) -> int:
        """Commands that this Redis has executed since it started, those inside scripts included."""
        return sum(stat.calls for stat in (await self.admin.commandstats()).values())

    async def confirm_ended(self, shard: str, epoch: int) -> None:
        """Tells Redis that the shard's process of ``epoch`` (0: whichever it was) has ended."""
        await self._answer(Ended(shard=shard, epoch=epoch))

    async def confirm_all_ended(self) -> None:
        for shard in await self.admin.shards():
            await self.confirm_ended(shard, 0)

    # --- its end -----------------------------------------------------------------------------------------------

    async def count(self) -> Census:
        """Counts entities; of one moment once no shard runs any more."""
        now_us = self.clock.now_unix_us()
        records, living = await self.reader.records_and_living()
        return await asyncio.to_thread(census, records, living, now_us)

    async def _answer(self, request: Ended | Observe | Reopen | CallRoll) -> Done | Refused | Observed | Rolled:
        (reply,) = await self.store.execute([request])
        if reply is None:
            raise StoreUnavailable(f"no answer from Redis at {self.store.address}: {self.store.last_error}")
        assert isinstance(reply, Done | Refused | Observed | Rolled)
        return reply


def _nothing(_: str) -> None:
    """Says nothing."""


def layout_of(observed: Observed) -> Layout | None:
    return Layout.from_json(observed.layout) if observed.layout else None


def all_claimed(observed: Observed) -> bool:
    """Whether every cell of the layout is claimed by a living shard: the fleet runs."""
    layout = layout_of(observed)
    living = {member.shard for member in observed.members if member.living}
    return (
        layout is not None
        and set(observed.claims) == set(layout.by_path)
        and all(shard in living for shard, _ in observed.claims.values())
    )
