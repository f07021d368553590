"""Taking up what another shard held: in pieces, beside the own entities, and never a step without rows."""

from __future__ import annotations

import json

import numpy as np
from shardfleet_shard.core.columns import Columns
from shardfleet_shard.core.journal_requests import EntryKind, FleetRecords, JournalEntry, ShardRecord
from shardfleet_shard.core.manifest import AuthorityManifest
from shardfleet_shard.core.takeover_requests import ReadTaken
from shardfleet_shard.core.transfer import MAX_ENTITIES_PER_TRANSFER

from .world import Process, World

ALIAS = "a-9@1"


def rows_of(world: World, ids: range, version: int = 1) -> Columns:
    """At rest, in the cell of a-0."""
    rows = world.schema.empty(len(ids))
    rows.arrays["id"][:], rows.arrays["version"][:] = np.array(ids, np.uint64), version
    rows.arrays["position"][:] = (5.0, 5.0)
    return rows


def held(world: World, rows: Columns, *entries: JournalEntry) -> FleetRecords:
    """What lies under the alias: ``rows`` as of the last tick."""
    tick = world.grid.at(world.clock.now_us)
    manifest = AuthorityManifest(
        shard="a-9", epoch=1, tick=tick, unix_us=0, position="0-0", rows=rows, states=np.zeros(len(rows), np.uint8)
    )
    header, chunks = manifest.to_chunks()
    record = ShardRecord(shard=ALIAS, header=json.dumps(header), chunks=tuple(chunks), entries=entries)
    return FleetRecords(records=(record,))


def hand_over(world: World, process: Process, records: FleetRecords) -> None:
    """As its journal and Redis would."""
    takeovers, entry = process.runtime.takeovers, JournalEntry(id="9000000-0", kind=EntryKind.TAKEOVER, peer=ALIAS)
    process.runtime.context.journal.read([entry])
    takeovers.take(entry)
    takeovers.handle_reply(ReadTaken(alias=ALIAS), records, world.clock.now_us)


def test_many_rows_come_over_several_ticks_and_the_own_ones_go_on() -> None:
    world = World(["a-0", "a-1"])
    world.quiet = True
    process = world.find("a-0")
    world.spawn(world.rows(1, (5.0, 5.0), (0.0, 0.0)))
    for _ in range(4):
        world.tick([process])
    hand_over(world, process, held(world, rows_of(world, range(1000, 1000 + 3 * MAX_ENTITIES_PER_TRANSFER))))
    world.clock.now_us += 300_000  # some ticks to catch up
    step = process.plugin.step

    def slow(rows: Columns, tick: int, dt: float) -> None:
        world.clock.now_us += 5_000 if len(rows) == MAX_ENTITIES_PER_TRANSFER else 0
        step(rows, tick, dt)

    process.plugin.step = slow  # type: ignore[method-assign]
    tracker, journal, counts = process.runtime.context.tracker, process.runtime.context.journal, []
    for _ in range(4):
        world.tick([process])
        counts.append(len(tracker))
        assert journal.settled == (len(tracker) == 1 + 3 * MAX_ENTITIES_PER_TRANSFER)
    assert counts == [1 + number * MAX_ENTITIES_PER_TRANSFER for number in (1, 2, 3, 3)]
    assert set(tracker.rows.version.tolist()) == {1, 2}
    assert len(set(tracker.rows["steps"][1:].tolist())) == 1, "all of them are at the same tick"


def test_rows_that_are_here_already_need_no_step() -> None:
    """The plugin is not called without rows, and not before the world has a tick 0."""
    world = World(["a-0", "a-1"])
    process = world.find("a-0")
    world.spawn(world.rows(1, (5.0, 5.0), (0.0, 0.0)))
    for _ in range(4):
        world.tick([process])
    tick = world.grid.at(world.clock.now_us)
    process.runtime.context.tracker.rows.arrays["version"][:] = 7
    entry = JournalEntry(
        id="5-0", kind=EntryKind.IN, count=1, tick=tick, offer_tick=tick - 3, rows=rows_of(world, range(1, 2), 3).pack()
    )
    hand_over(world, process, held(world, rows_of(world, range(0)), entry))
    step = process.plugin.step

    def strict(rows: Columns, tick: int, dt: float) -> None:
        assert len(rows)
        step(rows, tick, dt)

    process.plugin.step = strict  # type: ignore[method-assign]
    world.tick([process])
    assert process.runtime.context.stats.simulation_errors == 0
    assert process.runtime.context.journal.settled
    assert process.runtime.context.tracker.rows.version.tolist() == [7]


def test_an_answer_that_does_not_come_is_asked_for_again() -> None:
    world = World(["a-0", "a-1"])
    process = world.find("a-0")
    takeovers, context = process.runtime.takeovers, process.runtime.context
    takeovers.take(JournalEntry(id="9000000-0", kind=EntryKind.TAKEOVER, peer=ALIAS))
    now_us = world.clock.now_us

    def asked(at_us: int) -> int:
        takeovers.poll(at_us)
        return sum(isinstance(request, ReadTaken) for request in process.runtime.take_effects().requests)

    assert [asked(now_us), asked(now_us)] == [1, 0]
    takeovers.handle_reply(ReadTaken(alias=ALIAS), None, now_us)
    assert [asked(now_us), asked(now_us + 1_000_000)] == [0, 1]
    takeovers.handle_reply(ReadTaken(alias="a-9@2"), held(world, rows_of(world, range(1, 2))), now_us)
    takeovers.take_due(context.current_tick + 1)
    assert len(context.tracker) == 0, "the answer was about another one"
