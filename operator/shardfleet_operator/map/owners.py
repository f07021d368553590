"""Who owned an entity, and since when: a ring of the latest changes of owner in the whole fleet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from shardfleet_shard.core.columns import U32

from .frame import Tags
from .slots import Slots

CHANGES = 2**19
"""12 MB. A fleet with a thousand handoffs a second fills it in nine minutes; then the oldest go."""
MAX_TOLD = 200
"""Of one entity."""


class OwnerChange(NamedTuple):
    """``owner``: a shard's number. ``version``: the entity's from then on."""

    unix_us: int
    owner: int
    version: int


class OwnerLog:
    """Appending and asking go by columns: a change costs no Python object."""

    def __init__(self, capacity: int = CHANGES) -> None:
        self._capacity = capacity
        self._total = 0
        self._unix_us = np.zeros(0, np.int64)
        self._slot = np.zeros(0, np.int64)
        self._owner = np.zeros(0, np.uint16)
        self._version = np.zeros(0, np.uint32)

    def __len__(self) -> int:
        return min(self._total, self._capacity)

    @property
    def size_bytes(self) -> int:
        return sum(column.nbytes for column in (self._unix_us, self._slot, self._owner, self._version))

    def append(self, unix_us: int, slots: Slots, owners: Tags, versions: U32) -> None:
        """Changes of one moment; each array is (n,)."""
        slots, owners, versions = slots[-self._capacity :], owners[-self._capacity :], versions[-self._capacity :]
        self._grow(self._total + len(slots))
        at = (self._total + np.arange(len(slots))) % self._capacity
        self._unix_us[at], self._slot[at], self._owner[at], self._version[at] = unix_us, slots, owners, versions
        self._total += len(slots)

    def of(self, slot: int, since_us: int = 0) -> list[OwnerChange]:
        """The entity's changes, oldest first, at most ``MAX_TOLD``.

        Args:
            since_us: when the entity got its slot; what is older was another's.
        """
        found = np.flatnonzero((self._slot[: len(self)] == slot) & (self._unix_us[: len(self)] >= since_us))
        found = found[np.argsort((found - self._total) % self._capacity, kind="stable")][-MAX_TOLD:]
        return [
            OwnerChange(*values)
            for values in zip(
                self._unix_us[found].tolist(), self._owner[found].tolist(), self._version[found].tolist(), strict=True
            )
        ]

    def _grow(self, size: int) -> None:
        """Doubles up to the capacity: a small fleet needs little."""
        if size > len(self._slot) and len(self._slot) < self._capacity:
            short = min(self._capacity, max(size, 2 * len(self._slot), 1024)) - len(self._slot)
            self._unix_us, self._slot = np.pad(self._unix_us, (0, short)), np.pad(self._slot, (0, short))
            self._owner, self._version = np.pad(self._owner, (0, short)), np.pad(self._version, (0, short))
