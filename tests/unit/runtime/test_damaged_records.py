"""Damaged records in Redis: a shard that reads them, its own or another's, goes on with what is whole and says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shardfleet_shard.core.damage import DOUBT_PATIENCE_US, DamageReport
from shardfleet_shard.core.journal_requests import (
    Entries,
    EntryKind,
    FleetRecords,
    JournalEntry,
    ReadEntries,
    Registry,
    Tail,
)
from shardfleet_shard.life import RuntimeState

from .interpreter import Interpreter
from .test_takeover import asked, begun, hand_over, held, rows_of
from .world import Process, World

DAMAGED = JournalEntry(id="", kind=EntryKind.DAMAGED, damage="its checksum does not match", may_hide_loss=True)


class Scenario(Interpreter):
    """Commands as in the scenarios; none may say that it is impossible."""

    def do(self, *lines: str) -> list[str]:
        said = [word for line in lines for word in self.execute(line)]
        assert not [word for word in said if word.startswith("impossible")], said
        return said

    def damage_chunks(self, shard: str) -> None:
        manifests = self.world.store.state.manifests
        manifests[shard] = replace(manifests[shard], chunks=tuple(b"x" + c[1:] for c in manifests[shard].chunks))

    def damage_entries(self, shard: str, kind: EntryKind) -> None:
        """As the store hands out what has another checksum than was written."""
        journal = self.world.store.state.journal(shard)
        assert any(entry.kind is kind for entry in journal.entries)
        journal.entries = [replace(DAMAGED, id=e.id) if e.kind is kind else e for e in journal.entries]

    def held_by(self, name: str) -> dict[int, int]:
        rows = self.world.find(name).runtime.context.tracker.rows
        return dict(zip(rows.id.tolist(), rows.version.tolist(), strict=True))

    def last_error(self, name: str) -> str:
        return self.world.find(name).runtime.context.stats.last_error


@pytest.fixture
def scenario() -> Scenario:
    """1 and 2 with a-0, 3 with a-1; all published."""
    made = Scenario()
    made.do("shards a-0 a-1", "spawn 1 at 3,5 moving 0,0", "spawn 2 at 4,5 moving 0,0", "spawn 3 at 15,5 moving 0,0")
    made.do("run 4", "publish a-0", "publish a-1", "run 1", "publish a-0", "publish a-1")
    return made


def test_a_shard_recovers_without_its_damaged_chunk(scenario: Scenario) -> None:
    scenario.do("spawn 4 at 5,5 moving 0,0", "crash a-0")
    scenario.damage_chunks("a-0")
    scenario.do("start a-0", "ended a-0", "run 8")
    assert scenario.held_by("a-0") == {4: 1} and scenario.held_by("a-1") == {3: 1}
    context = scenario.world.find("a-0").runtime.context
    assert (context.stats.damaged_records, context.stats.not_restored) == (1, 2)
    assert "left out: chunk:a-0:" in context.stats.last_error and context.stats.last_error.endswith("2 entities: 1, 2")


def test_a_neighbours_damage_is_no_reason_not_to_recover(scenario: Scenario) -> None:
    scenario.do("crash a-0")
    scenario.damage_chunks("a-1")
    scenario.do("start a-0", "ended a-0", "run 8")
    assert scenario.held_by("a-0") == {1: 1, 2: 1} and scenario.held_by("a-1") == {3: 1}
    assert scenario.last_error("a-0").endswith("1 entities: 3")


def given_away(scenario: Scenario) -> None:
    """2 has gone from a-0 to a-1, as a-0's journal says; its manifest is of before."""
    scenario.do("spawn 5 at 9.95,5 moving 4,0", "run 3", "publish a-0", "run 1", "publish a-0", "run 1", "quiet 8")
    assert scenario.held_by("a-1") == {3: 1, 5: 2}
    scenario.do("publish a-1", "run 1", "publish a-1", "crash a-0")
    scenario.damage_entries("a-0", EntryKind.OUT)


def test_what_is_in_doubt_waits_for_the_neighbours_next_manifest(scenario: Scenario) -> None:
    given_away(scenario)
    scenario.damage_chunks("a-1")
    scenario.do("start a-0", "ended a-0", "run 20")
    process = scenario.world.find("a-0")
    assert process.runtime.state is RuntimeState.RECOVERING and not scenario.last_error("a-0")
    scenario.do("publish a-1", "run 15")
    assert process.runtime.state is RuntimeState.ACTIVE
    assert scenario.held_by("a-0") == {1: 1, 2: 1} and scenario.held_by("a-1") == {3: 1, 5: 2}


def test_what_stays_in_doubt_is_not_restored(scenario: Scenario) -> None:
    given_away(scenario)
    scenario.damage_chunks("a-1")
    scenario.do("start a-0", "ended a-0", "run 3")
    scenario.world.clock.now_us += DOUBT_PATIENCE_US
    scenario.do("run 30")
    assert scenario.world.find("a-0").runtime.state is RuntimeState.ACTIVE
    assert scenario.held_by("a-0") == {}
    assert scenario.last_error("a-0").endswith("4 entities: 1, 2, 3, 5")


