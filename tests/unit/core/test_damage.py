"""Damaged records: bits that flip, and values that are cut short, in whatever field Redis stores."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfleet_shard.core import manifest as manifests
from shardfleet_shard.core.damage import Damage, DamageReport, damages_of
from shardfleet_shard.core.journal_requests import GAINS, EntryKind, FleetRecords, Registry, ShardRecord
from shardfleet_shard.core.recovery import RecoveredRows, rebuild
from shardfleet_shard.store.journal import checksum_of, entry_from_values, header_of

from .test_recovery import HISTORIES, READER, SHARDS, PlainShard, PlainWorld

TWO_ROWS_A_CHUNK = 130


@dataclass
class Stored:
    """A shard's record as Redis has it: every value of it can be damaged."""

    shard: str
    header: bytes
    chunks: list[bytes]
    entries: list[list[bytes]] = field(default_factory=list)
    """id, header, ids, versions, checksum, rows"""
    published: bool = False

    @classmethod
    def of(cls, record: ShardRecord) -> Stored:
        entries = []
        for entry in record.entries:
            header, rows = header_of(entry).encode(), entry.rows if entry.kind in GAINS else None
            checksum = checksum_of(header, entry.ids, entry.versions, rows)
            entries.append([entry.id.encode(), header, entry.ids, entry.versions, checksum, rows or b""])
        return cls(record.shard, record.header.encode(), list(record.chunks), entries, bool(record.header))

    @property
    def fields(self) -> list[tuple[str, int, int]]:
        """Where there are bytes: (kind, which, part)."""
        places = [("header", 0, 0)] if self.header else []
        places += [("chunk", number, 0) for number in range(len(self.chunks))]
        places += [
            ("entry", number, part) for number, entry in enumerate(self.entries) for part in range(1, 6) if entry[part]
        ]
        return places

    def damage(self, place: int, at: int, *, cut: bool) -> None:
        kind, number, part = self.fields[place % len(self.fields)]
        if kind == "header":
            self.header = damaged(self.header, at, cut=cut)
        elif kind == "chunk":
            self.chunks[number] = damaged(self.chunks[number], at, cut=cut)
        else:
            self.entries[number][part] = damaged(self.entries[number][part], at, cut=cut)

    def read(self) -> ShardRecord:
        return ShardRecord(
            shard=self.shard,
            header=self.header.decode("utf-8", "replace") or (" " if self.published else ""),
            chunks=tuple(self.chunks),
            entries=tuple(entry_from_values(*values) for values in self.entries),
        )


def damaged(data: bytes, at: int, *, cut: bool) -> bytes:
    if not data:
        return data  # cut away before
    if cut:
        return data[: at % len(data)]
    bit = at % (8 * len(data))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def played(history: Sequence[tuple[str, str, int]]) -> tuple[PlainWorld, list[Stored]]:
    world = PlainWorld()
    for tick, (what, shard, number) in enumerate(history):
        world.play(what, shard, number, tick)
    with patch.object(manifests, "MAX_CHUNK_BYTES", TWO_ROWS_A_CHUNK):
        return world, [Stored.of(record) for record in world.records().records]


def fleet_of(world: PlainWorld, stored: Sequence[Stored]) -> FleetRecords:
    living = np.array(sorted(world.owners), "<u8").tobytes()
    return FleetRecords(records=tuple(one.read() for one in stored), registry=Registry(before=living, after=living))


def restored(found: RecoveredRows) -> dict[int, int]:
    """id -> version; each once, and with the columns of that version."""
    held: dict[int, int] = {}
    for rows in (found.rows, *(rows for _, rows in found.arriving)):
        assert rows["mark"].tolist() == rows.version.tolist()
        for entity, version in zip(rows.id.tolist(), rows.version.tolist(), strict=True):
            assert entity not in held
            held[entity] = version
    return held


HISTORY = st.tuples(HISTORIES, st.sampled_from(SHARDS)).map(lambda drawn: [("spawn", drawn[1], 2), *drawn[0]])
PLACE = st.tuples(st.sampled_from(SHARDS), st.integers(0, 200), st.integers(0, 50_000), st.booleans())


def apply(stored: Sequence[Stored], places: Sequence[tuple[str, int, int, bool]]) -> bool:
    """Whether anything was there to be damaged."""
    any_there = False
    for shard, place, at, cut in places:
        one = next(one for one in stored if one.shard == shard)
        if one.fields:
            one.damage(place, at, cut=cut)
            any_there = True
    return any_there


