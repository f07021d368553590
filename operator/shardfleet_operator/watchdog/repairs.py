"""What ends a finding: which repair, or whose recovery. Pure.

A repair is one script (store/scripts/repair.lua), a compare-and-set on what is in Redis by then: a slow watchdog, or
two of them, do no harm. An accepted transfer is never undone. Where its end needs the rows of a shard that is gone,
that shard's recovery is asked for; a living shard reads its own overdue records and does its last step again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shardfleet_shard.core.census_requests import RemoveCopy, RestoreEntity
from shardfleet_shard.core.repair_requests import Repair

from .judge import STARTED, ManifestSummary, Verdict, VerdictKind

AnyRepair = Repair | RestoreEntity | RemoveCopy


def census_words(request: RestoreEntity | RemoveCopy) -> str:
    """What was done, for people."""
    if isinstance(request, RestoreEntity):
        return f"entity {request.entity} is restored to {request.owner}, as of tick {request.offer_tick}"
    return f"the copy of entity {request.entity} in {request.shard} is taken away: it is {request.owner}'s"


def is_repairable(verdict: Verdict) -> bool:
    """Whether it ends without anybody's rows: still started, or done and only its record left."""
    match verdict.kind:
        case VerdictKind.CLEAR_DUE:
            return True
        case VerdictKind.STALLED_TRANSFER:
            return verdict.state == STARTED
        case VerdictKind.LIMBO | VerdictKind.DUAL_AUTHORITY:
            return False


def waits_for(verdict: Verdict) -> tuple[str, ...]:
    """The shards whose last step is missing; () where a repair ends it, or nobody can."""
    if is_repairable(verdict) or not set(verdict.holders) <= {verdict.source, verdict.target}:
        return ()
    match verdict.kind:
        case VerdictKind.LIMBO:
            return (verdict.target,)
        case VerdictKind.DUAL_AUTHORITY:
            return (verdict.source,)
        case _:
            return (verdict.source, verdict.target)


@dataclass(slots=True)
class RecoveryBook:
    """Whose recovery is asked for: a finding waits for it, and it has had no lease for a lease's length.

    A shard that is just starting has none either, and neither has anybody right after an outage of Redis.
    """

    lease_us: int
    wanted: frozenset[str] = frozenset()
    _without: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Shard -> (its newest epoch, since when it was seen without that epoch's lease)."""

    def take(
        self, verdicts: Iterable[Verdict], manifests: Mapping[str, ManifestSummary], now_us: int
    ) -> frozenset[str]:
        """One audit's standing verdicts. Returns the shards that are newly wanted."""
        before, without, wanted = self.wanted, dict[str, tuple[int, int]](), set[str]()
        for shard in sorted({shard for verdict in verdicts for shard in waits_for(verdict)}):
            summary = manifests.get(shard)
            if summary is None or summary.living:
                continue
            epoch, since_us = self._without.get(shard, (summary.current_epoch, now_us))
            if epoch != summary.current_epoch:
                epoch, since_us = summary.current_epoch, now_us
            without[shard] = (epoch, since_us)
            if now_us - since_us >= self.lease_us:
                wanted.add(shard)
        self._without, self.wanted = without, frozenset(wanted)
        return self.wanted - before
