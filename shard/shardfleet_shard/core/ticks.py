"""The fleet's tick grid, in integers only.

Tick ``k`` starts at Unix microsecond ``ceil(k * 1,000,000 / rate)``. Authority is split by tick number: the
source simulates ticks below the switch tick, the target the switch tick and those after it.
"""

from __future__ import annotations

from dataclasses import dataclass

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class TickGrid:
    """``rate``: ticks a second, a whole number of at least 1; it can't change while a fleet lives."""

    rate: int

    def start_us(self, tick: int) -> int:
        """Unix microsecond at which ``tick`` starts."""
        return -(-tick * MICROSECONDS // self.rate)

    def at(self, unix_us: int) -> int:
        """The tick that is running at ``unix_us``: the highest that has started."""
        return unix_us * self.rate // MICROSECONDS

    def switch_tick(self, transfer_time_us: int) -> int:
        """First tick of the target: ``ceil(transferTimeUs * rate / 1,000,000)``."""
        return -(-transfer_time_us * self.rate // MICROSECONDS)

    def ticks_in(self, duration_us: int) -> int:
        """Whole ticks that cover ``duration_us``, at least 1."""
        return max(1, -(-duration_us * self.rate // MICROSECONDS))

    @property
    def duration_us(self) -> float:
        return MICROSECONDS / self.rate

    @property
    def dt(self) -> float:
        """Seconds a tick, as ``Simulation.step`` gets it."""
        return 1.0 / self.rate
