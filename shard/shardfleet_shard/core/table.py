"""Columns that grow and shrink in place: a change costs what the rows cost that come or go, not those that stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPARE = 1.5
"""Room for so many times the rows, wherever there was too little."""
MIN_ROOM = 64


class Table:
    """Parallel arrays of ``len`` rows, in no particular order, at the front of longer ones.

    Args:
        empty: name -> array of no rows, of the column's dtype and width.
    """

    def __init__(self, empty: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = dict(empty)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def columns(self) -> dict[str, NDArray[Any]]:
        """Views of the rows, good until the next change."""
        return {name: array[: self._count] for name, array in self._arrays.items()}

    def append(self, values: Mapping[str, Any], count: int) -> None:
        """``count`` rows at the end; a scalar is the value of each."""
        self._make_room(self._count + count)
        for name, array in self._arrays.items():
            array[self._count : self._count + count] = values[name]
        self._count += count

    def drop(self, gone: NDArray[np.int64]) -> None:
        """Takes out the rows at ``gone``, ascending; rows from the end take their places."""
        left = self._count - len(gone)
        holes, at_the_end = gone[gone < left], gone[gone >= left]
        stays = np.ones(len(gone), bool)
        stays[at_the_end - left] = False
        movers = left + np.flatnonzero(stays)
        for array in self._arrays.values():
            array[holes] = array[movers]
        self._count = left
        if self._room > MIN_ROOM and left * SPARE**4 < self._room:
            self._resize(left)

    def become(self, other: Table) -> None:
        """A copy of ``other``, in the memory that is here, where it suffices."""
        self._count = 0
        self._make_room(len(other))
        self._count = len(other)
        for name, array in other.columns().items():
            self._arrays[name][: self._count] = array

    @property
    def _room(self) -> int:
        return min(map(len, self._arrays.values()))

    def _make_room(self, count: int) -> None:
        if count > self._room:
            self._resize(count)

    def _resize(self, count: int) -> None:
        room = max(MIN_ROOM, round(SPARE * count))
        for name, array in self._arrays.items():
            longer = np.zeros((room, *array.shape[1:]), array.dtype)
            longer[: self._count] = array[: self._count]
            self._arrays[name] = longer
