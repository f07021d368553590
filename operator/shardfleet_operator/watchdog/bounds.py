"""From when on a finding's age counts: the bound on a transfer's life begins at the last fault's end. Pure.

Two faults can be told from Redis alone. Nothing answers the watchdog for a while: then no shard could do anything
either, and afterwards each repeats its scripts. Or a shard loses its lease and renews it under the same epoch: it was
stopped, and woke up. A shard that died and came back under another epoch is no such fault: starting it again in time
is the fleet's own task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .judge import ManifestSummary

SILENCE_US = 1_000_000
"""An audit that comes so much later than its interval was not answered in time."""
MAX_FAULTS = 1_000
"""Remembered; the oldest go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A time in which transfers may be unable to end, in Unix microseconds. ``shard``: "" where it is everybody's."""

    shard: str
    since_us: int
    until_us: int


def counted_age_us(switch_us: int, seen_us: int, faults: Iterable[Fault], bound_us: int) -> int:
    """How long a transfer has stood since its switch, or since the last fault's end, in microseconds.

    Args:
        switch_us: its switch time.
        seen_us: when it was last seen to stand.
        faults: those that concern it, by their beginning.
        bound_us: how long it may stand. What stood longer before a fault began is not excused by it.
    """
    counts_from_us = switch_us
    for fault in faults:
        if fault.since_us > min(seen_us, counts_from_us + bound_us):
            break
        counts_from_us = max(counts_from_us, fault.until_us)
    return max(0, seen_us - counts_from_us)


class FaultBook:
    """What the watchdog's own reads tell of faults.

    Args:
        interval_us: between two audits.
        lease_us: a lease's length: once Redis answers again, each shard renews its own within it, and repeats
            the scripts that were not answered.
        threshold_us: a transfer is judged this long after its switch; after a silence as well.
    """

    def __init__(self, *, interval_us: int, lease_us: int, threshold_us: int) -> None:
        self._longest_us = interval_us + SILENCE_US
        self._lease_us = lease_us
        self._aftermath_us = lease_us + threshold_us
        self._faults: deque[Fault] = deque(maxlen=MAX_FAULTS)
        self._answered_us: int | None = None
        self._refused = False
        self._lapsed: dict[str, tuple[int, int]] = {}
        """Shard -> (its epoch, when its lease may have been renewed for the last time)."""
        self._stood_us = 0

    def wants_leases(self, now_us: int, *, standing: bool) -> bool:
        """Whether leases are to be read: while transfers stand, and for a lease longer where one has run out."""
        if standing:
            self._stood_us = now_us
        elif now_us - self._stood_us > self._lease_us:
            self._lapsed.clear()
        return standing or bool(self._lapsed)

    def concerning(self, *shards: str) -> list[Fault]:
        """Faults of any of ``shards`` and of all, by their beginning."""
        mine = (fault for fault in self._faults if fault.shard in ("", *shards))
        return sorted(mine, key=lambda fault: fault.since_us)

    def unanswered(self) -> None:
        """An audit failed for want of an answer."""
        self._refused = True

    def answered(self, now_us: int) -> None:
        """An audit has all its answers."""
        before_us, self._answered_us = self._answered_us, now_us
        silent = self._refused or (before_us is not None and now_us - before_us > self._longest_us)
        self._refused = False
        if silent:
            since_us = now_us if before_us is None else before_us
            self._faults.append(Fault(shard="", since_us=since_us, until_us=now_us + self._aftermath_us))

    def take_leases(self, manifests: Mapping[str, ManifestSummary], now_us: int) -> None:
        """Which shards hold a lease, as of now."""
        for shard, summary in manifests.items():
            epoch, since_us = self._lapsed.get(shard, (summary.current_epoch, now_us - self._lease_us))
            if not summary.living and summary.epoch == summary.current_epoch == epoch:
                self._lapsed[shard] = (epoch, since_us)
            elif self._lapsed.pop(shard, None) is not None and summary.living and epoch == summary.current_epoch:
                self._faults.append(Fault(shard=shard, since_us=since_us, until_us=now_us))
