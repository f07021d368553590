"""The last two minutes, a frame a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from .frame import Frame

SPAN_US = 120_000_000
MAX_BYTES = 100_000_000
STEP_US = 1_000_000


class FrameHistory:
    """Keeps a frame a second, for ``span_us`` and of at most ``max_bytes`` together: then the oldest go."""

    def __init__(self, *, span_us: int = SPAN_US, max_bytes: int = MAX_BYTES, step_us: int = STEP_US) -> None:
        self._span_us = span_us
        self._max_bytes = max_bytes
        self._step_us = step_us
        self._frames: deque[Frame] = deque()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def take(self, frame: Frame) -> None:
        """Keeps ``frame`` where its second has none yet."""
        if self._frames and frame.unix_us // self._step_us <= self._frames[-1].unix_us // self._step_us:
            return
        self._frames.append(frame)
        self.size_bytes += len(frame.data)
        while self.size_bytes > self._max_bytes or self._frames[0].unix_us < frame.unix_us - self._span_us:
            self.size_bytes -= len(self._frames.popleft().data)
            if not self._frames:
                return

    def times(self) -> Sequence[int]:
        """Unix microseconds of all that are kept, ascending."""
        return [frame.unix_us for frame in self._frames]

    def at(self, unix_us: int) -> Frame | None:
        """The one nearest to ``unix_us``; None where there is none."""
        return min(self._frames, key=lambda frame: abs(frame.unix_us - unix_us), default=None)
