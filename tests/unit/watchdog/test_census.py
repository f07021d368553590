"""The census against a plain count, and what several censuses prove."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfleet_operator.census import SLOW_READINGS_TO_AGREE, Census, CensusHistory, census
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.journal_requests import GAINS, EntryKind, JournalEntry, ShardRecord
from shardfleet_shard.core.manifest import AUTHORITATIVE, FROZEN, PASSING, AuthorityManifest

SCHEMA = Schema(2)
SECOND = 1_000_000


def entry(kind: EntryKind, rows: dict[int, int], peer: str = "") -> JournalEntry:
    ids, versions = np.array(list(rows), "<u8"), np.array(list(rows.values()), "<u4")
    if kind in GAINS:
        packed = SCHEMA.rows(id=ids, position=0.0, version=versions).pack() if rows else b""
        return JournalEntry(id="1-0", kind=kind, count=len(rows), rows=packed)
    return JournalEntry(id="1-0", kind=kind, peer=peer, count=len(rows), ids=ids.tobytes(), versions=versions.tobytes())


def shard(
    name: str,
    rows: dict[int, int] | None,
    *entries: JournalEntry,
    tick: int = 10,
    epoch: int = 1,
    states: Sequence[int] = (),
) -> ShardRecord:
    if rows is None:
        return ShardRecord(shard=name, header="", chunks=(), entries=entries)
    columns = SCHEMA.rows(id=list(rows), position=0.0, version=list(rows.values())) if rows else SCHEMA.empty()
    header, chunks = AuthorityManifest(
        shard=name,
        epoch=epoch,
        tick=tick,
        unix_us=0,
        position="0-0",
        rows=columns,
        states=np.array(states or [AUTHORITATIVE] * len(columns), np.uint8),
    ).to_chunks()
    return ShardRecord(shard=name, header=json.dumps(header), chunks=tuple(chunks), entries=entries)


def found(counted: Census) -> tuple[list[int], list[int]]:
    return counted.missing.tolist(), counted.doubled.tolist()


# --- one census ------------------------------------------------------------------------------------------------

rows = st.dictionaries(st.integers(0, 7), st.integers(1, 3), max_size=4)
journal = st.lists(
    st.builds(entry, st.sampled_from(sorted({*EntryKind} - {EntryKind.DAMAGED})), rows, st.just("b")), max_size=3
)


@settings(max_examples=200)
@given(st.tuples(*(st.tuples(st.none() | rows, journal) for _ in range(3))), st.sets(st.integers(0, 7)))
def test_census_equals_a_plain_count(
    fleet: tuple[tuple[dict[int, int] | None, list[JournalEntry]], ...], living: set[int]
) -> None:
    holders: dict[int, set[str]] = {}
    records = []
    for name, (manifest, entries) in zip("abc", fleet, strict=True):
        records.append(shard(name, manifest, *entries))
        gained, lost = dict(manifest or {}), dict[int, int]()
        for e in entries:
            source = e.rows if e.kind in GAINS else e.ids + e.versions
            ids = np.frombuffer(source[: 8 * e.count], "<u8").tolist()
            versions = np.frombuffer(source[8 * e.count : 12 * e.count], "<u4").tolist()
            side = lost if e.kind in (EntryKind.OUT, EntryKind.DESPAWN) else gained
            for entity, version in zip(ids, versions, strict=True):
                side[entity] = max(side.get(entity, 0), version)
        for entity, version in gained.items():
            if version > lost.get(entity, 0):
                holders.setdefault(entity, set()).add(name)
    counted = census(records, sorted(living), 5)
    assert counted.expected == len(living)
    assert counted.owned == sum(len(holders.get(entity, ())) == 1 for entity in living)
    assert counted.missing.tolist() == sorted(living - holders.keys())
    assert counted.doubled.tolist() == sorted(entity for entity, who in holders.items() if len(who) > 1)
    assert counted.strays.tolist() == sorted(holders.keys() - living)
    assert {(entity, who) for entity, who, _ in counted.claims} == {
        (entity, who) for entity, names in holders.items() if len(names) > 1 for who in names
    }


def test_a_handoff_at_any_stage_counts_once() -> None:
    before = [shard("a", {1: 1}, states=[PASSING]), shard("b", {})]
    accepted = [
        shard("a", {1: 1}, entry(EntryKind.OUT, {1: 2}, "b"), states=[FROZEN]),
        shard("b", {}, entry(EntryKind.IN, {1: 2})),
    ]
    adopted = [
        shard("a", {1: 1}, entry(EntryKind.OUT, {1: 2}, "b")),
        shard("b", {1: 2}, entry(EntryKind.IN, {1: 2})),
    ]
    done = [shard("a", {}), shard("b", {1: 2})]
    for records in (before, accepted, adopted, done):
        counted = census(records, [1], 0)
        assert (counted.expected, counted.owned, *found(counted)) == (1, 1, [], [])
    assert census(before, [1], 0).passing == 1
    assert census(accepted, [1], 0).frozen == 1


def test_spawned_and_not_published_is_owned_and_despawned_is_not_a_stray() -> None:
    counted = census([shard("a", None, entry(EntryKind.SPAWN, {1: 1, 2: 1}), entry(EntryKind.DESPAWN, {2: 1}))], [1], 0)
    assert (counted.owned, found(counted), counted.strays.tolist()) == (1, ([], []), [])


def test_a_damaged_manifest_names_its_shard() -> None:
    good = shard("a", {1: 1})
    bad = ShardRecord(shard="a", header=good.header, chunks=(), entries=())
    counted = census([bad, shard("b", {2: 1})], [1, 2], 0)
    assert [(one.key, one.words) for one in counted.damages] == [("manifest:a", "0 of 1 chunks")]
    assert (counted.owned, found(counted)) == (1, ([1], [])), "it goes on over the others"


def test_who_lost_an_entity_by_an_entry_that_cannot_be_read_does_not_hold_it() -> None:
    unread = JournalEntry(id="5-0", kind=EntryKind.DAMAGED, damage="why", may_hide_loss=True)
    counted = census([shard("a", {1: 1, 2: 1}, unread), shard("b", {1: 2})], [1, 2], 0)
    assert (counted.owned, found(counted)) == (2, ([], []))
    assert found(census([shard("a", {1: 1}), shard("b", {1: 2})], [1], 0)) == ([], [1]), "nothing is unread here"


# --- several in a row ------------------------------------------------------------------------------------------


def counted_at(
    second: float, records: list[ShardRecord], *, living: Sequence[int] = (1,), reading_us: int = 0
) -> Census:
    return census(records, living, int(second * SECOND), reading_us=reading_us)


def test_missing_needs_two_censuses_far_enough_apart() -> None:
    history = CensusHistory()
    assert found(history.confirm(counted_at(0, [shard("a", {}, tick=1)]))) == ([], [])
    assert found(history.confirm(counted_at(1, [shard("a", {}, tick=2)]))) == ([], [])
    assert found(history.confirm(counted_at(1.5, [shard("a", {}, tick=3)]))) == ([1], [])
    assert found(history.confirm(counted_at(3, [shard("a", {1: 1}, tick=4)]))) == ([], [])


def test_an_entity_that_is_accepted_during_every_reading_is_not_missing() -> None:
    # Each census reads the target before the acceptance and the source after it.
    history = CensusHistory()
    for n in range(1, 9):
        source, target = ("a", "b") if n % 2 else ("b", "a")
        records = [shard(source, {1: n}, entry(EntryKind.OUT, {1: n + 1}, target), tick=n), shard(target, {}, tick=n)]
        assert found(history.confirm(counted_at(2 * n, records))) == ([], [])


def test_what_is_given_away_and_never_comes_is_missing_also_once_the_journal_is_trimmed() -> None:
    history = CensusHistory()
    given = shard("a", {1: 1}, entry(EntryKind.OUT, {1: 2}, "b"), tick=1)
    assert found(history.confirm(counted_at(0, [given, shard("b", {}, tick=1)]))) == ([], [])
    assert found(history.confirm(counted_at(2, [given, shard("b", {}, tick=2)]))) == ([1], [])
    assert found(history.confirm(counted_at(4, [shard("a", {}, tick=2), shard("b", {}, tick=3)]))) == ([1], [])


def test_a_census_in_between_that_finds_it_starts_the_count_anew() -> None:
    history = CensusHistory()
    for second, there in ((0, {}), (2, {1: 1}), (4, {}), (5, {})):
        confirmed = history.confirm(counted_at(second, [shard("a", there, tick=second + 1)]))
        assert found(confirmed) == ([], [])


def test_nothing_new_published_proves_nothing() -> None:
    history = CensusHistory()
    for second in (0, 2, 4, 6):
        assert found(history.confirm(counted_at(second, [shard("a", {}, tick=1)]))) == ([], [])
    # One shard that publishes is enough: the one that lost the entity may be dead.
    assert found(history.confirm(counted_at(8, [shard("a", {}, tick=1), shard("b", {}, tick=1)]))) == ([1], [])
    # What is proven stays so while nothing new is published.
    assert found(history.confirm(counted_at(9, [shard("a", {}, tick=1), shard("b", {}, tick=1)]))) == ([1], [])


def test_slow_readings_must_agree_more_often() -> None:
    history = CensusHistory()
    results = [
        found(history.confirm(counted_at(2 * n, [shard("a", {}, tick=n)], reading_us=200_000)))
        for n in range(1, SLOW_READINGS_TO_AGREE + 1)
    ]
    assert results == [([], [])] * (SLOW_READINGS_TO_AGREE - 1) + [([1], [])]


def test_a_slow_reading_that_misses_it_too_takes_nothing_back() -> None:
    history = CensusHistory()
    for n, reading_us in ((1, 0), (2, 0), (3, 200_000)):
        confirmed = history.confirm(counted_at(2 * n, [shard("a", {}, tick=n)], reading_us=reading_us))
    assert found(confirmed) == ([1], [])
    assert found(history.confirm(counted_at(8, [shard("a", {1: 1}, tick=4)]))) == ([], [])
    assert found(history.confirm(counted_at(10, [shard("a", {}, tick=5)]))) == ([], [])


def test_doubled_is_proven_by_a_claim_that_stays_beaten() -> None:
    history = CensusHistory()
    assert found(history.confirm(counted_at(0, [shard("a", {1: 1}, tick=1), shard("b", {1: 2}, tick=1)]))) == ([], [])
    # The other holder may hand it on meanwhile; the stale row is what counts.
    stale = [shard("a", {1: 1}, tick=2), shard("b", {}, tick=2), shard("c", {1: 3}, tick=2)]
    assert found(history.confirm(counted_at(2, stale))) == ([], [1])


def test_an_entity_that_moves_during_every_reading_is_not_doubled() -> None:
    # Each census reads the source before the handover and the target after it.
    history = CensusHistory()
    for n in range(1, 9):
        source, target = ("a", "b") if n % 2 else ("b", "a")
        records = [shard(source, {1: n}, tick=n), shard(target, {1: n + 1}, tick=n)]
        assert found(history.confirm(counted_at(2 * n, records))) == ([], [])


def test_the_same_version_twice_is_doubled() -> None:
    history = CensusHistory()
    for tick in (1, 2):
        confirmed = history.confirm(
            counted_at(2 * tick, [shard("a", {1: 4}, tick=tick), shard("b", {1: 4}, tick=tick)])
        )
    assert found(confirmed) == ([], [1])
