"""The fold against a plain dictionary, and the cases that the protocol rests on."""

from __future__ import annotations

import json
import time
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfleet_shard.core import ledger
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.journal_requests import GAINS, EntryKind, JournalEntry, ShardRecord
from shardfleet_shard.core.manifest import AuthorityManifest

SCHEMA = Schema(2, np.dtype([("mass", "<f4")]))
SHARDS = ("a", "b", "c")


def u64(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def u32(*values: int) -> np.ndarray:
    return np.array(values, np.uint32)


def entry(kind: EntryKind, pairs: list[tuple[int, int]], peer: str = "") -> JournalEntry:
    ids, versions = u64(*(i for i, _ in pairs)), u32(*(v for _, v in pairs))
    if kind in GAINS:
        rows = SCHEMA.rows(id=ids, position=(1.0, 2.0), version=versions).pack() if pairs else b""
        return JournalEntry(id="1-0", kind=kind, peer=peer, count=len(pairs), rows=rows)
    return JournalEntry(
        id="1-0", kind=kind, peer=peer, count=len(pairs), ids=ids.tobytes(), versions=versions.tobytes()
    )


def record(shard: str, rows: dict[int, int], *entries: JournalEntry) -> ledger.ShardEvidence:
    return ledger.ShardEvidence(shard, u64(*rows), u32(*rows.values()), entries)


def as_dict(folded: ledger.Ledger) -> dict[int, tuple[str | None, int]]:
    return {
        int(i): (None if o == ledger.NOBODY else folded.owners[o], int(v))
        for i, v, o in zip(folded.id, folded.version, folded.owner, strict=True)
    }


def naive(records: list[ledger.ShardEvidence]) -> tuple[dict[int, tuple[str | None, int]], set[int]]:
    """The same rules, one entity at a time."""
    seen: dict[int, list[tuple[int, str, str]]] = defaultdict(list)  # id -> (version, kind, owner)
    for shard, ids, versions, entries, _ in records:
        for i, v in zip(ids.tolist(), versions.tolist(), strict=True):
            seen[i].append((v, "row", shard))
        for e in entries:
            for i, v in zip(*(a.tolist() for a in ledger.entry_rows(e)), strict=True):
                if e.kind is EntryKind.DESPAWN:
                    seen[i].append((v, "dead", shard))
                elif e.kind is EntryKind.OUT:
                    seen[i].append((v, "named", e.peer))
                else:
                    seen[i].append((v, "row", shard))
    answer: dict[int, tuple[str | None, int]] = {}
    doubled = set()
    for i, claims in seen.items():
        top = max(v for v, _, _ in claims)
        at_top = [(kind, owner) for v, kind, owner in claims if v == top]
        if any(kind == "dead" for kind, _ in at_top):
            answer[i] = (None, top)
            continue
        with_rows = sorted(owner for kind, owner in at_top if kind == "row")
        answer[i] = ((with_rows or sorted(owner for _, owner in at_top))[0], top)
        if len({owner for _, owner in at_top}) > 1:
            doubled.add(i)
    return answer, doubled


pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 4)), max_size=5, unique_by=lambda p: p[0])
entries = st.lists(
    st.builds(entry, st.sampled_from([*GAINS, EntryKind.OUT, EntryKind.DESPAWN]), pairs, st.sampled_from(SHARDS)),
    max_size=4,
)
records_of_a_fleet = st.tuples(
    *(st.builds(lambda r, e, s=shard: record(s, dict(r), *e), pairs, entries) for shard in SHARDS)
).map(list)


@settings(max_examples=300)
@given(records_of_a_fleet)
def test_fold_equals_the_plain_dictionary(records: list[ledger.ShardEvidence]) -> None:
    folded = ledger.fold(records)
    answer, doubled = naive(records)
    assert as_dict(folded) == answer
    assert set(folded.doubled.tolist()) == doubled
    assert set(folded.alive.tolist()) == {i for i, (owner, _) in answer.items() if owner is not None}
    assert (np.diff(folded.id.astype(np.int64)) > 0).all()


@settings(max_examples=200)
@given(records_of_a_fleet, pairs)
def test_keeps_and_owner_of_equal_the_plain_rules(
    records: list[ledger.ShardEvidence], asked: list[tuple[int, int]]
) -> None:
    folded = ledger.fold(records)
    answer, _ = naive(records)
    ids, versions = u64(*(i for i, _ in asked)), u32(*(v for _, v in asked))
    owners, found = folded.owner_of(ids)
    for (i, _), owner, version in zip(asked, owners, found, strict=True):
        name, top = answer.get(i, (None, 0))
        assert (version, owner == ledger.NOBODY) == (top, name is None)
        assert name is None or folded.owners[owner] == name
    for shard in SHARDS:
        wanted = []
        for i, v in asked:
            name, top = answer.get(i, (shard, 0))
            wanted.append(v > top or (v == top and name == shard))
        assert folded.keeps(shard, ids, versions).tolist() == wanted


