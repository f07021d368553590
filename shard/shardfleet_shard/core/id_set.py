"""A set of entity ids as one sorted array: whole batches come, go and are looked up by a few passes over memory."""

from __future__ import annotations

import numpy as np

from .columns import U64, Mask


class IdSet:
    """Eight bytes an id; a Python set takes ten times that, and at thousands of ids a tick, milliseconds."""

    def __init__(self) -> None:
        self._ordered: U64 = np.zeros(0, np.uint64)

    def __len__(self) -> int:
        return len(self._ordered)

    def __contains__(self, entity: int) -> bool:
        return bool(self.among(np.array([entity], np.uint64))[0])

    def among(self, ids: U64) -> Mask:
        """Which of ``ids`` (n,) are in it; (n,) bool."""
        return self._at(ids)[1]

    def add(self, ids: U64) -> int | None:
        """All of ``ids``, none of which may be in it: the smallest that is, and nothing is added; else None."""
        ordered = np.sort(ids)
        where, here = self._at(ordered)
        if here.any():
            return int(ordered[here][0])
        self._ordered = np.insert(self._ordered, where, ordered)
        return None

    def remove(self, ids: U64) -> None:
        """All of ``ids``; those that are not in it change nothing."""
        where, here = self._at(np.sort(ids))
        self._ordered = np.delete(self._ordered, where[here])

    def _at(self, ids: U64) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], Mask]:
        """Where each stands or would stand, and whether it does. In ascending order they are found faster."""
        where = np.searchsorted(self._ordered, ids)
        if not len(self._ordered):
            return where, np.zeros(len(ids), bool)
        return where, self._ordered[np.minimum(where, len(self._ordered) - 1)] == ids
