"""What a shard asks of its manifest and journal, and what these consist of. Part of core/requests.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .transfer import TransferId


class EntryKind(StrEnum):
    IN = "in"
    OUT = "out"
    SPAWN = "spawn"
    DESPAWN = "despawn"
    RESTORE = "restore"
    """A row that the ledger gives to this shard, and that it did not have: by a census."""
    HELD = "held"
    """Rows that this shard had when it rejoined a Redis that had forgotten: as of the end of ``offer_tick``."""
    TAKEOVER = "takeover"
    """What another shard held until then; see takeover_requests.py. ``peer`` is the alias under which it lies."""
    DAMAGED = "damaged"
    """Never written: what a reader makes of an entry that is not as it was written."""


GAINS = (EntryKind.IN, EntryKind.SPAWN, EntryKind.RESTORE, EntryKind.HELD)
"""The kinds with rows."""
BRINGS = (*GAINS, EntryKind.TAKEOVER)
"""The kinds that a shard has to take something up for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One entry of a shard's journal (a Redis stream).

    ``rows`` is b"" in an answer of ``Publish`` and ``Tail``, which leave it out, and whole in ``ReadShard`` and
    ``ReadEntries``. ``ids`` and ``versions`` are set for ``out`` and ``despawn`` (versions: the new owner's, or
    for despawn the last). ``tick``: IN: the switch tick; OUT: the switch tick; SPAWN, RESTORE, HELD: first grid tick to
    be simulated. ``offer_tick``: the tick at whose end ``rows`` are as they are (SPAWN: ``tick - 1``). An OUT without a
    ``transfer`` takes a copy away, at ``versions`` and below.

    ``damage``: what is wrong with an entry of kind DAMAGED. ``may_hide_loss``: that one may have been an ``out`` or a
    ``despawn``: rows from before it may have gone by it.
    """

    id: str
    kind: EntryKind
    transfer: TransferId | None = None
    peer: str = ""
    count: int = 0
    tick: int = 0
    offer_tick: int = 0
    ids: bytes = b""
    versions: bytes = b""
    rows: bytes = b""
    damage: str = ""
    may_hide_loss: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Replaces the shard's manifest, trims its journal through ``position``, and reads on.

    Refused(OLDER) where (epoch, tick) is not above the stored pair. Answer: ``Entries`` after ``read_after``.
    What lies under the alias of a ``takeover`` that is trimmed goes with it.
    Large manifests are staged chunk by chunk and closed by the one script; the request is one value all the same.
    """

    shard: str
    epoch: int
    tick: int
    position: str
    header: str
    chunks: tuple[bytes, ...]
    read_after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The journal's entries after ``read_after``, without rows, at most 512. Answer: ``Entries``."""

    shard: str
    epoch: int
    read_after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadEntries:
    """The named entries of the own journal, rows included. Answer: ``Entries``."""

    shard: str
    epoch: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    entries: tuple[JournalEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFleet:
    """Reads every shard's manifest and journal, rows included (not of one moment). Answer: ``FleetRecords``."""

    registry: bool = False
    """Whether the living ids are read too, before the records and after them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """``header`` '' where the shard never published, ' ' where it was lost. A chunk that is not there is b""."""

    shard: str
    header: str
    chunks: tuple[bytes, ...]
    entries: tuple[JournalEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRecords:
    records: tuple[ShardRecord, ...]
    """Sorted by shard."""
    registry: Registry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Living ids (packed u64, sorted) before the records were read and after: what is in none of these was despawned
    or never spawned, and what is in both was alive all the time."""

    before: bytes
    after: bytes
