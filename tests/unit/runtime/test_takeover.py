"""Taking up what another shard held: in pieces, beside the own entities, and never a step without rows."""

from __future__ import annotations

import json
from typing import TypeVar

import numpy as np
from shardfleet_shard.core.columns import Columns
from shardfleet_shard.core.journal_requests import EntryKind, FleetRecords, JournalEntry, ReadFleet, ShardRecord
from shardfleet_shard.core.manifest import AuthorityManifest
from shardfleet_shard.core.requests import Request
from shardfleet_shard.core.roll_requests import CallRoll, Rolled, RollPhase
from shardfleet_shard.core.transfer import MAX_ENTITIES_PER_TRANSFER

from .world import Process, World

ALIAS = "a-9@1"
Asked = TypeVar("Asked", bound=Request)


def rows_of(world: World, ids: range, version: int = 1) -> Columns:
    """At rest, in the cell of a-0."""
    rows = world.schema.empty(len(ids))
    rows.arrays["id"][:], rows.arrays["version"][:] = np.array(ids, np.uint64), version
    rows.arrays["position"][:] = (5.0, 5.0)
    return rows


def held(world: World, rows: Columns, *entries: JournalEntry) -> FleetRecords:
    """What lies under the alias: ``rows`` as of the last tick."""
    taker = ShardRecord(
        shard="a-0", header="", chunks=(), entries=(JournalEntry(id="9-0", kind=EntryKind.TAKEOVER, peer=ALIAS),)
    )
    return FleetRecords(records=(record(world, ALIAS, rows, *entries), taker))


def record(world: World, shard: str, rows: Columns, *entries: JournalEntry) -> ShardRecord:
    tick = world.grid.at(world.clock.now_us)
    manifest = AuthorityManifest(
        shard=shard, epoch=1, tick=tick, unix_us=0, position="0-0", rows=rows, states=np.zeros(len(rows), np.uint8)
    )
    header, chunks = manifest.to_chunks()
    return ShardRecord(shard=shard, header=json.dumps(header), chunks=tuple(chunks), entries=entries)


def hand_over(world: World, process: Process, records: FleetRecords) -> None:
    """As its journal and Redis would."""
    takeovers, entry = process.runtime.takeovers, JournalEntry(id="9000000-0", kind=EntryKind.TAKEOVER, peer=ALIAS)
    process.runtime.context.journal.read([entry])
    takeovers.take(entry)
    read(world, process, records)


def begun() -> tuple[World, Process]:
    """Two shards, of which a-0 has entity 1, and is the only one that ticks."""
    world = World(["a-0", "a-1"])
    world.quiet = True
    process = world.find("a-0")
    world.spawn(world.rows(1, (5.0, 5.0), (0.0, 0.0)))
    for _ in range(4):
        world.tick([process])
    return world, process


def asked(process: Process, kind: type[Asked]) -> list[Asked]:
    return [request for request in process.runtime.take_effects().requests if isinstance(request, kind)]


def read(world: World, process: Process, records: FleetRecords) -> None:
    """It asks for the fleet's records and gets these."""
    takeovers, now_us = process.runtime.takeovers, world.clock.now_us
    takeovers.poll(now_us)
    (request,) = asked(process, ReadFleet)
    takeovers.handle_fleet(request, records, now_us)
    (check,) = asked(process, CallRoll)
    takeovers.handle_checked(check, Rolled(phase=RollPhase.OPEN, wait_ms=0))


def test_many_rows_come_over_several_ticks_and_the_own_ones_go_on() -> None:
    world, process = begun()
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
    assert process.runtime.context.stats.taken_over == 3 * MAX_ENTITIES_PER_TRANSFER
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
    takeovers.poll(now_us)
    (request,) = asked(process, ReadFleet)
    takeovers.poll(now_us)
    assert not asked(process, ReadFleet), "it is under way"
    takeovers.handle_fleet(request, None, now_us)
    takeovers.poll(now_us)
    assert not asked(process, ReadFleet)
    takeovers.poll(now_us := now_us + 1_000_000)
    (again,) = asked(process, ReadFleet)
    records = held(world, rows_of(world, range(1, 2)))
    takeovers.handle_fleet(request, records, now_us)
    assert not asked(process, CallRoll), "that answer was the former one's"
    takeovers.handle_fleet(again, records, now_us)
    (check,) = asked(process, CallRoll)
    takeovers.handle_checked(check, Rolled(phase=RollPhase.CALLING, wait_ms=1))
    takeovers.take_due(context.current_tick + 1)
    assert len(context.tracker) == 0, "Redis has restarted since it was read"


def test_only_what_is_missing_when_it_is_read() -> None:
    """1 is here, and goes on before the rows are taken up; 2 is another's by now; 3 came by nothing else."""
    world = World(["a-0", "a-1"])
    process = world.find("a-0")
    world.spawn(world.rows(1, (5.0, 5.0), (0.0, 0.0)))
    for _ in range(4):
        world.tick([process])
    tracker = process.runtime.context.tracker
    tracker.rows.arrays["version"][:] = 2
    other = record(world, "a-1", rows_of(world, range(2, 3), 2))
    hand_over(world, process, FleetRecords(records=(*held(world, rows_of(world, range(1, 4))).records, other)))
    tracker.remove(tracker.rows.id == 1)
    world.tick([process])
    assert (tracker.rows.id.tolist(), tracker.rows.version.tolist()) == ([3], [2])
    assert process.runtime.context.journal.settled
