"""A few numbers between the driver and one shard's launcher: a file that both map into memory.

Reading one costs the shard less than a microsecond, so that it can look at every step. Each number is eight bytes,
aligned, and has one writer at a time.
"""

from __future__ import annotations

import mmap
from enum import IntEnum
from pathlib import Path

SIZE_BYTES = 4096


class Cell(IntEnum):
    """Places of 8 bytes. Times are Unix microseconds of the machine's own clock; 0: never."""

    POINT = 0
    """1 + index in ``points.POINTS`` of the step at which the shard strikes itself; 0: none."""
    SIGNAL = 1
    """The signal that it sends itself there."""
    HIT_US = 2
    HIT_PID = 3
    CLOCK_OFFSET_US = 4
    """Added to what the shard reads as its wall clock."""
    LINK_DOWN_US = 5
    """When it last lost a link."""
    UNANSWERED_US = 6
    """When a request to Redis last went unanswered."""


class Control:
    """One shard's cells; the file is made with zeros where there is none."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(SIZE_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SIZE_BYTES)
        self._cells = memoryview(self._map).cast("q")

    def __getitem__(self, cell: Cell) -> int:
        return self._cells[cell]

    def __setitem__(self, cell: Cell, value: int) -> None:
        self._cells[cell] = value

    def close(self) -> None:
        self._cells.release()
        self._map.close()


def control_of(folder: Path, shard: str) -> Control:
    return Control(folder / f"{shard}.control")