@pytest.mark.parametrize("damaged", ["a-0", "a-1"])
def test_a_roll_call_goes_its_way(scenario: Scenario, damaged: str) -> None:
    scenario.damage_chunks(damaged)
    scenario.do("restart", "roll-call", "quiet 5")
    assert scenario.held_by("a-0") == {1: 1, 2: 1} and scenario.held_by("a-1") == {3: 1}
    for name in ("a-0", "a-1"):
        assert scenario.world.find(name).runtime.state is RuntimeState.ACTIVE
        assert scenario.last_error(name).endswith("every living entity is in a record that is whole")


@pytest.mark.parametrize("half", [EntryKind.IN, EntryKind.OUT])
def test_a_roll_call_ends_a_doubt_by_the_half_that_is_whole(scenario: Scenario, half: EntryKind) -> None:
    """Accepted, and neither side has heard of it; of the two entries one is damaged."""
    scenario.do("spawn 5 at 9.95,5 moving 4,0", "tick", "tick", "tick", "tick")
    scenario.do("redis a-0 BEGIN", "deliver OFFER", "execute a-1 ACCEPT")
    scenario.do("restart")
    scenario.damage_entries({EntryKind.IN: "a-1", EntryKind.OUT: "a-0"}[half], half)
    scenario.do("roll-call", "quiet 10")
    assert scenario.held_by("a-0") == {1: 1, 2: 1} and scenario.held_by("a-1") == {3: 1, 5: 2}


def take_over(world: World, process: Process, records: FleetRecords) -> DamageReport:
    living = np.arange(1, 4, dtype="<u8").tobytes()
    damaged = replace(records.records[0], chunks=(records.records[0].chunks[0][:-1],))
    fleet = FleetRecords(records=(damaged, *records.records[1:]), registry=Registry(before=living, after=living))
    hand_over(world, process, fleet)
    (report,) = process.runtime.take_effects().damage
    return report


def test_a_taker_takes_what_is_whole() -> None:
    world, process = begun()
    tick = world.grid.at(world.clock.now_us)
    spawned = JournalEntry(
        id="5-0", kind=EntryKind.SPAWN, count=1, tick=tick, offer_tick=tick - 1, rows=rows_of(world, range(3, 4)).pack()
    )
    report = take_over(world, process, held(world, rows_of(world, range(2, 3)), spawned))
    assert report.lost.tolist() == [2] and "chunk:a-9@1:1:" in report.words()
    world.tick([process])
    assert sorted(process.runtime.context.tracker.rows.id.tolist()) == [1, 3]
    assert process.runtime.state is RuntimeState.ACTIVE and process.runtime.context.journal.settled


def test_a_damaged_entry_of_the_own_journal_is_passed_once_its_rows_cannot_show_any_more() -> None:
    scenario = Scenario()
    scenario.do("shards a-0 a-1", "spawn 1 at 3,5 moving 0,0", "spawn 5 at 9.95,5 moving 4,0", "run 4")
    process = scenario.world.find("a-0")
    context, reader = process.runtime.context, process.runtime.journal_reader
    assert (context.tracker.transfers != 0).any(), "5 is on its way"
    reader.handle_tail(Entries(entries=(replace(DAMAGED, id="9000000000000-0"),)))
    reader.remove_due(context.current_tick)
    assert not context.journal.settled, "the entry may be its `out`: the next manifest still shows it"
    scenario.do("quiet 10")
    assert scenario.held_by("a-0") == {1: 1}
    assert context.journal.settled and context.journal.position == "9000000000000-0"
    assert context.stats.damaged_records == 1 and process.runtime.state is RuntimeState.ACTIVE
    assert context.stats.last_error.endswith("the census names what is missing by it")


def test_rows_that_are_damaged_where_they_are_fetched() -> None:
    world = World(["a-0", "a-1"])
    process = world.find("a-0")
    context, reader = process.runtime.context, process.runtime.journal_reader
    entry = JournalEntry(id="9000000000000-0", kind=EntryKind.SPAWN, count=1, tick=1)
    reader.handle_tail(Entries(entries=(entry,)))
    reader.poll(world.clock.now_us, publishing=True)
    assert [request.ids for request in asked(process, ReadEntries)] == [(entry.id,)]
    reader.handle_fetched(Entries(entries=(replace(DAMAGED, id=entry.id, may_hide_loss=False),)))
    reader.remove_due(context.current_tick)
    assert context.journal.settled and not context.journal.waits_for(entry.id)
    reader.read_soon()
    reader.poll(world.clock.now_us, publishing=False)
    assert [request.read_after for request in asked(process, Tail)] == [entry.id]
