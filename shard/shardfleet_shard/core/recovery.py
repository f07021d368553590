"""What a shard starts from: its manifest and journal, held against everyone else's.

What is damaged is left out, and so is what could then be taken for newer than it is: an entity that is not restored is
missing, and named; one that two shards simulate breaks the world. Nothing is simulated here; the caller waits for the
old lease and then takes the rows up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .columns import Columns, Mask
from .damage import Damage, DamageReport, damages_in, is_in_doubt, last_hidden_loss, living, read_record
from .journal import Key, key_of
from .journal_requests import GAINS, EntryKind, FleetRecords, JournalEntry, ShardRecord
from .ledger import ShardEvidence, evidence_in, fold, holdings, resolved
from .manifest import JOURNAL_START
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
    in_doubt: bool = False
    """Rows were left out only because other records are damaged too; once these are not, they can be judged."""
    report: DamageReport | None = None
    """None where all records are whole."""


def rebuild(shard: str, fleet: FleetRecords, reader: RowReader) -> RecoveredRows:
    """Applies manifest and journal by version, and drops every row that the ledger gives to someone else.

    Raises:
        SchemaChanged: the stored rows have columns that ``reader`` cannot read.
    """
    reads = {record.shard: read_record(record) for record in fleet.records}
    evidences, damages = resolved(map(evidence_in, reads.values())), damages_in(reads.values())
    ledger = fold(evidences)
    empty = ShardRecord(shard=shard, header="", chunks=(), entries=())
    record = next((record for record in fleet.records if record.shard == shard), empty)
    in_doubt = is_in_doubt(record, damages)
    trusted_from = last_hidden_loss(record) + 1 if in_doubt else 0
    manifest = reads[shard].manifest if shard in reads else None
    rows, manifest_tick, position = reader.schema.empty(), -1, JOURNAL_START
    dropped, upgraded = 0, False

    def keeps(offered: Columns) -> Mask:
        kept: Mask = ledger.keeps(shard, offered.id, offered.version)
        return kept & living(offered.id, fleet.registry) if damages else kept

    if manifest is not None:
        manifest_tick, position = manifest.tick, manifest.position
        if not in_doubt:
            stored = reader.take(manifest.rows)
            upgraded = stored is not manifest.rows
            keep = keeps(stored)
            rows = stored.take(keep)
            dropped += int(np.count_nonzero(~keep))
    here = dict(zip(rows.id.tolist(), rows.version.tolist(), strict=True))
    arriving: list[tuple[JournalEntry, Columns]] = []
    done: list[Key] = []
    for at, entry in enumerate(record.entries):
        if entry.kind is EntryKind.TAKEOVER:
            continue  # neither done nor here: it is taken up while this shard lives
        if entry.kind not in GAINS or at < trusted_from:
            done.append(key_of(entry))
            continue
        offered = reader.unpack(entry.rows, entry.count)
        keep = keeps(offered)
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
    rows = rows.take(~superseded)
    return RecoveredRows(
        rows=rows,
        manifest_tick=manifest_tick,
        position=position,
        entries=record.entries,
        arriving=tuple(arriving),
        done=tuple(done),
        dropped=dropped,
        upgraded=upgraded,
        in_doubt=in_doubt,
        report=_report(shard, fleet, damages, evidences, [rows, *(offered for _, offered in arriving)]),
    )


def _report(
    shard: str,
    fleet: FleetRecords,
    damages: Sequence[Damage],
    evidences: Sequence[ShardEvidence],
    restored: Sequence[Columns],
) -> DamageReport | None:
    held = [rows.id for rows in restored]
    for evidence in evidences:
        # Of the own record only what was restored counts, and what is still to be taken over.
        held += [ids for ids, _ in evidence.taken] if evidence.shard == shard else [holdings(evidence)[0]]
    return DamageReport.of(damages, fleet.registry, held)
