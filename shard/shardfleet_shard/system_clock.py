"""The one module that reads the machine's clocks."""

from __future__ import annotations

import time

from .core.clock import SlewedClock

# Linux: CLOCK_BOOTTIME counts the time asleep, CLOCK_MONOTONIC does not. macOS knows no CLOCK_BOOTTIME; its
# CLOCK_MONOTONIC is the continuous one.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """A ``Clock`` on this machine's time.

    Args:
        offset_us: added to Unix time; makes a shard's clock wrong on purpose, in tests.
    """

    __slots__ = ("_offset_us", "_slewed")

    def __init__(self, *, offset_us: int = 0) -> None:
        self._offset_us = offset_us
        self._slewed = SlewedClock(monotonic_ns=time.monotonic_ns(), wall_ns=time.time_ns())

    def now_unix_us(self) -> int:
        """Unix microseconds; never runs backwards, never jumps."""
        return self._slewed.read(monotonic_ns=time.monotonic_ns(), wall_ns=time.time_ns()) + self._offset_us

    def boottime_us(self) -> int:
        """Microseconds since some start, time asleep included."""
        return time.clock_gettime_ns(_BOOTTIME) // 1_000