@settings(max_examples=400)
@given(HISTORY, PLACE)
def test_one_damage_costs_what_only_it_held_and_that_is_named(
    history: list[tuple[str, str, int]], place: tuple[str, int, int, bool]
) -> None:
    world, stored = played(history)
    there = apply(stored, [place])
    fleet = fleet_of(world, stored)
    found = {shard: rebuild(shard, fleet, READER) for shard in SHARDS}
    everywhere: dict[int, int] = {}
    for shard, one in found.items():
        rows = restored(one)
        for entity, version in rows.items():
            assert world.owners[entity] == (shard, version), "nothing is invented, old, or somebody else's"
        everywhere |= rows
        assert not one.in_doubt, "nothing else is damaged"
    missing = sorted(world.owners.keys() - everywhere.keys())
    reports = [one.report for one in found.values()]
    if damages_of(fleet.records):
        assert all(report is not None and report.lost.tolist() == missing for report in reports)
    else:
        assert reports == [None] * 3 and not missing
        assert not there or stored[SHARDS.index(place[0])].header.isascii(), "only a header's blanks say nothing"


@settings(max_examples=400)
@given(HISTORY, st.lists(PLACE, min_size=2, max_size=5))
def test_many_damages_never_give_an_entity_to_two(
    history: list[tuple[str, str, int]], places: list[tuple[str, int, int, bool]]
) -> None:
    world, stored = played(history)
    apply(stored, places)
    fleet = fleet_of(world, stored)
    damages = Counter(damage.shard for damage in damages_of(fleet.records))
    for shard in SHARDS:
        found = rebuild(shard, fleet, READER)
        rows = restored(found)
        for entity, version in rows.items():
            owner, newest = world.owners[entity]
            assert owner == shard
            # It went and came back, and of both its own journal shows neither: this row is the newest that is left.
            assert version == newest or (version < newest and damages[shard] > 1)
        if found.report is not None:
            lost = found.report.lost.tolist()
            assert not set(lost) & rows.keys() and set(lost) <= world.owners.keys()


def one_shard(count: int = 5) -> Stored:
    shard = PlainShard(held=dict.fromkeys(range(count), 1))
    shard.publish(3)
    with patch.object(manifests, "MAX_CHUNK_BYTES", TWO_ROWS_A_CHUNK):
        return Stored.of(shard.record("a"))


def recovered(stored: Stored) -> RecoveredRows:
    living = np.arange(5, dtype="<u8").tobytes()
    return rebuild("a", FleetRecords(records=(stored.read(),), registry=Registry(before=living, after=living)), READER)


