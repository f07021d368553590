"""The ledger: who owns each entity, and under which version.

It is not a table. Every script that moves an entity writes a journal entry, and a manifest trims only what it
contains, so the fold of all shards' manifests and journals, highest version first, names the owner. This module
is that fold, on arrays; it reads nothing by itself.

What counts as evidence, and of what:

- a row of a shard's manifest, and a row of an ``in``, ``spawn`` or ``restore`` in its journal: that shard owns it,
  at the row's version;
- an ``out``: its peer owns the entity at the entry's version, and the shard that wrote it holds nothing below it;
- a ``despawn``: nobody owns the entity at that version or below;
- a ``takeover``: each row that its alias holds by its own manifest and journal is the writing shard's, at a version
  above, unless another has it at that version already: then the dead shard had given it on, and Redis has forgotten
  that. The alias itself owns nothing; what its journal lost, it lost.

An id that was despawned and is spawned again starts at version 1. Redis refuses that for a minute, and for as long
as any journal still holds the despawn, so the fold never meets both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import U32, U64, Mask
from .damage import ReadRecord, read_record
from .journal_requests import GAINS, EntryKind, JournalEntry, ShardRecord
from .takeover_requests import is_alias

NOBODY = -1
"""Owner index of an id that nobody owns, or that the ledger does not know."""

I64 = NDArray[np.int64]

_DEAD = np.uint64(1 << 31)
_ROW = np.uint64(1 << 30)
_TAKEN = np.uint64(1 << 29)
_OWNER_MASK = np.uint64((1 << 29) - 1)
_VERSION_SHIFT = np.uint64(32)


class ShardEvidence(NamedTuple):
    """One shard's part of the fold: its manifest's rows (ids (n,) u64, versions (n,) u32) and its journal."""

    shard: str
    ids: U64
    versions: U32
    entries: Sequence[JournalEntry]
    taken: Sequence[tuple[U64, U32]] = ()
    """Rows by takeovers that the manifest may not contain yet, at this shard's versions; in the entries' order."""


def entry_rows(entry: JournalEntry) -> tuple[U64, U32]:
    """Ids and versions of a journal entry, whatever its kind.

    Packed rows begin with the id column and then the version column, so no schema is needed here.

    Raises:
        ValueError: fewer bytes than ``entry.count`` rows need (an entry that was read without its rows, say).
    """
    if entry.kind in GAINS:
        ids, versions = entry.rows[: 8 * entry.count], entry.rows[8 * entry.count : 12 * entry.count]
    else:
        ids, versions = entry.ids, entry.versions
    if len(ids) != 8 * entry.count or len(versions) != 4 * entry.count:
        raise ValueError(f"journal entry {entry.id} ({entry.kind}): too few bytes for {entry.count} entities")
    return np.frombuffer(ids, "<u8"), np.frombuffer(versions, "<u4")


def evidence_of(record: ShardRecord) -> ShardEvidence:
    """What one shard's stored manifest and journal say, damaged parts left out (damage.py says which)."""
    return evidence_in(read_record(record))


def evidence_in(read: ReadRecord) -> ShardEvidence:
    """``evidence_of`` a record that was read: a large one is decoded once."""
    rows = read.manifest.rows if read.manifest is not None else None
    ids = rows.id if rows is not None else np.zeros(0, np.uint64)
    versions = rows.version if rows is not None else np.zeros(0, np.uint32)
    return ShardEvidence(read.shard, ids, versions, read.entries)


def evidence_of_fleet(records: Iterable[ShardRecord]) -> list[ShardEvidence]:
    """``evidence_of`` each; what lies under aliases counts as their takers', and only losses are left of these."""
    return resolved(evidence_of(record) for record in records)


def resolved(evidences: Iterable[ShardEvidence]) -> list[ShardEvidence]:
    """``evidence_of_fleet`` of what ``evidence_of`` said of each."""
    found = {evidence.shard: evidence for evidence in evidences}
    return [
        _without_rows(evidence) if is_alias(name) else with_taken(evidence, found) for name, evidence in found.items()
    ]


