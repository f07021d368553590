"""What lies under an alias: whose it is by the ledger, and the pieces in which its taker takes it up."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfleet_shard.core import ledger
from shardfleet_shard.core.columns import Columns, Schema
from shardfleet_shard.core.journal_requests import GAINS, EntryKind, JournalEntry, ShardRecord
from shardfleet_shard.core.manifest import AuthorityManifest
from shardfleet_shard.core.row_reader import RowReader
from shardfleet_shard.core.taken_rows import Piece, pieces_under, transfers_into
from shardfleet_shard.core.transfer import MAX_ENTITIES_PER_TRANSFER, TransferId
from shardfleet_shard.errors import SchemaChanged

SCHEMA = Schema(2, np.dtype([("mark", "<u8")]))
READER = RowReader(SCHEMA, simulation="marked")
GONE, TAKER, OTHER, LATER = "a", "b", "c", "d"
ALIAS, SECOND = "a@7", "b@8"
Held = dict[int, int]


def rows_of(held: Held, mark: int = 0) -> Columns:
    """``mark`` tells where they were stored."""
    return SCHEMA.rows(
        id=np.array(list(held), np.uint64), version=np.array(list(held.values()), np.uint32),
        position=np.zeros((len(held), 2)), mark=np.full(len(held), mark, np.uint64),
    )  # fmt: skip


def entry(kind: EntryKind, held: Held, *, tick: int = 30, mark: int = 0, peer: str = OTHER) -> JournalEntry:
    transfer = TransferId(peer, 1, 1) if kind is EntryKind.IN else None
    values = {"id": "1-0", "kind": kind, "count": len(held), "tick": tick, "offer_tick": tick - 3, "peer": peer}
    if kind in GAINS:
        return JournalEntry(**values, transfer=transfer, rows=rows_of(held, mark).pack())
    rows = rows_of(held)
    return JournalEntry(**values, ids=rows.id.tobytes(), versions=rows.version.tobytes())


def takeover(alias: str) -> JournalEntry:
    return JournalEntry(id="2-0", kind=EntryKind.TAKEOVER, peer=alias)


def record(name: str, held: Held | None = None, *entries: JournalEntry, tick: int = 20) -> ShardRecord:
    if held is None:
        return ShardRecord(shard=name, header="", chunks=(), entries=entries)
    manifest = AuthorityManifest(
        shard=name.partition("@")[0], epoch=1, tick=tick, unix_us=0, position="0-0", rows=rows_of(held, tick),
        states=np.zeros(len(held), np.uint8),
    )  # fmt: skip
    header, chunks = manifest.to_chunks()
    return ShardRecord(shard=name, header=json.dumps(header), chunks=tuple(chunks), entries=entries)


def owners(records: list[ShardRecord]) -> dict[int, tuple[str, int]]:
    folded = ledger.fold_records(records)
    assert not len(folded.doubled)
    alive = folded.owner != ledger.NOBODY
    return {
        int(i): (folded.owners[o], int(v))
        for i, v, o in zip(folded.id[alive], folded.version[alive], folded.owner[alive], strict=True)
    }


def taken(pieces: list[Piece]) -> dict[int, tuple[int, int, int]]:
    """id -> (version, mark, first tick)."""
    found = {}
    for piece in pieces:
        for at in range(len(piece.rows)):
            assert int(piece.rows.id[at]) not in found, "no row comes twice"
            found[int(piece.rows.id[at])] = (int(piece.rows.version[at]), int(piece.rows["mark"][at]), piece.first_tick)
    return found


def test_a_row_that_another_has_at_the_raised_version_was_given_on_before() -> None:
    """A Redis that forgot a transfer does not know that the dead shard gave the row away; its new owner does."""
    gone, under = record(GONE), record(ALIAS, {1: 3, 2: 3})
    taker, other = record(TAKER, {}, takeover(ALIAS)), record(OTHER, {1: 4})
    assert owners([gone, under, taker, other]) == {1: (OTHER, 4), 2: (TAKER, 4)}
    assert owners([gone, under, record(TAKER, {2: 4}, takeover(ALIAS)), other]) == {1: (OTHER, 4), 2: (TAKER, 4)}
    named = record(LATER, {}, entry(EntryKind.OUT, {2: 3}, peer=GONE))
    assert owners([gone, under, taker, other, named]) == {1: (OTHER, 4), 2: (TAKER, 4)}
    nested = [record(SECOND, {}, takeover(ALIAS)), record(LATER, {}, takeover(SECOND))]
    assert owners([gone, under, record(TAKER), other, *nested]) == {1: (OTHER, 4), 2: (LATER, 5)}


# --- whose it is ------------------------------------------------------------------------------------------------

steps = st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=12)


def lived(doings: list[tuple[int, bool]], published: int, trimmed: int) -> tuple[Held, list[JournalEntry]]:
    """Manifest and journal of a shard that lived: (id, whether it is despawned rather than handed on) makes each row
    come when it is away, and go when it is there."""
    versions: Held = {}
    held: Held = {}
    manifests, entries = [dict(held)], list[JournalEntry]()
    for entity, ends in doings:
        if entity in held:
            version = held.pop(entity)
            versions[entity] = version if ends else version + 1
            entries.append(entry(EntryKind.DESPAWN if ends else EntryKind.OUT, {entity: versions[entity]}))
        else:
            kind = EntryKind.IN if entity in versions else EntryKind.SPAWN
            versions[entity] = held[entity] = versions.get(entity, 0) + 1
            entries.append(entry(kind, {entity: versions[entity]}))
        manifests.append(dict(held))
    published = min(published, len(entries))
    return manifests[published], entries[min(trimmed, published) :]


def with_targets(entries: list[JournalEntry]) -> ShardRecord:
    """The other shard's journal, with an ``in`` for every ``out``, as ACCEPT writes both."""
    outs = [one for one in entries if one.kind is EntryKind.OUT]
    return record(OTHER, None, *(entry(EntryKind.IN, _held(one), peer=GONE) for one in outs))


