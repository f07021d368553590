"""Where an entity stands in the arrays of a frame: its slot.

A frame is arrays by slot, so that a page never has to look an id up: slot 17 of one frame is the same entity as slot 17
of the next one. A slot is given to another entity only when the former one has been gone for longer than the history
reaches back; so one list of ids by slot serves every frame that is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from shardfleet_shard.core.columns import U64

MAX_SLOTS = 500_000
"""A frame of so many is 3 MB. Entities beyond are not shown, and the page says how many."""
NOWHERE = -1

Slots = NDArray[np.int64]


class SlotTable:
    """Ids and their slots.

    Args:
        keep_us: how long after it was last seen an entity keeps its slot.
    Attributes:
        size: slots that were ever given; frames are so long.
        revision: rises whenever a slot gets an entity.
    """

    def __init__(self, *, keep_us: int, max_slots: int = MAX_SLOTS) -> None:
        self.size = 0
        self.revision = 0
        self._keep_us = keep_us
        self._max_slots = max_slots
        self._ids = np.zeros(0, np.uint64)
        self._seen_us = np.zeros(0, np.int64)
        self._given_at = np.zeros(0, np.int64)
        """By slot: the revision at which it got its entity; 0: it has none."""
        self._free = np.zeros(0, np.int64)
        self._sorted_ids = np.zeros(0, np.uint64)
        self._sorted_slots = np.zeros(0, np.int64)

    def take(self, ids: U64, now_us: int) -> Slots:
        """The slots of ``ids`` (n,), in their order; new ones get one, ``NOWHERE`` where none is left."""
        slots = self.find(ids)
        fresh = np.unique(ids[slots == NOWHERE])
        if len(fresh):
            self._give(fresh)
            slots = self.find(ids)
        self._seen_us[slots[slots != NOWHERE]] = now_us
        return slots

    def find(self, ids: U64) -> Slots:
        """The slots of ``ids`` (n,), ``NOWHERE`` for those that have none."""
        if not len(self._sorted_ids):
            return np.full(len(ids), NOWHERE, np.int64)
        at = np.minimum(np.searchsorted(self._sorted_ids, ids), len(self._sorted_ids) - 1)
        return np.where(self._sorted_ids[at] == ids, self._sorted_slots[at], NOWHERE)

    def id_of(self, slot: int) -> int:
        return int(self._ids[slot])

    def given_after(self, revision: int) -> tuple[U64, Slots]:
        """(ids, slots) of all that got their slot after ``revision``; after 0: all."""
        slots = np.flatnonzero(self._given_at > revision)
        return self._ids[slots], slots

    def expire(self, now_us: int) -> Slots:
        """Frees the slots of entities that have been gone for ``keep_us``; returns them."""
        gone = self._seen_us[self._sorted_slots] < now_us - self._keep_us
        freed = self._sorted_slots[gone]
        if len(freed):
            self._sorted_ids, self._sorted_slots = self._sorted_ids[~gone], self._sorted_slots[~gone]
            self._given_at[freed] = 0
            self._free = np.concatenate([self._free, freed])
        return freed

    def _give(self, fresh: U64) -> None:
        """Slots to ``fresh``, sorted, each once: freed ones first, then new ones."""
        reused, self._free = self._free[: len(fresh)], self._free[len(fresh) :]
        more = min(len(fresh) - len(reused), self._max_slots - self.size)
        slots = np.concatenate([reused, np.arange(self.size, self.size + more)])
        fresh = fresh[: len(slots)]
        self._grow(self.size + more)
        self.revision += 1
        self._ids[slots] = fresh
        self._given_at[slots] = self.revision
        at = np.searchsorted(self._sorted_ids, fresh)
        self._sorted_ids = np.insert(self._sorted_ids, at, fresh)
        self._sorted_slots = np.insert(self._sorted_slots, at, slots)

    def _grow(self, size: int) -> None:
        self.size = size
        short = size - len(self._ids)
        if short > 0:
            short = max(short, len(self._ids) // 2)  # not a copy of all for each entity that comes
            self._ids = np.pad(self._ids, (0, short))
            self._seen_us = np.pad(self._seen_us, (0, short))
            self._given_at = np.pad(self._given_at, (0, short))
