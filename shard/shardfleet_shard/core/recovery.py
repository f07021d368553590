"""What a shard starts from: its manifest and journal, held against everyone else's.

Nothing is simulated here; the caller waits for the old lease and then takes the rows up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from .columns import Columns
from .journal import Key, key_of
from .journal_requests import GAINS, EntryKind, FleetRecords, JournalEntry, ShardRecord
from .ledger import fold_records
from .manifest import JOURNAL_START, AuthorityManifest
from .row_reader import RowReader


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecoveredRows:
    """The pure result of reading.

    Attributes:
        rows: manifest rows that are still this shard's, as of the end of ``manifest_tick``.
        manifest_tick: -1 where the shard never published.
        position: the manifest's journal position.
        entries: the journal after it, in order.
        arriving: entries with rows of which some are still to be taken up, and these rows (versions the shard's).
        done: keys of entries whose effect ``rows`` already has.
        dropped: rows that the ledger gives to another owner, or to none.
    """

    rows: Columns
    manifest_tick: int
    position: str
    entries: tuple[JournalEntry, ...]
    arriving: tuple[tuple[JournalEntry, Columns], ...]
    done: tuple[Key, ...]
    dropped: int
    upgraded: bool = False
    """The manifest was of a former schema."""


def rebuild(shard: str, fleet: FleetRecords, reader: RowReader) -> RecoveredRows:
    """Applies manifest and journal by version, and drops every row that the ledger gives to someone else.

    Raises:
        UsageError: a record is damaged (names the shard).
        SchemaChanged: the stored rows have columns that ``reader`` cannot read.
    """
    try:
        ledger = fold_records(fleet.records)
    except ValueError as error:
        raise UsageError(f"cannot recover {shard}: {error}") from error
    empty = ShardRecord(shard=shard, header="", chunks=(), entries=())
    record = next((record for record in fleet.records if record.shard == shard), empty)
    rows, manifest_tick, position = reader.schema.empty(), -1, JOURNAL_START
    dropped, upgraded = 0, False
    if record.header:
        manifest = AuthorityManifest.from_chunks(json.loads(record.header), record.chunks)
        stored = reader.take(manifest.rows)
        upgraded = stored is not manifest.rows
        keep = ledger.keeps(shard, stored.id, stored.version)
        rows, manifest_tick, position = stored.take(keep), manifest.tick, manifest.position
        dropped += int(np.count_nonzero(~keep))
    here = dict(zip(rows.id.tolist(), rows.version.tolist(), strict=True))
    arriving: list[tuple[JournalEntry, Columns]] = []
    done: list[Key] = []
    for entry in record.entries:
        if entry.kind is EntryKind.TAKEOVER:
            continue  # neither done nor here: it is taken up while this shard lives
        if entry.kind not in GAINS:
            done.append(key_of(entry))
            continue
        offered = reader.unpack(entry.rows, entry.count)
        keep = ledger.keeps(shard, offered.id, offered.version)
        newer = np.fromiter(
            (here.get(i, -1) < v for i, v in zip(offered.id.tolist(), offered.version.tolist(), strict=True)),
            bool,
            entry.count,
        )
        dropped += int(np.count_nonzero(~keep))
        if (keep & newer).any():
            arriving.append((entry, offered.take(keep & newer)))
        else:
            done.append(key_of(entry))
    superseded = np.zeros(len(rows), bool)
    for _, offered in arriving:
        superseded |= np.isin(rows.id, offered.id)
    return RecoveredRows(
        rows=rows.take(~superseded),
        manifest_tick=manifest_tick,
        position=position,
        entries=record.entries,
        arriving=tuple(arriving),
        done=tuple(done),
        dropped=dropped,
        upgraded=upgraded,
    )
