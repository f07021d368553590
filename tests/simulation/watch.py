"""The production watchdog beside a simulated fleet: it reads the simulated Redis, on virtual time."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from shardfleet_operator.watchdog import Finding, ManifestSummary, Watchdog
from shardfleet_operator.watchdog.audit import AUDIT_INTERVAL_US
from shardfleet_operator.watchdog.repairs import AnyRepair
from shardfleet_shard.core.journal_requests import ReadFleet, ShardRecord
from shardfleet_shard.core.requests import Done, Outcome
from shardfleet_shard.core.takeover_requests import is_alias
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.errors import StoreError, StoreUnavailable

from .clocks import HostClock, ProcessClock

if TYPE_CHECKING:
    from .fleet import Fleet

T = TypeVar("T")


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


class Reader:
    """``watchdog.WatchdogStore`` on the simulated Redis."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

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
        state = self._state()
        records = self._fleet.redis.ask(ReadFleet()).records  # type: ignore[union-attr]
        return records, np.array(sorted(state.living), np.uint64)

    async def repair(self, request: AnyRepair) -> Outcome | None:
        self._state()
        reply = self._fleet.redis.ask(request)
        return reply.outcome if isinstance(reply, Done) else None


class Watch:
    """Audits on the production interval from the run's beginning to its end."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.watchdog = Watchdog(
            Reader(fleet),
            ProcessClock(fleet, HostClock(drift_ppm=0, wall_offset_us=0)),
            threshold_us=fleet.config.discrepancy_threshold_us,
            lease_us=fleet.config.lease_us,
            census_interval_us=0,
            on_news=self._news,
        )
        fleet.at(fleet.now_us + AUDIT_INTERVAL_US, self._audit)

    def _news(self, finding: Finding) -> None:
        self._fleet.note("finding", str(finding.verdict.kind), str(finding.verdict.transfer))

    def _audit(self) -> None:
        self._fleet.at(self._fleet.now_us + AUDIT_INTERVAL_US, self._audit)
        try:
            at_once(self.watchdog.audit_once())
        except StoreError:
            self._fleet.note("finding", "Redis does not answer")

    def check_end(self) -> None:
        """Raises ``AssertionError`` for a finding that still stands, or for any where nothing was wrong."""
        standing = [str(finding) for finding in self.watchdog.book.standing.values()]
        assert not standing, f"watchdog: {standing}"
        assert not (self._fleet.plan.calm and self.watchdog.book.total), (
            f"watchdog: {self.watchdog.book.total} false findings, first: {self.watchdog.book.findings[0]}"
        )


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise AssertionError("the watchdog waits for something that is not there on virtual time")
