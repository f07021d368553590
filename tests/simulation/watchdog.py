"""The watchdog on virtual time: the production judge, book and rule of repairs, on the model of Redis.

Each step (the reading, every repair) comes to Redis on its own, as late as the network makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shardfleet_operator.watchdog import (
    HANDOFF_DISCREPANCY_THRESHOLD_US,
    FindingBook,
    ManifestSummary,
    RecoveryBook,
    is_repairable,
    judge,
)
from shardfleet_shard.core.repair_requests import Repair
from shardfleet_shard.core.requests import Done, Observe, Outcome
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.store.memory_state import Record

if TYPE_CHECKING:
    from .cluster import Cluster

INTERVAL_US = 250_000


@dataclass(frozen=True)
class Seen:
    """A record as it was read (``judge.OpenTransfer``)."""

    id: TransferId
    target: str
    state: str
    transfer_time_us: int
    switch_tick: int
    count: int
    holders: frozenset[str]

    @property
    def source(self) -> str:
        return self.id.source

    @classmethod
    def of(cls, record: Record) -> Seen:
        begun = record.begun
        return cls(
            id=begun.transfer,
            target=record.target,
            state=record.state,
            transfer_time_us=begun.transfer_time_us,
            switch_tick=begun.switch_tick,
            count=begun.count,
            holders=frozenset(record.holders),
        )


class SimulatedWatchdog:
    """Audits ``cluster`` from its making on.

    Args:
        latest_us: how long an answer or a repair may be under way.
    """

    def __init__(self, cluster: Cluster, *, latest_us: int = 5_000) -> None:
        self.cluster = cluster
        self.latest_us = latest_us
        self.book = FindingBook()
        self.recovery = RecoveryBook(cluster.config.lease_us)
        self.repaired = 0
        cluster.at(cluster.now_us + cluster.random.randrange(INTERVAL_US), self._audit)

    def _audit(self) -> None:
        cluster, now_us = self.cluster, self.cluster.now_us
        through_us = now_us - HANDOFF_DISCREPANCY_THRESHOLD_US
        records = cluster.store.state.records.values()
        seen = [Seen.of(record) for record in records if record.begun.transfer_time_us < through_us]
        manifests = self._manifests()
        cluster.at(now_us + cluster.random.randint(200, self.latest_us), lambda: self._judge(seen, manifests, now_us))
        cluster.at(now_us + INTERVAL_US, self._audit)

    def _judge(self, seen: list[Seen], manifests: Mapping[str, ManifestSummary], now_us: int) -> None:
        for finding in self.book.take(judge(seen, manifests, now_us), now_us):
            self.cluster.note("finding", str(finding))
        standing = [finding.verdict for _, finding in sorted(self.book.standing.items())]
        self.recovery.take(standing, manifests, now_us)
        for verdict in filter(is_repairable, standing):
            delay_us = self.cluster.random.randint(200, self.latest_us)
            self.cluster.at(self.cluster.now_us + delay_us, lambda transfer=verdict.transfer: self._repair(transfer))

    def _repair(self, transfer: TransferId) -> None:
        before = transfer in self.cluster.store.state.records
        reply = self.cluster.store.execute(Repair(transfer=transfer), generation=self.cluster.store.run_id)
        self.cluster.note("repair", str(transfer), reply)
        if before and isinstance(reply, Done) and reply.outcome in (Outcome.CANCELED, Outcome.CLEARED):
            self.repaired += 1

    def _manifests(self) -> dict[str, ManifestSummary]:
        state = self.cluster.store.state
        self.cluster.store.execute(Observe(), generation="")  # leases that have run out go
        return {
            shard: ManifestSummary(
                shard=shard,
                epoch=manifest.epoch,
                current_epoch=state.epochs[shard],
                tick=manifest.tick,
                unix_us=0,
                living=state.is_living((shard, state.epochs[shard])),
            )
            for shard, manifest in state.manifests.items()
        }
