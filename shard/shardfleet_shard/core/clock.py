"""Time, as everything else gets it: one injected ``Clock``, and what is known of each peer's.

Nothing here reads a clock; see system_clock.py for the one that does.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

MAX_SLEW_PPM = 1_000
"""How fast a wall clock's step is taken over: 1 ms a second, so a tick of 50 ms is off by at most 50 us."""

OSCILLATOR_PPM = 100
"""What two cheap oscillators may drift apart, each."""

DRIFT_PPM = 2 * (MAX_SLEW_PPM + OSCILLATOR_PPM)
"""How fast the offset between two shards can change: both slew, in opposite directions."""

_MILLION = 1_000_000
_MIN_SLEW_STEP_NS = 1_000_000  # below it the whole-number slew would round to nothing, call after call


class Clock(Protocol):
    """What time it is."""

    def now_unix_us(self) -> int:
        """Unix microseconds; never runs backwards, never jumps."""
        ...

    def boottime_us(self) -> int:
        """Microseconds since some start that go on while the machine sleeps; leases count on it."""
        ...


class SlewedClock:
    """Unix time that never runs backwards: monotonic time plus a wall offset that changes slowly.

    A wall clock that is stepped (by hand, by NTP, after a pause) would make ticks repeat or skip in an instant; here
    the step is taken over at ``max_slew_ppm``, so every reading lies within that rate of monotonic time.

    Args:
        monotonic_ns, wall_ns: readings of both clocks at the start; the first result is the wall's.
        max_slew_ppm: bound on the slew, parts per million of the elapsed time.
    """

    __slots__ = ("_last_us", "_max_slew_ppm", "_offset_ns", "_slewed_at_ns")

    def __init__(self, *, monotonic_ns: int, wall_ns: int, max_slew_ppm: int = MAX_SLEW_PPM) -> None:
        self._max_slew_ppm = max_slew_ppm
        self._offset_ns = wall_ns - monotonic_ns
        self._slewed_at_ns = monotonic_ns
        self._last_us = wall_ns // 1_000

    def read(self, *, monotonic_ns: int, wall_ns: int) -> int:
        """Unix microseconds now, from readings of both clocks taken together."""
        elapsed_ns = monotonic_ns - self._slewed_at_ns
        if elapsed_ns >= _MIN_SLEW_STEP_NS:
            most_ns = elapsed_ns * self._max_slew_ppm // _MILLION
            self._offset_ns += max(-most_ns, min(most_ns, wall_ns - monotonic_ns - self._offset_ns))
            self._slewed_at_ns = monotonic_ns
        self._last_us = max(self._last_us, (monotonic_ns + self._offset_ns) // 1_000)
        return self._last_us

    def behind_us(self, *, monotonic_ns: int, wall_ns: int) -> int:
        """How much of a step is still to be taken over; negative where the wall was set back."""
        return (wall_ns - monotonic_ns - self._offset_ns) // 1_000


class ClockSample(NamedTuple):
    """One round trip: the peer's clock minus ours is within ``offset_us`` +- ``delay_us / 2``."""

    offset_us: int
    delay_us: int
    """Time on the way, both ways together."""
    taken_us: int
    """Our clock when the answer came."""

    def error_us(self, now_us: int, drift_ppm: int) -> int:
        """Half the delay, plus what the clocks can have drifted since; rounded up."""
        age_us = max(0, now_us - self.taken_us)
        return -(-self.delay_us // 2) + -(-age_us * drift_ppm // _MILLION)


class PeerClock:
    """The offset of one peer's clock to ours, from ping and pong's four time stamps.

    Of all samples the one with the smallest error *now* counts: half its delay plus the drift allowance of its age.
    All ages grow alike, so the order of two samples never changes and only the best has to be kept; a sample with
    little delay therefore stands until drift has used up its advantage, which bounds the window by itself. A new
    sample whose interval does not even meet the best one's proves that a clock was moved: it replaces the best at
    once.

    Args:
        drift_ppm: how fast the offset can change, parts per million.
    """

    __slots__ = ("_best", "_drift_ppm", "jumps")

    def __init__(self, *, drift_ppm: int = DRIFT_PPM) -> None:
        self._drift_ppm = drift_ppm
        self._best: ClockSample | None = None
        self.jumps = 0
        """How often a clock was seen to have been moved."""

    def __repr__(self) -> str:
        return f"PeerClock({self._best})"

    @property
    def known(self) -> bool:
        """Whether there is a sample at all."""
        return self._best is not None

    @property
    def offset_us(self) -> int | None:
        """The peer's clock minus ours; None before the first sample."""
        return None if self._best is None else self._best.offset_us

    def observe(self, *, sent_us: int, received_us: int, answered_us: int, returned_us: int) -> bool:
        """Takes a round trip: sent and returned by our clock, received and answered by the peer's.

        Returns:
            Whether it was taken: False for stamps that no pair of forward-running clocks can give.
        """
        delay_us = (returned_us - sent_us) - (answered_us - received_us)
        if returned_us < sent_us or answered_us < received_us or delay_us < 0:
            return False
        offset_us = ((received_us - sent_us) + (answered_us - returned_us)) // 2
        sample = ClockSample(offset_us, delay_us, returned_us)
        best = self._best
        if best is None:
            self._best = sample
            return True
        best_error_us = best.error_us(returned_us, self._drift_ppm)
        sample_error_us = sample.error_us(returned_us, self._drift_ppm)
        # The spare microsecond is the rounding of two halved offsets.
        moved = abs(sample.offset_us - best.offset_us) > best_error_us + sample_error_us + 1
        self.jumps += moved
        if moved or sample_error_us <= best_error_us:
            self._best = sample
        return True

    def error_us(self, now_us: int) -> int | None:
        """How far ``offset_us`` may be off at ``now_us`` (our clock); None before the first sample."""
        return None if self._best is None else self._best.error_us(now_us, self._drift_ppm)

    def within(self, limit_us: int, now_us: int) -> bool:
        """Whether the peer's clock surely lies within ``limit_us`` of ours; an unknown one does not."""
        if self._best is None:
            return False
        return abs(self._best.offset_us) + self._best.error_us(now_us, self._drift_ppm) <= limit_us
