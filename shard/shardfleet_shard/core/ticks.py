"""The fleet's tick grid, in integers only.

Tick ``k`` starts at Unix microsecond ``ceil(k * 1,000,000 / rate)``. Authority is split by tick number: the
source simulates ticks below the switch tick, the target the switch tick and those after it.
"""

from __future__ import annotations

from collections.abc import Iterable
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


@dataclass(frozen=True, slots=True)
class WorldTime:
    """Where the world's tick 0 lies on the grid. It moves up whenever a world that rested goes on.

    ``origin``: its grid tick now. ``rests``: (grid tick from which the world went on, origin until then), ascending.
    """

    origin: int = 0
    rests: tuple[tuple[int, int], ...] = ()

    def origin_at(self, tick: int) -> int:
        """The origin that was in force at grid tick ``tick``."""
        return next((origin for went_on, origin in self.rests if tick < went_on), self.origin)

    def world_tick(self, tick: int) -> int:
        """What grid tick ``tick`` was, or is, in the world's count."""
        return tick - self.origin_at(tick)

    def after_rests(self, tick: int) -> int:
        """The grid tick that by today's origin is the same world tick as ``tick`` was by its own."""
        return self.world_tick(tick) + self.origin

    def grid_tick(self, world_tick: int) -> int:
        """What to write down for ``world_tick``: the grid tick that every reader, now and later, takes for it.

        By today's origin a world tick of before the last rest would lie before the world went on, and be read as one
        of the origin until then. So it is written as what it was, by the origin of its own time.
        """
        for origin in (self.origin, *(until_then for _, until_then in reversed(self.rests))):
            if self.origin_at(origin + world_tick) == origin:
                return origin + world_tick
        return self.origin + world_tick

    def pause(self, published: Iterable[int], now_tick: int) -> int:
        """By how many ticks the origin moves up where a world that rested goes on at grid tick ``now_tick``.

        Its ticks go on after the last one that any manifest holds. What was simulated after that is not stored
        anywhere and is simulated again: those world ticks have not been.

        Args:
            published: grid ticks of the shards' last manifests.
        """
        reached = max(map(self.world_tick, published), default=-1)
        return max(0, now_tick - (self.origin + reached))
