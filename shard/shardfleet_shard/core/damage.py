"""What of a stored record cannot be used, and what to say of it. Pure.

A chunk, a header or a journal entry whose checksum does not match is left out, and everything else is read. What is
left out can only take evidence away, and ``is_in_doubt`` says where that could make a row look newest that is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from .columns import U64, Mask
from .journal_requests import EntryKind, JournalEntry, Registry, ShardRecord
from .manifest import HEADER, AuthorityManifest

MAX_NAMED = 50
"""Ids or damages in one line; how many there are it says always."""
IDS_A_LINE = 500
DOUBT_PATIENCE_US = 10_000_000
"""A living shard replaces what is damaged of its record within five seconds, by its next manifest; one that starts
again needs somewhat longer. What is in doubt for longer than that is not restored."""
DOUBT_RETRY_US = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing of a shard's record that is left out.

    Attributes:
        key: Redis' key without the fleet's prefix.
        words: what is wrong with it.
        may_hide_loss: it may have been an ``out`` or a ``despawn``.
    """

    shard: str
    key: str
    words: str
    may_hide_loss: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadRecord:
    """A shard's record as far as it can be used.

    Attributes:
        manifest: rows of damaged chunks left out; None where there is none, or its header is damaged.
        entries: those that are whole, in order.
    """

    shard: str
    manifest: AuthorityManifest | None
    entries: tuple[JournalEntry, ...]
    damages: tuple[Damage, ...] = ()


def read_record(record: ShardRecord) -> ReadRecord:
    """Never raises."""
    manifest, damages = None, list[Damage]()
    if record.header:
        manifest, faults = AuthorityManifest.from_stored(record.header, record.chunks)
        for fault in faults:
            key = f"manifest:{record.shard}"
            if fault.chunk != HEADER and manifest is not None:
                key = f"chunk:{record.shard}:{manifest.epoch}:{manifest.tick}:{fault.chunk + 1}"
            damages.append(Damage(shard=record.shard, key=key, words=fault.words))
    entries = []
    for entry in record.entries:
        if entry.kind is EntryKind.DAMAGED:
            damages.append(damage_of(record.shard, entry))
        else:
            entries.append(entry)
    return ReadRecord(shard=record.shard, manifest=manifest, entries=tuple(entries), damages=tuple(damages))


def damage_of(shard: str, entry: JournalEntry) -> Damage:
    """Of an entry of kind DAMAGED."""
    return Damage(
        shard=shard,
        key=f"journal:{shard}",
        words=f"entry {entry.id}: {entry.damage}",
        may_hide_loss=entry.may_hide_loss,
    )


def damages_of(records: Iterable[ShardRecord]) -> list[Damage]:
    """All that is wrong, in the records' order."""
    return damages_in(map(read_record, records))


def damages_in(reads: Iterable[ReadRecord]) -> list[Damage]:
    """``damages_of`` records that were read: a large one is decoded once."""
    return [damage for read in reads for damage in read.damages]


# --- what must not be taken for the newest -------------------------------------------------------------------------


def last_hidden_loss(record: ShardRecord) -> int:
    """Index of the last entry that may have been a loss; -1 for none. Rows from before it may have gone by it."""
    return max((at for at, entry in enumerate(record.entries) if entry.may_hide_loss), default=-1)


def is_in_doubt(record: ShardRecord, damages: Sequence[Damage]) -> bool:
    """Whether rows of ``record`` from before its last hidden loss may be somebody else's, and nobody can say.

    By a loss that went unread an entity went to a shard that shows it, or showed whom it gave it to: at a higher
    version, which the ledger knows. Or it was despawned, which the registry knows. So all of that must be readable.

    Args:
        damages: those of all records.
    """
    return last_hidden_loss(record) >= 0 and any(damage.shard != record.shard for damage in damages)


def trusted_part(record: ShardRecord, damages: Sequence[Damage]) -> ShardRecord:
    """What of ``record`` is not in doubt: all of it, or the entries after its last hidden loss."""
    if not is_in_doubt(record, damages):
        return record
    return replace(record, header="", chunks=(), entries=record.entries[last_hidden_loss(record) + 1 :])


def living(ids: U64, registry: Registry | None) -> Mask:
    """Which of ``ids`` the registry has; all, where it was not read."""
    if registry is None:
        return np.ones(len(ids), bool)
    return np.isin(ids, np.frombuffer(registry.after, "<u8"))


# --- what to say ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DamageReport:
    """What was left out of the fleet's records, and what that costs.

    Attributes:
        lost: (n,) u64, sorted: living ids that neither the reader has nor any record that can be read.
        counted: whether all records were read, so that ``lost`` says something.
    """

    damages: tuple[Damage, ...]
    lost: U64
    counted: bool = True

    @classmethod
    def of(cls, damages: Sequence[Damage], registry: Registry | None, held: Iterable[U64]) -> Self | None:
        """``held``: what the reader has, and what others' records have; None where nothing is damaged."""
        if not damages:
            return None
        return cls(damages=tuple(damages), lost=_lost_ids(registry, held), counted=registry is not None)

    def words(self, prefix: str = "", *, most: int = MAX_NAMED) -> str:
        """One line.

        Args:
            prefix: of the fleet's keys in Redis.
            most: ids and damages that are named; of more it says how many.
        """
        left_out = words_of(self.damages, prefix, most=most)
        if not self.counted:
            return f"{left_out}; the census names what is missing by it"
        if not len(self.lost):
            return f"{left_out}; every living entity is in a record that is whole"
        more = ", ..." if len(self.lost) > most else ""
        named = ", ".join(map(str, self.lost[:most].tolist()))
        return (
            f"{left_out}; not restored, for no record that is whole has them: {len(self.lost)} entities: {named}{more}"
        )

    def further(self) -> Iterable[str]:
        """The ids that ``words`` does not name, some a line."""
        for start in range(MAX_NAMED, len(self.lost), IDS_A_LINE):
            yield ", ".join(map(str, self.lost[start : start + IDS_A_LINE].tolist()))


def words_of(damages: Sequence[Damage], prefix: str = "", *, most: int = MAX_NAMED) -> str:
    """Which keys, and what is wrong with them; see ``DamageReport.words``."""
    named = "; ".join(f"{prefix}{damage.key}: {damage.words}" for damage in damages[:most])
    more = f"; {len(damages) - most} more" if len(damages) > most else ""
    return f"damaged in Redis, and left out: {named}{more}"


def _lost_ids(registry: Registry | None, held: Iterable[U64]) -> U64:
    """Ids that were alive all the time, and that are in none of ``held``."""
    if registry is None:
        return np.zeros(0, np.uint64)
    alive = np.intersect1d(np.frombuffer(registry.before, "<u8"), np.frombuffer(registry.after, "<u8"))
    found: U64 = np.setdiff1d(alive, np.concatenate([np.zeros(0, np.uint64), *held]))
    return found