def with_taken(evidence: ShardEvidence, found: Mapping[str, ShardEvidence]) -> ShardEvidence:
    """``evidence`` with the rows that its ``takeover`` entries bring; an alias that is not in ``found`` brings none."""
    taken = []
    for entry in evidence.entries:
        if entry.kind is EntryKind.TAKEOVER and is_alias(entry.peer) and entry.peer in found:
            ids, versions = holdings(with_taken(found[entry.peer], found))
            taken.append((ids, (versions + np.uint32(1)).astype(np.uint32)))
    return evidence._replace(taken=tuple(taken)) if taken else evidence


def _without_rows(evidence: ShardEvidence) -> ShardEvidence:
    losses = tuple(entry for entry in evidence.entries if entry.kind in (EntryKind.OUT, EntryKind.DESPAWN))
    return ShardEvidence(evidence.shard, np.zeros(0, np.uint64), np.zeros(0, np.uint32), losses)


@dataclass(frozen=True, eq=False)
class Ledger:
    """The folded answer; arrays are parallel and sorted by ``id``.

    Attributes:
        owners: shard names; ``owner`` indexes them.
        id: (n,) u64, sorted, unique: every id of which there is any evidence.
        version: (n,) u32: the highest version seen.
        owner: (n,) i64: index into ``owners``, or ``NOBODY`` where a despawn has the last word.
        contested: (n,) bool: two shards claim the id at that very version. ``owner`` then is the one with rows to
            show, and of several the first by name, so that all readers choose alike.
    """

    owners: tuple[str, ...]
    id: U64
    version: U32
    owner: I64
    contested: Mask

    def __len__(self) -> int:
        return len(self.id)

    @property
    def alive(self) -> U64:
        """Ids that somebody owns, sorted."""
        alive: U64 = self.id[self.owner != NOBODY]
        return alive

    @property
    def doubled(self) -> U64:
        """Ids that two shards claim at the same version, sorted. The protocol never lets that happen."""
        return self.id[self.contested]

    def owner_of(self, ids: Any) -> tuple[I64, U32]:
        """(index into ``owners`` or ``NOBODY``, version) of each of ``ids`` (m,) u64; version 0: never heard of."""
        place, known = self._find(np.asarray(ids, np.uint64))
        owner, version = np.full(len(place), NOBODY, np.int64), np.zeros(len(place), np.uint32)
        owner[known], version[known] = self.owner[place[known]], self.version[place[known]]
        return owner, version

    def keeps(self, shard: str, ids: Any, versions: Any) -> Mask:
        """Which of ``shard``'s rows it may keep: all for which the ledger names no other owner and no higher version.

        A despawn at the row's version or above, another shard at the same version, or anything above it takes the
        row away. An id that the ledger does not know is kept: it names nobody.

        Args:
            ids: (m,) u64.
            versions: (m,) u32, the rows' own.
        """
        owner, version = self.owner_of(ids)
        versions = np.asarray(versions, np.uint32)
        mine = owner == self._index.get(shard, NOBODY - 1)
        kept: Mask = (version < versions) | ((version == versions) & mine) | (version == 0)
        return kept

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.owners)}

    def _find(self, ids: U64) -> tuple[I64, Mask]:
        if not len(self.id):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        place = np.minimum(np.searchsorted(self.id, ids), len(self.id) - 1)
        return place, self.id[place] == ids


