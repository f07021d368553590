"""What a shard starts from, against a world of plain dictionaries that knows who owns what."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfleet_shard.core.columns import Columns, Schema
from shardfleet_shard.core.journal import key_of
from shardfleet_shard.core.journal_requests import GAINS, EntryKind, FleetRecords, JournalEntry, ShardRecord
from shardfleet_shard.core.ledger import entry_rows
from shardfleet_shard.core.manifest import JOURNAL_START, AuthorityManifest
from shardfleet_shard.core.recovery import rebuild
from shardfleet_shard.core.row_reader import RowReader
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.errors import SchemaChanged

SCHEMA = Schema(2, np.dtype([("mark", "<u8")]))
READER = RowReader(SCHEMA, simulation="marked")
SHARDS = ("a", "b", "c")


def rows_of(held: dict[int, int]) -> Columns:
    """Rows whose column ``mark`` says under which version they were written."""
    ids, versions = list(held), list(held.values())
    return SCHEMA.rows(
        id=np.array(ids, np.uint64), version=np.array(versions, np.uint32), position=np.zeros((len(ids), 2)),
        mark=np.array(versions, np.uint64),
    )  # fmt: skip


@dataclass
class PlainShard:
    """What one shard holds, what its journal says and how much of that it has applied."""

    held: dict[int, int] = field(default_factory=dict)
    journal: list[JournalEntry] = field(default_factory=list)
    applied: set[str] = field(default_factory=set)
    manifest: tuple[dict[int, int], str, int] | None = None
    written: int = 0

    def append(self, kind: EntryKind, entities: dict[int, int], peer: str, transfer: TransferId | None) -> None:
        self.written += 1
        rows = kind in GAINS
        self.journal.append(
            JournalEntry(
                id=f"{self.written}-0",
                kind=kind,
                transfer=transfer,
                peer=peer,
                count=len(entities),
                tick=5,
                offer_tick=4,
                ids=b"" if rows else np.array(list(entities), "<u8").tobytes(),
                versions=b"" if rows else np.array(list(entities.values()), "<u4").tobytes(),
                rows=rows_of(entities).pack() if rows else b"",
            )
        )

    def apply(self, number: int) -> None:
        """Takes one entry up, in whatever order they come to it; what befalls one entity comes in its order."""
        waiting: list[JournalEntry] = []
        named: set[int] = set()
        for entry in self.journal:
            if entry.id not in self.applied:
                entities = set(entry_rows(entry)[0].tolist())
                if named.isdisjoint(entities):
                    waiting.append(entry)
                named |= entities
        if not waiting:
            return
        entry = waiting[number % len(waiting)]
        self.applied.add(entry.id)
        if entry.kind in GAINS:
            for entity, version in zip(*ids_and_versions(SCHEMA.unpack(entry.rows, entry.count)), strict=True):
                self.held[entity] = max(version, self.held.get(entity, 0))
        else:
            gone = zip(
                np.frombuffer(entry.ids, "<u8").tolist(), np.frombuffer(entry.versions, "<u4").tolist(), strict=True
            )
            for entity, version in gone:
                limit = version if entry.kind is EntryKind.DESPAWN else version - 1
                if self.held.get(entity, limit + 1) <= limit:
                    del self.held[entity]

    def publish(self, tick: int) -> None:
        """All that is held; the journal is trimmed through its longest applied prefix."""
        position = self.manifest[1] if self.manifest else JOURNAL_START
        while self.journal and self.journal[0].id in self.applied:
            position = self.journal.pop(0).id
        self.manifest = (dict(self.held), position, tick)

    def record(self, shard: str) -> ShardRecord:
        if self.manifest is None:
            return ShardRecord(shard=shard, header="", chunks=(), entries=tuple(self.journal))
        held, position, tick = self.manifest
        header, chunks = AuthorityManifest(
            shard=shard, epoch=1, tick=tick, unix_us=0, position=position, rows=rows_of(held),
            states=np.zeros(len(held), np.uint8),
        ).to_chunks()  # fmt: skip
        return ShardRecord(shard=shard, header=json.dumps(header), chunks=tuple(chunks), entries=tuple(self.journal))


class PlainWorld:
    """Spawns, handoffs and despawns, an entity at a time; ``owners`` is the truth."""

    def __init__(self) -> None:
        self.shards = {name: PlainShard() for name in SHARDS}
        self.owners: dict[int, tuple[str, int]] = {}
        self.spawned = 0
        self.transfers = 0

    def play(self, what: str, shard: str, number: int, tick: int) -> None:
        mine = sorted(entity for entity, (owner, _) in self.owners.items() if owner == shard)
        me = self.shards[shard]
        if what == "spawn":
            entities = {self.spawned + more: 1 for more in range(1 + number % 3)}
            self.spawned += len(entities)
            me.append(EntryKind.SPAWN, entities, "", None)
            self.owners.update(dict.fromkeys(entities, (shard, 1)))
        elif what == "handoff" and mine:
            target = SHARDS[(SHARDS.index(shard) + 1 + number % 2) % 3]
            going = {entity: self.owners[entity][1] + 1 for entity in mine[number % len(mine) :][:2]}
            self.transfers += 1
            transfer = TransferId(shard, 1, self.transfers)
            self.shards[target].append(EntryKind.IN, going, shard, transfer)
            me.append(EntryKind.OUT, going, target, transfer)
            self.owners.update({entity: (target, version) for entity, version in going.items()})
        elif what == "despawn" and mine:
            entity = mine[number % len(mine)]
            me.append(EntryKind.DESPAWN, {entity: self.owners.pop(entity)[1]}, "", None)
        elif what == "apply":
            me.apply(number)
        elif what == "publish":
            me.publish(tick)

    def records(self) -> FleetRecords:
        return FleetRecords(records=tuple(me.record(shard) for shard, me in self.shards.items()))


def ids_and_versions(rows: Columns) -> tuple[list[int], list[int]]:
    return rows.id.tolist(), rows.version.tolist()


HISTORIES = st.lists(
    st.tuples(
        st.sampled_from(["spawn", "handoff", "handoff", "despawn", "apply", "apply", "apply", "publish"]),
        st.sampled_from(SHARDS),
        st.integers(0, 5),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(HISTORIES)
def test_every_shard_starts_with_what_is_its_own_and_nothing_else(history: list[tuple[str, str, int]]) -> None:
    world = PlainWorld()
    for tick, (what, shard, number) in enumerate(history):
        world.play(what, shard, number, tick)
    fleet = world.records()
    for shard, me in world.shards.items():
        found = rebuild(shard, fleet, READER)
        held: dict[int, int] = {}
        for rows in (found.rows, *(rows for _, rows in found.arriving)):
            for entity, version in zip(*ids_and_versions(rows), strict=True):
                assert entity not in held
                held[entity] = version
            assert rows["mark"].tolist() == rows.version.tolist()  # the columns belong to that very version
        assert held == {entity: version for entity, (owner, version) in world.owners.items() if owner == shard}
        assert (found.position, found.manifest_tick) == (me.manifest[1:] if me.manifest else (JOURNAL_START, -1))
        assert found.entries == tuple(me.journal)
        arriving = {key_of(entry) for entry, _ in found.arriving}
        assert arriving.isdisjoint(found.done)
        assert arriving | set(found.done) == {key_of(entry) for entry in me.journal}
        in_manifest = set(me.manifest[0]) if me.manifest else set()
        assert set(found.rows.id.tolist()) <= in_manifest
        everything = len(in_manifest) + sum(entry.count for entry in me.journal if entry.kind in GAINS)
        assert found.dropped <= everything - len(held)


def test_a_shard_that_never_was_starts_with_nothing() -> None:
    found = rebuild("a", FleetRecords(records=()), READER)
    assert len(found.rows) == 0 and found.arriving == () and found.done == () and found.position == JOURNAL_START


def test_rows_with_other_columns_are_refused_with_both_and_what_to_do() -> None:
    shard = PlainShard(held={1: 1})
    shard.publish(3)
    fleet = FleetRecords(records=(shard.record("a"),))
    other = RowReader(Schema(2), simulation="rain")
    words = r"mark uint64 is gone; the fleet has mark uint64, simulation 'rain' has no columns of its own: give the"
    with pytest.raises(SchemaChanged, match=words) as caught:
        rebuild("a", fleet, other)
    assert "\n" not in str(caught.value)
    shard.append(EntryKind.SPAWN, {7: 1}, "", None)
    shard.held, shard.manifest = {}, ({}, JOURNAL_START, 3)
    assert not len(rebuild("a", FleetRecords(records=(replace(shard.record("a"), entries=()),)), other).rows)
    with pytest.raises(SchemaChanged, match=f"schema {SCHEMA.hash:08x}, simulation 'rain'"):
        rebuild("a", FleetRecords(records=(shard.record("a"),)), other)
