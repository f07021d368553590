"""Arrivals that come faster than requests are answered, and after an owner's silence."""

from __future__ import annotations

import numpy as np

from .world import World

OWNERLESS_TICKS = 100
"""The election's key lives for 5 s."""


def lag_ticks(world: World) -> int:
    """By how many ticks the stored stream lies behind the clock; negative: ahead of it."""
    state = world.store.state
    return world.grid.at(world.clock.now_us) - state.origin_tick - state.arrivals_through


def run(world: World, ticks: int) -> None:
    for _ in range(ticks):
        world.tick(list(world.living))
        world.settle_queues(held=True)


def arrive_each_tick(world: World, ticks: int) -> None:
    now = world.grid.at(world.clock.now_us) - world.store.state.origin_tick
    for number in range(ticks):
        world.arrivals[now + 8 + number] = world.rows(1000 + number, (1.0 + number % 18, 5.0), (0.0, 0.0))


def test_one_arrival_a_tick_is_stored_before_its_tick() -> None:
    world = World(["a-0", "a-1"])
    stats = world.find("a-0").runtime.context.stats
    before = stats.catch_up_ticks
    arrive_each_tick(world, 60)
    run(world, 50)
    assert lag_ticks(world) < 0
    assert stats.catch_up_ticks == before


def test_what_came_while_nobody_owned_the_stream_is_made_up_for() -> None:
    world = World(["a-0", "a-1"])
    arrive_each_tick(world, 400)
    run(world, 20)
    world.crash(world.find("a-0"))
    world.confirm_end("a-0")
    run(world, OWNERLESS_TICKS // 2)
    assert lag_ticks(world) > OWNERLESS_TICKS // 3
    world.start("a-0")
    run(world, OWNERLESS_TICKS)
    assert lag_ticks(world) < 0
    alive = sorted(world.store.state.living)
    assert alive == list(range(1000, 1000 + len(alive))) and len(alive) > 150
    held = [process.runtime.context.tracker for process in world.living]
    ids = np.concatenate([tracker.rows.id for tracker in held]).tolist()
    assert len(ids) == len(set(ids)) and len(alive) - len(ids) <= 8  # the others wait for their first tick
    now_tick = world.grid.at(world.clock.now_us)
    for tracker in held:
        first_tick = world.store.state.origin_tick + min(world.arrivals) + tracker.rows.id.astype(int) - 1000
        assert np.array_equal(tracker.rows["steps"], now_tick + 1 - first_tick)


def test_an_id_that_arrives_twice_comes_once() -> None:
    world = World(["a-0", "a-1"])
    now = world.grid.at(world.clock.now_us) - world.store.state.origin_tick
    for tick in (8, 9, 11):
        world.arrivals[now + tick] = world.rows(7, (3.0, 5.0), (0.0, float(tick)))
    world.arrivals[now + 10] = world.rows(8, (3.0, 5.0), (0.0, 0.0))
    run(world, 30)
    rows = world.find("a-0").runtime.context.tracker.rows
    assert sorted(rows.id.tolist()) == [7, 8]
    assert rows.velocity[rows.id == 7].tolist() == [[0.0, 8.0]]
    assert world.find("a-0").runtime.context.stats.spawns_refused == 2