def _held(one: JournalEntry) -> Held:
    return dict(zip(*(column.tolist() for column in ledger.entry_rows(one)), strict=True))


@settings(max_examples=200)
@given(steps, st.integers(0, 12), st.integers(0, 12))
def test_a_takeover_moves_each_row_by_one_version_and_nothing_else(
    doings: list[tuple[int, bool]], published: int, trimmed: int
) -> None:
    held, entries = lived(doings, published, trimmed)
    other = with_targets(entries)
    gone = record(GONE, held, *entries)
    holds = {int(i) for i in ledger.holdings(ledger.evidence_of(gone))[0]}
    under = record(ALIAS, held, *entries)
    before = owners_or_none([gone, record(TAKER), other])
    after = owners_or_none([record(GONE), under, record(TAKER, {}, takeover(ALIAS)), other])
    for entity, answer in before.items():
        if answer is not None and answer[0] == GONE:
            assert entity in holds
            assert after[entity] == (TAKER, answer[1] + 1)
        else:
            assert after[entity] == answer
    pieces = taken(pieces_under(ALIAS, [under], READER))
    assert set(pieces) == holds
    for entity, (version, _, _) in pieces.items():
        assert version == int(dict(zip(*ledger.holdings(ledger.evidence_of(gone)), strict=True))[entity]) + 1


def owners_or_none(records: list[ShardRecord]) -> dict[int, tuple[str, int] | None]:
    folded = ledger.fold_records(records)
    return {
        int(i): None if o == ledger.NOBODY else (folded.owners[o], int(v))
        for i, v, o in zip(folded.id, folded.version, folded.owner, strict=True)
    }


