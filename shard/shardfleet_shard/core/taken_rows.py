"""What a takeover brings: the rows under an alias as pieces, each to be simulated from a tick of its own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .columns import Columns
from .damage import read_record
from .journal_requests import GAINS, EntryKind, ShardRecord
from .ledger import evidence_of, holdings, with_taken
from .row_reader import RowReader
from .transfer import MAX_ENTITIES_PER_TRANSFER, TransferId


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """Rows, at most as many as a transfer has, that are taken up together.

    Attributes:
        rows: under the taker's version, as of the end of ``state_tick``.
        first_tick: the first tick that is the taker's to simulate. Ticks between the two were another's, before it.
        upgraded: they were of a former schema.
    """

    rows: Columns
    state_tick: int
    first_tick: int
    upgraded: bool = False


def records_under(alias: str, records: Iterable[ShardRecord]) -> list[ShardRecord]:
    """Of ``records``, those of the alias and of the aliases that its own journal still names."""
    named = {record.shard: record for record in records}
    found, waiting = list[ShardRecord](), [alias]
    while waiting:
        record = named.get(waiting.pop())
        if record is not None:
            found.append(record)
            waiting += [entry.peer for entry in record.entries if entry.kind is EntryKind.TAKEOVER]
    return found


def pieces_under(alias: str, records: Sequence[ShardRecord], reader: RowReader) -> list[Piece]:
    """Each row that the alias holds, once: from its manifest, else from its journal, else from an alias in that.

    Ticks are as they were written down; a world that rested since has others (``Context.after_rests``). What is damaged
    is left out.

    Args:
        records: of the alias and of those nested in it.
    Raises:
        SchemaChanged: rows have columns that ``reader`` cannot read; SimulationError: upgrading them failed.
    """
    evidence = {record.shard: evidence_of(record) for record in records}
    if alias not in evidence:
        return []
    ids, versions = holdings(with_taken(evidence[alias], evidence))
    wanted = dict(zip(ids.tolist(), versions.tolist(), strict=True))
    pieces = []
    for piece in _stored(alias, {record.shard: record for record in records}, reader):
        pairs = zip(piece.rows.id.tolist(), piece.rows.version.tolist(), strict=True)
        here = np.fromiter((wanted.get(i) == v for i, v in pairs), bool, len(piece.rows))
        rows = piece.rows.take(here).with_version_raised()
        for entity in rows.id.tolist():
            del wanted[entity]
        pieces += [
            replace(piece, rows=rows.take(slice(start, start + MAX_ENTITIES_PER_TRANSFER)))
            for start in range(0, len(rows), MAX_ENTITIES_PER_TRANSFER)
        ]
    return pieces


def transfers_into(records: Iterable[ShardRecord]) -> list[TransferId]:
    """By which rows came that the manifests need not show yet."""
    entries = (entry for record in records for entry in record.entries)
    return [entry.transfer for entry in entries if entry.kind is EntryKind.IN and entry.transfer is not None]


def _stored(alias: str, records: Mapping[str, ShardRecord], reader: RowReader) -> Iterator[Piece]:
    """All rows that are there, held or not, under their stored versions; the newest states first."""
    record = records.get(alias)
    if record is None:
        return
    if (manifest := read_record(record).manifest) is not None:
        rows = reader.take(manifest.rows)
        yield Piece(
            rows=rows,
            state_tick=manifest.tick,
            first_tick=manifest.tick + 1,
            upgraded=rows is not manifest.rows and len(rows) > 0,
        )
    for entry in record.entries:
        if entry.kind in GAINS:
            yield Piece(
                rows=reader.unpack(entry.rows, entry.count),
                state_tick=entry.offer_tick,
                first_tick=entry.tick,
                upgraded=reader.is_former(entry.rows),
            )
    for entry in record.entries:
        if entry.kind is EntryKind.TAKEOVER:
            for piece in _stored(entry.peer, records, reader):
                yield replace(piece, rows=piece.rows.with_version_raised())
