"""The harness' own count of crossings: from ids and versions alone, by code that shares nothing with the checker's.

Every handoff raises an entity's version by one, and nothing else does. So at rest the versions say how often each
entity crossed; the scripts' counter must say the same; and in the traces each version of an entity must lie with one
shard alone, all of its ticks before those of the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shardfleet_shard.core.columns import U32, U64

from tests.traced import lives

CHUNK_RECORDS = 4_000_000
_LIFE = np.dtype([("entity", "<u8"), ("version", "<u4"), ("shard", "<i4"), ("first", "<i8"), ("last", "<i8")])
"""One entity under one version with one shard: the first and the last tick that it was simulated in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossings:
    """Counts. ``counted`` is what the scripts say; None where Redis was made to forget it."""

    by_versions: int
    counted: int | None
    traced: int
    """Versions above the first of which the traces have a tick; one that was killed or moved on at once has none."""
    two_shards: int
    """(entity, version) that two shards simulated."""
    overlaps: int
    """Versions that were simulated at or after the first tick of the next one."""
    unknown: int
    """Versions in the traces above the one at rest."""

    @property
    def faults(self) -> list[str]:
        found = [
            f"{count} {what}"
            for count, what in (
                (self.two_shards, "versions were simulated by two shards"),
                (self.overlaps, "versions were simulated beside their successors"),
                (self.unknown, "versions were simulated that nobody has at rest"),
            )
            if count
        ]
        if self.counted is not None and self.counted != self.by_versions:
            found.append(
                f"{self.by_versions} crossings by the versions at rest, {self.counted} by the scripts' counter"
            )
        return found


def count(folder: Path, ids: U64, versions: U32, counted: int | None) -> Crossings:
    """
    Args:
        folder: of the traces.
        ids, versions: at rest, (n,), ids sorted and unique; everything was spawned under version 1.
    """
    lives = _lives(folder)
    place = np.minimum(np.searchsorted(ids, lives["entity"]), len(ids) - 1)
    unknown = (ids[place] != lives["entity"]) | (lives["version"] > versions[place])
    same_entity = lives["entity"][1:] == lives["entity"][:-1]
    same_version = same_entity & (lives["version"][1:] == lives["version"][:-1])
    is_new = np.append(True, ~same_version) if len(lives) else np.zeros(0, bool)
    return Crossings(
        by_versions=int((versions.astype(np.int64) - 1).sum()),
        counted=counted,
        traced=int(np.count_nonzero(is_new & (lives["version"] > 1))),
        two_shards=int(np.count_nonzero(same_version & (lives["shard"][1:] != lives["shard"][:-1]))),
        overlaps=int(np.count_nonzero(same_entity & ~same_version & (lives["last"][:-1] >= lives["first"][1:]))),
        unknown=int(np.count_nonzero(unknown)),
    )


def _lives(folder: Path) -> NDArray[np.void]:
    """Of all files, by entity, version and shard; a shard's processes are one."""
    parts: list[NDArray[np.void]] = [np.zeros(0, _LIFE)]
    shards: dict[str, int] = {}
    for life in lives(folder):
        shard = shards.setdefault(life.shard, len(shards))
        for start in range(0, len(life.records), CHUNK_RECORDS):
            parts.append(_merged(_as_lives(life.records[start : start + CHUNK_RECORDS], shard)))
    return _merged(np.concatenate(parts))


def _as_lives(records: NDArray[np.void], shard: int) -> NDArray[np.void]:
    lives = np.zeros(len(records), _LIFE)
    lives["entity"], lives["version"], lives["shard"] = records["entity"], records["version"], shard
    lives["first"] = lives["last"] = records["tick"]
    return lives


def _merged(lives: NDArray[np.void]) -> NDArray[np.void]:
    """One of each (entity, version, shard), sorted."""
    if not len(lives):
        return lives
    lives = lives[np.lexsort((lives["shard"], lives["version"], lives["entity"]))]
    keys = lives[["entity", "version", "shard"]]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    merged = lives[starts]
    merged["first"] = np.minimum.reduceat(lives["first"], starts)
    merged["last"] = np.maximum.reduceat(lives["last"], starts)
    return merged