def test_half_taken_up_counts_once() -> None:
    """The taker has published two of three rows, and has given one of these on."""
    fleet = [
        record(GONE), record(ALIAS, {1: 4, 2: 4, 3: 4}),
        record(TAKER, {1: 5, 2: 5}, takeover(ALIAS), entry(EntryKind.OUT, {2: 6})),
        record(OTHER, None, entry(EntryKind.IN, {2: 6}, peer=TAKER)),
    ]  # fmt: skip
    assert owners(fleet) == {1: (TAKER, 5), 2: (OTHER, 6), 3: (TAKER, 5)}
    evidence = {one.shard: one for one in ledger.evidence_of_fleet(fleet)}
    assert [ledger.holdings(evidence[name])[0].tolist() for name in (ALIAS, TAKER, OTHER)] == [[], [1, 3], [2]]


def test_a_taker_that_is_taken_over_gives_on_what_it_had_not_taken_up() -> None:
    inner = record(ALIAS, {1: 4, 2: 4, 3: 4})
    outer = record(SECOND, {1: 5, 9: 1}, takeover(ALIAS), entry(EntryKind.OUT, {2: 6}), tick=25)
    other = record(OTHER, None, entry(EntryKind.IN, {2: 6}, peer=TAKER))
    fleet = [record(GONE), inner, record(TAKER), outer, record(LATER, {}, takeover(SECOND)), other]
    assert owners(fleet) == {1: (LATER, 6), 2: (OTHER, 6), 3: (LATER, 6), 9: (LATER, 2)}
    pieces = taken(pieces_under(SECOND, [inner, outer], READER))
    assert pieces == {1: (6, 25, 26), 9: (2, 25, 26), 3: (6, 20, 21)}, "the newer state, and each row once"


# --- its pieces --------------------------------------------------------------------------------------------------


def test_rows_start_after_their_manifest_or_at_their_switch() -> None:
    under = record(
        ALIAS, {1: 1, 2: 1}, entry(EntryKind.IN, {3: 2}, tick=40, mark=7), entry(EntryKind.SPAWN, {4: 1}, tick=50),
        entry(EntryKind.OUT, {2: 2}), entry(EntryKind.DESPAWN, {4: 1}),
    )  # fmt: skip
    pieces = pieces_under(ALIAS, [under], READER)
    assert taken(pieces) == {1: (2, 20, 21), 3: (3, 7, 40)}
    assert [(piece.state_tick, piece.first_tick) for piece in pieces if len(piece.rows)] == [(20, 21), (37, 40)]
    assert transfers_into([under]) == [TransferId(OTHER, 1, 1)]


def test_what_the_manifest_shows_is_not_taken_from_the_journal() -> None:
    under = record(ALIAS, {3: 2}, entry(EntryKind.IN, {3: 2}, mark=7))
    assert taken(pieces_under(ALIAS, [under], READER)) == {3: (3, 20, 21)}


def test_what_came_back_is_taken_from_the_journal() -> None:
    under = record(ALIAS, {3: 2}, entry(EntryKind.OUT, {3: 3}), entry(EntryKind.IN, {3: 4}, tick=41, mark=7))
    assert taken(pieces_under(ALIAS, [under], READER)) == {3: (5, 7, 41)}


def test_many_rows_come_in_bounded_pieces() -> None:
    held = dict.fromkeys(range(2 * MAX_ENTITIES_PER_TRANSFER + 1), 1)
    pieces = pieces_under(ALIAS, [record(ALIAS, held)], READER)
    assert [len(piece.rows) for piece in pieces] == [MAX_ENTITIES_PER_TRANSFER] * 2 + [1]


def test_an_alias_without_anything() -> None:
    assert pieces_under(ALIAS, [record(ALIAS)], READER) == []


def test_rows_of_unknown_columns_are_refused() -> None:
    with pytest.raises(SchemaChanged):
        pieces_under(ALIAS, [record(ALIAS, {1: 1})], RowReader(Schema(2, None), simulation="plain"))
