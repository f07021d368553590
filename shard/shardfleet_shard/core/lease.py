"""Lease: self-fencing. A shard may simulate only while its own count says that its lease stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Lease:
    """``ttl_us`` counts from *before* a renewal was sent, on a clock that counts suspension too."""

    ttl_us: int
    outlives_outage: bool = False
    """``redisOutagePolicy: Continue``: stands for as long as Redis gives no answer at all. Safe only while nothing
    replaces a shard."""
    valid_until_us: int = 0
    next_renewal_us: int = 0
    in_flight: bool = False
    unanswered: bool = False
    """The last renewal got no answer."""

    def held(self, boottime_us: int) -> bool:
        if self.outlives_outage and self.unanswered and self.valid_until_us:
            return True
        return boottime_us < self.valid_until_us

    def renewal_due(self, boottime_us: int) -> bool:
        return not self.in_flight and boottime_us >= self.next_renewal_us

    def sent(self) -> None:
        self.in_flight = True

    def renewed(self, sent_boottime_us: int) -> None:
        """Redis set it after ``sent_boottime_us``, so it stands there at least as long as here."""
        self.in_flight = self.unanswered = False
        self.valid_until_us = max(self.valid_until_us, sent_boottime_us + self.ttl_us)
        self.next_renewal_us = sent_boottime_us + self.ttl_us // 3

    def failed(self, boottime_us: int, *, retry_us: int, unanswered: bool) -> None:
        """Refused, or ``unanswered``: nobody knows whether Redis set it."""
        self.in_flight = False
        self.unanswered = unanswered
        self.next_renewal_us = boottime_us + retry_us
