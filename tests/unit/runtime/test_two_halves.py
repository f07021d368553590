"""What happens between the halves of a tick: see decision 0019."""

from __future__ import annotations

from shardfleet_shard.core.frames import Final
from shardfleet_shard.core.requests import Begin

from .interpreter import Interpreter
from .world import Process, World

LEASE_US = 3_000_000
TICK_US = 50_000


def past_the_border() -> tuple[World, Process]:
    """Entity 1 leaves a-0 for a-1: in the tick of a-0 that has begun it is far enough past the border."""
    scenario = Interpreter()
    for line in ("shards a-0 a-1", "spawn 1 at 9.6,5 moving 4,0", "run 5"):
        scenario.execute(line)
    source = scenario.world.find("a-0")
    begin_tick(scenario.world, source)
    return scenario.world, source


def begin_tick(world: World, process: Process, *, late_us: int = 1_000) -> None:
    tick = world.grid.at(world.clock.now_us) + 1
    world.wait_until(world.grid.start_us(tick) + late_us)
    process.runtime.begin_tick(tick)


def begun(process: Process) -> list[object]:
    return [request for request in process.runtime.context.effects.requests if isinstance(request, Begin)]


def test_the_second_half_plans_what_the_first_has_simulated() -> None:
    _, source = past_the_border()
    assert not begun(source)
    source.runtime.end_tick()
    assert len(begun(source)) == 1
    source.runtime.end_tick()
    assert len(begun(source)) == 1, "there is one second half for each first"


def test_without_the_lease_the_second_half_does_nothing() -> None:
    world, source = past_the_border()
    world.clock.now_us += LEASE_US
    source.runtime.end_tick()
    assert not begun(source)
    assert source.runtime.context.stats.state == "fenced"
    assert source.runtime.context.tracker.rows.id.tolist() == [1]


def test_a_tick_that_was_not_ended_ends_before_the_next() -> None:
    world, source = past_the_border()
    planned = source.runtime.context.current_tick
    world.clock.now_us += TICK_US
    source.runtime.begin_tick(planned + 1)
    assert len(begun(source)) == 1
    assert source.runtime.mailbox.outgoing.open[1].offer_tick == planned


def test_an_answer_that_comes_between_the_halves_counts_in_this_tick() -> None:
    """Its switch is the next tick: heard of a moment later, the rows would have waited for it frozen."""
    world, source = past_the_border()
    source.runtime.end_tick()
    world.carry(source)
    switch_tick = source.runtime.mailbox.outgoing.open[1].switch_tick
    begin_tick(world, source, late_us=0)  # so that the deadline is still to come
    assert source.runtime.context.current_tick == switch_tick - 1
    world.settle_queues(held=True)
    assert source.runtime.context.tracker.rows.id.tolist() == [1]
    source.runtime.end_tick()
    finals = [frame for _, frame in source.runtime.context.effects.frames if isinstance(frame, Final)]
    assert [final.tick for final in finals] == [switch_tick - 1]
    assert source.runtime.context.tracker.rows.id.tolist() == []
    assert source.runtime.context.stats.transfers_frozen == 0


def test_a_tick_may_be_prepared_before_it_is_due() -> None:
    world, source = past_the_border()
    target = world.find("a-1")
    source.runtime.end_tick()
    world.carry(source)
    world.settle_queues(held=True)
    switch_tick = source.runtime.mailbox.outgoing.open[1].switch_tick
    ticks = target.runtime.context.stats.ticks
    world.wait_until(world.grid.start_us(switch_tick) - 3_000)
    target.runtime.prepare_tick(switch_tick)
    rows = target.runtime.context.tracker.rows
    assert rows.id.tolist() == [1]
    before = rows.position[0].copy()
    world.wait_until(world.grid.start_us(switch_tick))
    target.runtime.begin_tick(switch_tick)
    assert (target.runtime.context.tracker.rows.position[0] != before).any()
    assert target.runtime.context.stats.ticks == ticks + 1


def test_a_tick_whose_lease_ends_once_it_is_prepared_did_not_happen() -> None:
    world, source = past_the_border()
    source.runtime.end_tick()
    tick, before = source.runtime.context.current_tick + 1, source.runtime.context.tracker.rows.position.copy()
    source.runtime.prepare_tick(tick)
    world.clock.now_us += LEASE_US
    source.runtime.begin_tick(tick)
    assert (source.runtime.context.tracker.rows.position == before).all()
    assert source.runtime.context.stats.state == "fenced"
