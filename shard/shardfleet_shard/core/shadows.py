"""Shadows: what has just left this shard, kept for a Redis that forgets.

A Redis that does not sync every write can lose its last two seconds, and then nobody else may know where rows went. So
released rows stay known until their target's manifest has surely outlived that, and despawns as long as such rows.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from .columns import U32, U64, Columns
from .transfer import Outgoing

FSYNC_WINDOW_US = 2_000_000
PUBLISHED_WITHIN_US = 5_000_000
"""The longest interval between two manifests, of a large shard."""
REMEMBER_US = PUBLISHED_WITHIN_US + FSYNC_WINDOW_US
MARGIN_US = 1_000_000
"""A despawn is known longer than any row that was released before it, by whichever clock."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Released:
    """``rows`` under the source's versions, as of the end of ``tick``."""

    outgoing: Outgoing
    rows: Columns
    tick: int
    until_us: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Despawned:
    ids: U64
    versions: U32
    until_us: int


@dataclass(slots=True)
class Shadows:
    """Both oldest first."""

    released: deque[Released] = field(default_factory=deque)
    despawned: deque[Despawned] = field(default_factory=deque)

    def release(self, outgoing: Outgoing, rows: Columns, *, tick: int, now_us: int) -> None:
        self.forget(now_us)
        self.released.append(Released(outgoing=outgoing, rows=rows, tick=tick, until_us=now_us + REMEMBER_US))

    def despawn(self, ids: U64, versions: U32, *, now_us: int) -> None:
        self.forget(now_us)
        if len(ids):
            until_us = now_us + REMEMBER_US + MARGIN_US
            self.despawned.append(Despawned(ids=ids, versions=versions, until_us=until_us))

    def forget(self, now_us: int) -> None:
        """Drops what is remembered no longer."""
        while self.released and self.released[0].until_us <= now_us:
            self.released.popleft()
        while self.despawned and self.despawned[0].until_us <= now_us:
            self.despawned.popleft()

    def all_despawned(self) -> tuple[U64, U32]:
        """(ids, versions)"""
        ids = [np.zeros(0, np.uint64), *(gone.ids for gone in self.despawned)]
        versions = [np.zeros(0, np.uint32), *(gone.versions for gone in self.despawned)]
        return np.concatenate(ids), np.concatenate(versions)
