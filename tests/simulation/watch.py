"""The production watchdog and census beside a simulated fleet: they read the simulated Redis, on virtual time.

An audit is over in no time. A census is not: its reads and its repairs are under way like any request, and each shard
is read at a moment of its own, as in a fleet of more shards than one pipeline reads.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from shardfleet_operator.census import Census, census
from shardfleet_operator.watchdog import Finding, ManifestSummary, Watchdog
from shardfleet_operator.watchdog.audit import AUDIT_INTERVAL_US, CENSUS_DUTY, CENSUS_INTERVAL_US, rest_us
from shardfleet_operator.watchdog.repairs import AnyRepair
from shardfleet_shard.core.journal_requests import ShardRecord
from shardfleet_shard.core.repair_requests import Repair
from shardfleet_shard.core.requests import Done, Outcome
from shardfleet_shard.core.takeover_requests import is_alias
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.errors import StoreError, StoreUnavailable

from .clocks import HostClock, ProcessClock
from .redis import TIMEOUT_US

if TYPE_CHECKING:
    from .fleet import Fleet

T = TypeVar("T")

GAPS_US = (500, 3_000, 10_000, 10_000, 60_000, 250_000)
"""At the most between the readings of two shards, one drawn for each census: mostly quick, now and then as of a fleet
so large that what is restored by such a reading, and nobody looks again, has moved on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """``watchdog.OpenTransfer``."""

    id: TransferId
    source: str
    target: str
    state: str
    transfer_time_us: int
    switch_tick: int
    count: int
    holders: frozenset[str]


@dataclass(frozen=True, slots=True)
class Pause:
    """Awaited on virtual time, by what ``drive`` runs."""

    us: int

    def __await__(self) -> Generator[int]:
        yield self.us


class Reader:
    """``watchdog.WatchdogStore`` on the simulated Redis."""

    def __init__(self, fleet: Fleet, draws: random.Random) -> None:
        self._fleet = fleet
        self._draws = draws

    def _state(self) -> Any:
        if self._fleet.redis.gone:
            raise StoreUnavailable("no answer")
        store = self._fleet.redis.store
        store.state.expire(store._now_ms())
        return store.state

    async def open_transfers(self, before_us: int) -> Sequence[Open]:
        return [
            Open(
                id=transfer, source=transfer.source, target=record.target, state=record.state,
                transfer_time_us=record.begun.transfer_time_us, switch_tick=record.begun.switch_tick,
                count=record.begun.count, holders=frozenset(record.holders),
            )
            for transfer, record in self._state().records.items()
            if record.begun.transfer_time_us < before_us
        ]  # fmt: skip

    async def manifest_summaries(self) -> Mapping[str, ManifestSummary]:
        state = self._state()
        return {
            shard: ManifestSummary(
                shard=shard, epoch=manifest.epoch, current_epoch=state.epochs[shard], tick=manifest.tick,
                unix_us=self._fleet.grid.start_us(manifest.tick), living=state.is_living((shard, state.epochs[shard])),
            )
            for shard, manifest in state.manifests.items()
            if not is_alias(shard)
        }  # fmt: skip

    async def records_and_living(self) -> tuple[Sequence[ShardRecord], Any]:
        """As ``StoreReader`` does it: the shards' names, the shards, the registry, one after the other."""
        gap_us = self._draws.choice(GAPS_US)
        await self._on_the_way()
        names = sorted(self._fleet.redis.store.state.epochs)
        await self._on_the_way(2)
        records = []
        for name in names:
            await self._passing(self._draws.randrange(gap_us))
            records.append(self._fleet.redis.store.state.record(name))
        await self._on_the_way(2)
        living = np.array(sorted(self._fleet.redis.store.state.living), np.uint64)
        await self._on_the_way()
        return records, living

    async def repair(self, request: AnyRepair) -> Outcome | None:
        if isinstance(request, Repair):
            self._state()
            return self._executed(request, self._fleet.redis.store.run_id)
        generation = self._fleet.redis.store.run_id
        await self._on_the_way()
        outcome = self._executed(request, generation)
        await self._on_the_way()
        return outcome

    def _executed(self, request: AnyRepair, generation: str) -> Outcome | None:
        reply = self._fleet.redis.ask(request, generation=generation)
        self._fleet.judge.executed(request, reply)
        return reply.outcome if isinstance(reply, Done) else None

    async def _on_the_way(self, times: int = 1) -> None:
        """To Redis or back, or several times. As slow and as late as a shard's requests may be while they are."""
        windows = self._fleet.redis.windows
        delay_us = sum(self._draws.randint(200, 3_000) for _ in range(times))
        if windows.is_open("redis slow") and self._draws.random() < 0.3:
            delay_us += self._draws.randint(5_000, 900_000)
        if windows.is_open("request very late") and self._draws.random() < 0.1:
            delay_us += self._draws.randint(500_000, 4_000_000)
        await self._passing(delay_us)

    async def _passing(self, delay_us: int) -> None:
        await Pause(delay_us)
        if self._fleet.redis.gone:
            await Pause(TIMEOUT_US)
            raise StoreUnavailable("no answer")


