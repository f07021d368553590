"""OwnershipElection: which shard owns the entity stream (seed and arrivals).

Redis decides, in one script (``Elect``); this side only knows when to look again: at an interval, when the holder
is gone, and after a handoff that involves it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .requests import Elected, Member


def choose(holder: tuple[str, int], members: Iterable[Member]) -> tuple[str, int]:
    """The rule that the script follows: a living holder keeps it, else the living shard of the lowest ordinal."""
    living = [member for member in members if member.living]
    if any((member.shard, member.epoch) == holder for member in living):
        return holder
    return min(((m.ordinal, m.shard, m.epoch) for m in living), default=(0, "", 0))[1:]


@dataclass(slots=True)
class OwnershipElection:
    """``ttl_us``: how long a holder keeps the key without renewing it: two intervals and a bit."""

    shard: str
    interval_us: int
    holder: str = ""
    holder_epoch: int = 0
    next_look_us: int = 0
    in_flight: bool = False

    @property
    def ttl_ms(self) -> int:
        return self.interval_us * 5 // 2 // 1000

    def owns_stream(self, epoch: int) -> bool:
        return (self.holder, self.holder_epoch) == (self.shard, epoch)

    def look_due(self, now_us: int) -> bool:
        return not self.in_flight and now_us >= self.next_look_us

    def look_soon(self, now_us: int) -> None:
        """Something changed: look at the next chance."""
        self.next_look_us = min(self.next_look_us, now_us)

    def sent(self) -> None:
        self.in_flight = True

    def answered(self, elected: Elected | None, now_us: int) -> None:
        self.in_flight = False
        self.next_look_us = now_us + (self.interval_us if elected and elected.shard else self.interval_us // 8)
        if elected is not None:
            self.holder, self.holder_epoch = elected.shard, elected.epoch
