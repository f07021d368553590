"""Handoffs a second, from a counter that is read now and then. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class HandoffRate:
    """The counter over the last ``window_us``; from the second reading on."""

    window_us: int
    _readings: deque[tuple[int, int]] = field(default_factory=deque)

    def read(self, completed_entities: int, now_us: int) -> None:
        self._readings.append((now_us, completed_entities))
        while len(self._readings) > 2 and self._readings[1][0] <= now_us - self.window_us:
            self._readings.popleft()

    @property
    def per_second(self) -> float:
        if len(self._readings) < 2:
            return 0.0
        (first_us, first), (last_us, last) = self._readings[0], self._readings[-1]
        return (last - first) * 1_000_000 / max(1, last_us - first_us)
