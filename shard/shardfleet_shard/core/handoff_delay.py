"""HandoffDelay: how far ahead the switch is agreed on, longer for a while after answers that came late."""

from __future__ import annotations

from collections import deque

from .ticks import MICROSECONDS

REMEMBER_US = 30 * MICROSECONDS
"""How long a late answer counts: what slows Redis down (a disk shared with pods that start) comes again and again."""
LONGEST_US = 1 * MICROSECONDS
"""Beyond the fleet's own delay at most this: a row may stand so far beyond the border when it goes. An answer that took
longer was none at first: Redis was away, or this shard was stopped, and no such delay would have been enough."""
HEADROOM = 1.25


class HandoffDelay:
    """The fleet's ``handoff.delay`` as the least, and what late answers have shown to be needed.

    An answer in time teaches nothing, so a fleet whose Redis keeps up has exactly the delay that it asks for. One
    that came after the deadline left its rows in doubt, frozen if their switch came first: for ``REMEMBER_US`` the
    switches are then agreed on so far ahead that an answer as late as the latest of them is in time.
    """

    def __init__(self, least_us: int, guard_us: int) -> None:
        self.least_us = least_us
        self._guard_us = guard_us
        self._late: deque[tuple[int, int]] = deque()
        """(Unix us when it was learned, its latency), latencies falling: the first is the longest that counts."""
        self._outage_until_us = -LONGEST_US

    def learn_late(self, latency_us: int, now_us: int) -> None:
        """An answer that came after its transfer's deadline, ``latency_us`` after BEGIN.

        An outage teaches nothing, nor does any answer that waited for its end, however short: what was asked in its
        last second comes late with the rest.
        """
        waits_since_us = now_us - latency_us
        if latency_us > LONGEST_US:
            self._outage_until_us = max(self._outage_until_us, now_us)
            while self._late and self._late[-1][0] >= waits_since_us:
                self._late.pop()  # shorter ones of before that it outdid are gone with it: the next that comes counts
            return
        if waits_since_us < self._outage_until_us:
            return
        while self._late and self._late[-1][1] <= latency_us:
            self._late.pop()
        self._late.append((now_us, latency_us))

    def at(self, now_us: int) -> int:
        """Microseconds from now to the switch of a transfer that begins now."""
        while self._late and self._late[0][0] + REMEMBER_US <= now_us:
            self._late.popleft()
        if not self._late:
            return self.least_us
        needed_us = int(self._late[0][1] * HEADROOM) + self._guard_us
        return max(self.least_us, min(needed_us, LONGEST_US))
