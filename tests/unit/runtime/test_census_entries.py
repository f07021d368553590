"""What a shard does with the entries that a census writes into its journal."""

from __future__ import annotations

import numpy as np
from shardfleet_shard.core.journal_requests import EntryKind, JournalEntry

from .interpreter import Interpreter


def one_entity() -> Interpreter:
    """Entity 1v1 stands in a-0, nothing is under way."""
    scenario = Interpreter()
    for line in ("shards a-0 a-1", "spawn 1 at 5,5 moving 0,0", "quiet 10"):
        scenario.execute(line)
    return scenario


def restore(scenario: Interpreter, shard: str, entity: int) -> None:
    world = scenario.world
    rows = world.rows(entity, (15.0, 5.0), (4.0, 0.0), 0.0).with_version_raised()
    tick = world.grid.at(world.clock.now_us) - 20
    world.store.state.living.add(entity)
    entry = JournalEntry(id="", kind=EntryKind.RESTORE, count=1, tick=tick, offer_tick=tick - 10, rows=rows.pack())
    world.store.state.append(shard, entry)


def take_away(scenario: Interpreter, shard: str, entity: int, version: int) -> None:
    ids, versions = np.array([entity], "<u8").tobytes(), np.array([version], "<u4").tobytes()
    entry = JournalEntry(id="", kind=EntryKind.OUT, peer="a-1", count=1, ids=ids, versions=versions)
    scenario.world.store.state.append(shard, entry)


def test_a_restored_row_is_moved_forward_and_owned_from_now_on() -> None:
    scenario = one_entity()
    restore(scenario, "a-1", 7)
    said = scenario.execute("quiet 5")
    assert any(line.startswith("a-1 adopts 7v2 at") for line in said)
    [line] = [line for line in scenario.execute("rows a-1") if "7v2" in line]
    steps = int(line.split(" after ")[1].split()[0])
    assert 30 <= steps <= 35  # as of 30 ticks ago, and each tick once
    journal = scenario.world.find("a-1").runtime.context.journal
    assert journal.settled


def test_a_shard_that_has_it_keeps_what_it_has() -> None:
    scenario = one_entity()
    before = scenario.execute("rows a-0")
    restore(scenario, "a-0", 1)
    scenario.execute("quiet 5")
    [after] = scenario.execute("rows a-0")
    assert after.split(" after ")[0] == before[0].split(" after ")[0]
    assert scenario.world.find("a-0").runtime.context.journal.settled


def test_a_row_that_is_coming_anyway_is_not_restored() -> None:
    scenario = Interpreter()
    for line in ("shards a-0 a-1", "spawn 1 at 9.6,5 moving 4,0", "run 6"):
        scenario.execute(line)
    restore(scenario, "a-1", 1)
    scenario.execute("read a-1")
    scenario.execute("run 4")
    rows = scenario.execute("rows a-1")
    assert len(rows) == 1 and rows[0].startswith("a-1 has 1v2 authoritative at x 11.")


def test_a_copy_goes_at_the_owners_version_and_below_and_no_higher_one() -> None:
    scenario = one_entity()
    take_away(scenario, "a-0", 1, 0)
    scenario.execute("quiet 5")
    assert scenario.execute("rows a-0")[0].startswith("a-0 has 1v1")
    take_away(scenario, "a-0", 1, 1)
    scenario.execute("quiet 5")
    assert scenario.execute("rows a-0") == ["a-0 has nothing"]


def test_a_copy_with_an_open_transfer_goes_after_it() -> None:
    scenario = Interpreter()
    for line in ("shards a-0 a-1", "spawn 1 at 9.6,5 moving 4,0", "run 5", "tick"):
        scenario.execute(line)
    assert scenario.execute("rows a-0")[0].startswith("a-0 has 1v1 passing")
    scenario.execute("drop OFFER")
    take_away(scenario, "a-0", 1, 1)
    scenario.execute("read a-0")
    scenario.execute("tick")
    assert scenario.execute("rows a-0")[0].startswith("a-0 has 1v1 passing")
    scenario.execute("cut a-0 a-1")
    scenario.execute("quiet 10")
    assert scenario.execute("rows a-0") == ["a-0 has nothing"]
