"""Records that stand although both sides think them ended: each side reads its own again, and does its last step."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from shardfleet_shard.core.journal_requests import EntryKind, JournalEntry
from shardfleet_shard.core.requests import Begin
from shardfleet_shard.store.memory_state import Record

from .interpreter import Interpreter

TO_THE_BOUND = "quiet 70"
"""3.5 s: a record may stand so long after its switch."""


def handed_over() -> tuple[Interpreter, Record]:
    """Entity 1 has gone from a-0 to a-1, and the record is cleared; it comes back as it was when it was accepted."""
    scenario = Interpreter()
    for line in ("shards a-0 a-1", "spawn 1 at 9.6,5 moving 4,0", "run 6"):
        scenario.execute(line)
    [record] = copy.deepcopy(list(scenario.world.store.state.records.values()))
    scenario.execute("run 3")
    assert scenario.world.store.state.records == {}
    assert record.state == "accepted"
    return scenario, record


@pytest.mark.parametrize("holders", [{"a-0"}, {"a-0", "a-1"}, set[str]()])
def test_an_accepted_record_is_ended_by_those_whose_step_is_missing(holders: set[str]) -> None:
    scenario, record = handed_over()
    state = scenario.world.store.state
    state.records[record.begun.transfer] = replace(record, holders=set(holders))
    scenario.execute(TO_THE_BOUND)
    assert state.records == {}
    assert scenario.execute("rows")[:1] == ["a-0 has nothing"]


def test_a_started_record_of_an_entity_that_stayed_is_canceled() -> None:
    scenario, record = handed_over()
    state = scenario.world.store.state
    state.records[record.begun.transfer] = replace(record, state="started", holders={"a-0"})
    scenario.execute(TO_THE_BOUND)
    assert state.records == {} and state.counters["canceled_transfers"] == 1


def test_nothing_is_called_adopted_whose_journal_entry_still_waits() -> None:
    scenario, record = handed_over()
    world, begun = scenario.world, record.begun
    state = world.store.state
    now_tick = world.grid.at(world.clock.now_us)
    rows = world.rows(7, (15.0, 5.0), (0.0, 0.0), 0.0).with_version_raised()
    late = replace(begun, transfer=begun.transfer._replace(sequence=99), ids=rows.id.tobytes())
    assert isinstance(late, Begin)
    state.living.add(7)
    state.records[late.transfer] = Record(begun=late, target_epoch=late.target_epoch, state="accepted")
    entry = JournalEntry(
        id="", kind=EntryKind.IN, transfer=late.transfer, peer="a-0", count=1,
        tick=now_tick + 80, offer_tick=now_tick + 78, rows=rows.pack(),
    )  # fmt: skip
    state.append("a-1", entry)
    scenario.execute("quiet 75")
    assert state.records[late.transfer].holders == set()
    scenario.execute("quiet 10")
    assert state.records == {}
    assert any(line.startswith("a-1 has 7v2 authoritative") for line in scenario.execute("rows a-1"))
