"""Clocks of a simulated machine, and what a process on it reads. The slewing is the product's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardfleet_shard.core.clock import SlewedClock

if TYPE_CHECKING:
    from .fleet import Fleet

START_US = 1_700_000_000_000_000
"""Where every run's true time begins, Unix microseconds."""
_MILLION = 1_000_000


class HostClock:
    """One machine: its oscillator runs off by ``drift_ppm``, and its wall clock by ``wall_offset_us`` beside that."""

    def __init__(self, *, drift_ppm: int, wall_offset_us: int) -> None:
        self.drift_ppm = drift_ppm
        self.wall_offset_us = wall_offset_us
        self._since = (START_US, 0)
        """(true time, monotonic time) since which the rate has been what it is."""

    def drift(self, drift_ppm: int, true_us: int) -> None:
        """From now on the oscillator runs at another rate."""
        self._since = (true_us, self.monotonic_us(true_us))
        self.drift_ppm = drift_ppm

    def monotonic_us(self, true_us: int) -> int:
        since_us, monotonic_us = self._since
        elapsed_us = true_us - since_us
        return monotonic_us + elapsed_us + elapsed_us * self.drift_ppm // _MILLION

    def wall_us(self, true_us: int) -> int:
        return START_US + self.monotonic_us(true_us) + self.wall_offset_us


class ProcessClock:
    """``core.clock.Clock`` of one process. Time goes on inside a callback where the process is stopped in it.

    Attributes:
        lag_us: true time that has passed since the present callback began.
        checked_us: true time of the last reading that leases are held against.
    """

    def __init__(self, fleet: Fleet, host: HostClock) -> None:
        self._fleet = fleet
        self._host = host
        self.lag_us = 0
        self.checked_us = fleet.now_us
        self._looked = (-1, 0)
        """(true time, reading) of the last look: most are at the same moment."""
        self._stop: tuple[int, int] | None = None
        """(readings until it strikes, how long the process then stands still)"""
        now_us = fleet.now_us
        self._slewed = SlewedClock(monotonic_ns=host.monotonic_us(now_us) * 1_000, wall_ns=host.wall_us(now_us) * 1_000)

    def stop_inside(self, *, after_readings: int, for_us: int) -> None:
        """SIGSTOP between two instructions: at a reading of the clock, which is where it can matter."""
        self._stop = (after_readings, for_us)

    def now_unix_us(self) -> int:
        self._pass()
        return self.look()

    def boottime_us(self) -> int:
        self._pass()
        self.checked_us = self._true_us
        return self._host.monotonic_us(self.checked_us)

    def look(self) -> int:
        """What ``now_unix_us`` would say, for the simulation's own use."""
        true_us = self._fleet.now_us + self.lag_us
        if true_us != self._looked[0]:
            monotonic_us = self._host.monotonic_us(true_us)
            wall_us = START_US + monotonic_us + self._host.wall_offset_us
            read_us = self._slewed.read(monotonic_ns=monotonic_us * 1_000, wall_ns=wall_us * 1_000)
            self._looked = (true_us, read_us)
        return self._looked[1]

    def true_us(self, local_us: int) -> int:
        """When, in true time, this clock reads or read ``local_us``; exact to a few microseconds nearby."""
        return self._true_us + local_us - self.look()

    @property
    def _true_us(self) -> int:
        return self._fleet.now_us + self.lag_us

    def _pass(self) -> None:
        if self._stop is None:
            return
        left, for_us = self._stop
        if left:
            self._stop = (left - 1, for_us)
        else:
            self._stop = None
            self.lag_us += for_us
            self._fleet.fault_until(self._fleet.now_us + self.lag_us)
