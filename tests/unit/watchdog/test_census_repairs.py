"""What of a census can be put right, from records with faults put in by hand."""

from __future__ import annotations

from dataclasses import replace

from shardfleet_operator.census_repairs import MAX_REPAIRS, census_repairs
from shardfleet_shard.core.census_requests import RemoveCopy, RestoreEntity
from shardfleet_shard.core.journal_requests import EntryKind

from .test_census import SCHEMA, entry, shard

K = 12


def out(rows: dict[int, int], peer: str) -> object:
    return replace(entry(EntryKind.OUT, rows, peer), tick=K)


def test_a_row_that_the_owner_never_got_comes_from_its_source() -> None:
    records = [shard("a", {1: 3, 2: 1}, out({1: 4}, "b"), tick=10), shard("b", {5: 1}, tick=20)]  # type: ignore[arg-type]
    [restore] = census_repairs(records, [1], []).requests
    assert isinstance(restore, RestoreEntity)
    assert (restore.owner, restore.entity, restore.version) == ("b", 1, 4)
    assert (restore.tick, restore.offer_tick) == (K, 10)
    row = SCHEMA.unpack(restore.row, 1)
    assert (row.id.tolist(), row.version.tolist()) == ([1], [4])


def test_the_newest_copy_counts_also_from_a_journal() -> None:
    came = replace(entry(EntryKind.IN, {1: 3}), tick=8, offer_tick=7)
    records = [
        shard("a", {1: 2}, out({1: 3}, "b"), tick=5),  # type: ignore[arg-type]
        shard("b", {}, came, out({1: 4}, "c")),  # type: ignore[arg-type]
        shard("c", {}),
    ]
    [restore] = census_repairs(records, [1], []).requests
    assert isinstance(restore, RestoreEntity)
    assert (restore.owner, restore.version, restore.offer_tick, restore.tick) == ("c", 4, 7, K)


def test_without_a_row_or_an_owner_it_is_lost() -> None:
    emptied = [shard("a", {}, out({1: 4}, "b")), shard("b", {})]  # type: ignore[arg-type]
    assert census_repairs(emptied, [1], []).lost == (1,)
    never_heard_of = census_repairs([shard("a", {2: 1})], [1, 3], [])
    assert (never_heard_of.requests, never_heard_of.lost) == ((), (1, 3))


def test_the_copy_that_is_not_the_ledgers_goes() -> None:
    records = [shard("a", {1: 3}), shard("b", {1: 5}, replace(entry(EntryKind.IN, {1: 5}), tick=K)), shard("c", {1: 5})]
    requests = census_repairs(records, [], [1]).requests
    assert requests == tuple(RemoveCopy(shard=name, owner="b", entity=1, tick=K) for name in ("a", "c"))


def test_nothing_to_do_and_no_end_of_it() -> None:
    assert census_repairs([shard("a", {1: 1})], [], []).requests == ()
    many = dict.fromkeys(range(1, 200), 1)
    records = [shard("a", many, out(dict.fromkeys(many, 2), "b")), shard("b", {})]  # type: ignore[arg-type]
    assert len(census_repairs(records, many, []).requests) == MAX_REPAIRS