def fold(records: Iterable[ShardEvidence]) -> Ledger:
    """All manifests and journals into one ledger: the highest version wins, at the same version a despawn.

    Args:
        records: (shard, manifest ids (n,) u64, manifest versions (n,) u32, journal entries) of each shard.
    """
    records = list(records)
    owners = tuple(sorted({name for record in records for name in _names(record)}))
    index = {name: number for number, name in enumerate(owners)}
    ids: list[U64] = [np.zeros(0, np.uint64)]
    claims: list[U64] = [np.zeros(0, np.uint64)]

    def add(rows: tuple[U64, U32], owner: int, flags: np.uint64) -> None:
        # One u64 a claim, so that the strongest is the largest: version, then dead, then rows to show, then rows that
        # are taken over from that version, then name.
        ids.append(np.asarray(rows[0], np.uint64))
        low = flags | np.uint64(len(owners) - owner)
        claims.append((np.asarray(rows[1], np.uint64) << _VERSION_SHIFT) | low)

    for record in records:
        mine = index[record.shard]
        add((record.ids, record.versions), mine, _ROW)
        for taken_ids, raised in record.taken:
            add((taken_ids, raised - np.uint32(1)), mine, _TAKEN)
        for entry in record.entries:
            if entry.kind is EntryKind.DESPAWN:
                add(entry_rows(entry), mine, _DEAD)
            elif entry.kind is EntryKind.OUT:
                add(entry_rows(entry), index[entry.peer], np.uint64(0))
            else:
                add(entry_rows(entry), mine, _ROW)
    return _resolve(owners, np.concatenate(ids), np.concatenate(claims))


def _names(record: ShardEvidence) -> set[str]:
    return {record.shard, *(entry.peer for entry in record.entries if entry.kind is EntryKind.OUT)}


def _resolve(owners: tuple[str, ...], ids: U64, claims: U64) -> Ledger:
    if not len(ids):
        nothing = np.zeros(0, bool)
        return Ledger(owners, ids, nothing.astype(np.uint32), nothing.astype(np.int64), nothing)
    order = np.argsort(ids, kind="stable")
    ids, claims = ids[order], claims[order]
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    best = np.maximum.reduceat(claims, starts)
    top = best >> _VERSION_SHIFT
    dead = (best & _DEAD) != 0
    taken = ((best & _TAKEN) != 0) & ~dead & ((best & _ROW) == 0)
    version = (top + taken).astype(np.uint32)

    # Contested: among the claims at the winning version, more than one owner (an `out` and its `in` agree).
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(ids))))
    at_top = ((claims >> _VERSION_SHIFT) == top[group]) & ((claims & _TAKEN) == 0)
    name = (claims & _OWNER_MASK).astype(np.int64)
    highest = np.maximum.reduceat(np.where(at_top, name, -1), starts)
    lowest = np.minimum.reduceat(np.where(at_top, name, np.iinfo(np.int64).max), starts)

    owner = np.where(dead, NOBODY, len(owners) - (best & _OWNER_MASK).astype(np.int64))
    return Ledger(owners, ids[starts], version, owner, (highest != lowest) & ~dead & ~taken)


def fold_records(records: Iterable[ShardRecord]) -> Ledger:
    """``fold`` of what ``ReadFleet`` answers."""
    return fold(evidence_of_fleet(records))


def holdings(evidence: ShardEvidence) -> tuple[U64, U32]:
    """(ids, versions), sorted by id, of what one shard holds by its own manifest and journal alone.

    Rows that its journal has handed over or despawned are gone already, though its manifest may still show them.
    """
    gains: list[tuple[U64, U32]] = [(evidence.ids, evidence.versions), *evidence.taken]
    losses: list[tuple[U64, U32]] = []
    for entry in evidence.entries:
        (losses if entry.kind in (EntryKind.OUT, EntryKind.DESPAWN) else gains).append(entry_rows(entry))
    ids, versions = _highest(gains)
    if not losses:
        return ids, versions
    lost_ids, lost_versions = _highest(losses)
    if not len(lost_ids):
        return ids, versions
    place = np.minimum(np.searchsorted(lost_ids, ids), len(lost_ids) - 1)
    kept = (lost_ids[place] != ids) | (versions > lost_versions[place])
    return ids[kept], versions[kept]


def _highest(parts: Sequence[tuple[U64, U32]]) -> tuple[U64, U32]:
    """Each id once, sorted, at its highest version."""
    ids = np.concatenate([part[0] for part in parts]).astype(np.uint64)
    versions = np.concatenate([part[1] for part in parts]).astype(np.uint32)
    order = np.lexsort((versions, ids))
    ids, versions = ids[order], versions[order]
    last = np.append(ids[1:] != ids[:-1], True) if len(ids) else np.zeros(0, bool)
    return ids[last], versions[last]