class Watch:
    """Audits and counts on the production intervals from the run's beginning to its end."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        draws = random.Random(f"{fleet.seed} census")
        self._clock = ProcessClock(fleet, HostClock(drift_ppm=0, wall_offset_us=0))
        self.watchdog = Watchdog(
            Reader(fleet, draws),
            self._clock,
            threshold_us=fleet.config.discrepancy_threshold_us,
            lease_us=fleet.config.lease_us,
            on_news=self._news,
            say=self._say,
            aside=here,
        )
        fleet.at(fleet.now_us + AUDIT_INTERVAL_US, self._audit)
        drive(fleet, self._count(draws.randrange(CENSUS_INTERVAL_US)))

    def _news(self, finding: Finding) -> None:
        self._fleet.note("finding", str(finding.verdict.kind), str(finding.verdict.transfer))

    def _say(self, words: str) -> None:
        self._fleet.note("finding", words)

    def _audit(self) -> None:
        self._fleet.at(self._fleet.now_us + AUDIT_INTERVAL_US, self._audit)
        try:
            at_once(self.watchdog.audit_once())
        except StoreError:
            self._fleet.note("finding", "Redis does not answer")

    async def _count(self, first_us: int) -> None:
        """As ``Watchdog.run`` does it, but that an error ends the run."""
        await Pause(first_us)
        while True:
            started_us, answered = self._clock.now_unix_us(), True
            try:
                self._judge(await self.watchdog.census_once())
            except StoreUnavailable:
                answered = False
            took_us = self._clock.now_unix_us() - started_us
            await Pause(rest_us(CENSUS_INTERVAL_US, took_us, duty=CENSUS_DUTY, answered=answered))

    def _judge(self, confirmed: Census) -> None:
        assert not self._fleet.plan.calm or is_clean(confirmed), f"watchdog: false findings: {in_words(confirmed)}"

    def check_end(self) -> None:
        """Raises ``AssertionError`` for a finding that still stands, or for any where nothing was wrong."""
        standing = [str(finding) for finding in self.watchdog.book.standing.values()]
        assert not standing, f"watchdog: {standing}"
        assert not (self._fleet.plan.calm and self.watchdog.book.total), (
            f"watchdog: {self.watchdog.book.total} false findings, first: {self.watchdog.book.findings[0]}"
        )
        # The last census may be older than what ended its findings. This one is of one moment, and so it is exact.
        state = self._fleet.redis.store.state
        now = census([state.record(shard) for shard in sorted(state.epochs)], sorted(state.living), self._fleet.now_us)
        assert is_clean(now) and not len(now.strays), f"watchdog: {in_words(now)}, strays {now.strays.tolist()}"


def is_clean(counted: Census) -> bool:
    return not len(counted.missing) and not len(counted.doubled)


def in_words(counted: Census) -> str:
    return f"census: missing {counted.missing.tolist()}, doubled {counted.doubled.tolist()}"


async def here(call: Callable[..., T], *arguments: Any, **more: Any) -> T:
    """In place of ``asyncio.to_thread``: computing takes no time."""
    return call(*arguments, **more)


def drive(fleet: Fleet, coroutine: Coroutine[int, None, None]) -> None:
    """Runs on virtual time what awaits nothing but ``Pause``; what it raises ends the run."""

    def go_on() -> None:
        try:
            pause_us = coroutine.send(None)
        except StopIteration:
            return
        fleet.at(fleet.now_us + pause_us, go_on)

    go_on()


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise AssertionError("the watchdog waits for something that is not there on virtual time")