@settings(max_examples=200)
@given(records_of_a_fleet)
def test_holdings_equal_the_plain_rules(records: list[ledger.ShardEvidence]) -> None:
    for one in records:
        gained: dict[int, int] = {}
        lost: dict[int, int] = {}
        for i, v in zip(one.ids.tolist(), one.versions.tolist(), strict=True):
            gained[i] = max(gained.get(i, 0), v)
        for e in one.entries:
            side = lost if e.kind in (EntryKind.OUT, EntryKind.DESPAWN) else gained
            for i, v in zip(*(a.tolist() for a in ledger.entry_rows(e)), strict=True):
                side[i] = max(side.get(i, 0), v)
        ids, versions = ledger.holdings(one)
        wanted = {i: v for i, v in gained.items() if v > lost.get(i, 0)}
        assert dict(zip(ids.tolist(), versions.tolist(), strict=True)) == wanted


def test_an_accepted_transfer_belongs_to_its_target_before_the_switch() -> None:
    folded = ledger.fold(
        [record("a", {1: 1, 2: 1}, entry(EntryKind.OUT, [(1, 2)], "b")), record("b", {}, entry(EntryKind.IN, [(1, 2)]))]
    )
    assert as_dict(folded) == {1: ("b", 2), 2: ("a", 1)}
    assert not len(folded.doubled)
    assert folded.keeps("a", u64(1, 2), u32(1, 1)).tolist() == [False, True]
    assert folded.keeps("b", u64(1), u32(2)).tolist() == [True]


def test_an_out_alone_names_the_peer() -> None:
    # The target's records were read before its `in` was written, or it has handed the entity on since.
    folded = ledger.fold([record("a", {1: 1}, entry(EntryKind.OUT, [(1, 2)], "b")), record("b", {})])
    assert as_dict(folded) == {1: ("b", 2)}


def test_a_despawn_wins_at_its_own_version_and_loses_above() -> None:
    folded = ledger.fold([record("a", {1: 3, 2: 4}, entry(EntryKind.DESPAWN, [(1, 3), (2, 3)]))])
    assert as_dict(folded) == {1: (None, 3), 2: ("a", 4)}
    assert folded.keeps("a", u64(1, 2), u32(3, 4)).tolist() == [False, True]


def test_two_shards_at_one_version_are_doubled_and_only_one_keeps() -> None:
    folded = ledger.fold([record("b", {7: 2}), record("a", {7: 2})])
    assert folded.doubled.tolist() == [7]
    assert folded.keeps("a", u64(7), u32(2)).tolist() == [True]
    assert folded.keeps("b", u64(7), u32(2)).tolist() == [False]


def test_nothing_at_all() -> None:
    folded = ledger.fold([])
    assert len(folded) == 0
    assert folded.owner_of(u64(1))[0].tolist() == [ledger.NOBODY]
    assert folded.keeps("a", u64(1), u32(1)).tolist() == [True]
    assert ledger.fold([record("a", {})]).alive.tolist() == []


def test_an_entry_read_without_its_rows_is_refused() -> None:
    bare = JournalEntry(id="5-0", kind=EntryKind.IN, count=2)
    with pytest.raises(ValueError, match="5-0"):
        ledger.fold([record("a", {}, bare)])


def test_fold_of_stored_records_and_of_a_damaged_one() -> None:
    rows = SCHEMA.rows(id=[3, 1], position=(0.0, 0.0), version=[5, 6])
    manifest = AuthorityManifest(
        shard="a", epoch=1, tick=9, unix_us=0, position="0-0", rows=rows, states=np.zeros(2, np.uint8)
    )
    header, chunks = manifest.to_chunks()
    good = ShardRecord(shard="a", header=json.dumps(header), chunks=tuple(chunks), entries=())
    never = ShardRecord(shard="b", header="", chunks=(), entries=(entry(EntryKind.SPAWN, [(9, 1)]),))
    assert as_dict(ledger.fold_records([good, never])) == {1: ("a", 6), 3: ("a", 5), 9: ("b", 1)}
    bad = ShardRecord(shard="a", header=json.dumps(header), chunks=(b"x" + chunks[0][1:],), entries=())
    assert as_dict(ledger.fold_records([bad, never])) == {9: ("b", 1)}, "what is damaged says nothing"


def test_large_fold_stays_vectorised() -> None:
    ids = np.random.default_rng(1).permutation(400_000).astype(np.uint64)
    quarter = len(ids) // 4
    parts = [
        ledger.ShardEvidence(f"s{n}", ids[n * quarter : (n + 1) * quarter], np.ones(quarter, np.uint32), ())
        for n in range(4)
    ]
    started_s = time.process_time()
    folded = ledger.fold(parts)
    assert time.process_time() - started_s < 3.0  # 0.1 s here; a loop over entities takes far longer
    assert len(folded.alive) == len(ids)