def test_every_bit_of_a_small_record() -> None:
    """Exhaustively, what hypothesis samples: each is found, but for one that only moves a blank."""
    whole = one_shard()
    for place in range(len(whole.fields)):
        kind, number, _ = whole.fields[place]
        data = whole.header if kind == "header" else whole.chunks[number]
        for bit in range(8 * len(data)):
            stored = one_shard()
            stored.damage(place, bit, cut=False)
            found = recovered(stored)
            if found.report is None:
                assert restored(found) == dict.fromkeys(range(5), 1)
                continue
            assert restored(found) == {i: 1 for i in range(5) if kind == "chunk" and i // 2 != number}
            assert sorted([*restored(found), *found.report.lost.tolist()]) == list(range(5))


def test_the_key_the_chunk_and_the_ids_are_named() -> None:
    stored = one_shard()
    stored.chunks[1] = b""
    report = recovered(stored).report
    assert report is not None
    assert report.words("sf:f:") == (
        "damaged in Redis, and left out: sf:f:chunk:a:1:3:2: chunk 1 is damaged: it is not there; "
        "not restored, for no record that is whole has them: 2 entities: 2, 3"
    )


def test_a_long_list_is_cut_in_the_line_and_whole_in_further_ones() -> None:
    damages = tuple(Damage(shard="a", key="journal:a", words=f"entry {n}-0: why") for n in range(60))
    report = DamageReport(damages=damages, lost=np.arange(700, dtype=np.uint64))
    words = report.words()
    assert "; 10 more; not restored" in words and words.endswith(
        "700 entities: " + ", ".join(map(str, range(50))) + ", ..."
    )
    further = ", ".join(report.further()).split(", ")
    assert [int(one) for one in further] == list(range(50, 700))


@pytest.mark.parametrize("number", [0, 2, 17])
def test_a_manifest_of_another_format_is_left_out(number: int) -> None:
    stored = one_shard()
    header = json.loads(stored.header) | {"format": number}
    header["checksum"] = manifests._checksum(header)
    stored.header = json.dumps(header).encode()
    found = recovered(stored)
    assert found.report is not None and restored(found) == {}
    assert found.report.damages[0].words == f"manifest format {number}, not 1"
    assert found.report.lost.tolist() == [0, 1, 2, 3, 4]


def test_what_was_written_before_there_were_checksums_is_taken() -> None:
    world, stored = played([("spawn", "a", 2), ("apply", "a", 0), ("publish", "a", 0), ("spawn", "a", 1)])
    header = json.loads(stored[0].header)
    del header["checksum"]
    stored[0].header = json.dumps(header).encode()
    for entry in stored[0].entries:
        entry[4] = b"-"
    found = rebuild("a", fleet_of(world, stored), READER)
    assert found.report is None and restored(found) == dict.fromkeys(range(5), 1)


def test_a_checksum_whose_name_is_damaged_is_not_a_header_of_before() -> None:
    stored = one_shard()
    stored.header = stored.header.replace(b'"checksum"', b'"chfcksum"').replace(b'"tick": 3', b'"tick": 7')
    (damage,) = damages_of([stored.read()])
    assert damage.words == "the header is damaged: it has 'chfcksum' and no checksum"


# --- in doubt ----------------------------------------------------------------------------------------------------


def handed_over() -> tuple[PlainWorld, list[Stored]]:
    """Entities 0 to 2 have gone from a to b, as a's journal alone says of a; 3 was spawned there after that."""
    world, _ = played([("spawn", "a", 2), ("apply", "a", 0), ("publish", "a", 0), ("handoff", "a", 0)])
    world.play("handoff", "a", 0, 5)
    for _ in range(4):
        world.play("apply", "b", 0, 6)
        world.play("apply", "c", 0, 6)
    world.play("publish", "b", 0, 7)
    world.play("publish", "c", 0, 7)
    world.play("spawn", "a", 0, 8)
    with patch.object(manifests, "MAX_CHUNK_BYTES", TWO_ROWS_A_CHUNK):
        return world, [Stored.of(record) for record in world.records().records]


def damage_losses(stored: Stored) -> None:
    for entry in stored.entries:
        if entry[1].startswith(b"out"):
            entry[2] = damaged(entry[2], 0, cut=False)


def test_a_loss_that_cannot_be_read_is_known_by_who_got_it() -> None:
    world, stored = handed_over()
    damage_losses(stored[0])
    found = rebuild("a", fleet_of(world, stored), READER)
    assert not found.in_doubt and restored(found) == {3: 1}


def test_where_who_got_it_is_damaged_too_nothing_older_is_restored() -> None:
    world, stored = handed_over()
    damage_losses(stored[0])
    for one in stored[1:]:
        one.chunks = [damaged(chunk, 77, cut=False) for chunk in one.chunks]
    found = rebuild("a", fleet_of(world, stored), READER)
    assert found.in_doubt and restored(found) == {3: 1}
    assert found.report is not None and found.report.lost.tolist() == [0, 1, 2]


def test_a_despawn_that_cannot_be_read_is_known_by_the_registry() -> None:
    world, stored = played([("spawn", "a", 2), ("apply", "a", 0), ("publish", "a", 0), ("despawn", "a", 1)])
    (entry,) = stored[0].entries
    assert entry[1].startswith(b"despawn")
    entry[1] = damaged(entry[1], 3, cut=False)
    found = rebuild("a", fleet_of(world, stored), READER)
    assert restored(found) == {entity: 1 for entity in (0, 1, 2) if entity in world.owners} and len(world.owners) == 2
    assert found.report is not None and not len(found.report.lost)


def test_a_flipped_spawn_does_not_come_back_as_another_entity() -> None:
    world, stored = played([("spawn", "a", 0)])
    (entry,) = stored[0].entries
    entry[5] = damaged(entry[5], 6, cut=False)
    found = rebuild("a", fleet_of(world, stored), READER)
    assert restored(found) == {}
    assert found.report is not None and found.report.lost.tolist() == [0]
    assert "entry 1-0: spawn, the checksum of its rows does not match" in found.report.words()
    assert found.entries[0].kind is EntryKind.DAMAGED and found.done == ("1-0",)
