"""What a takeover may leave in a trace, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest
from shardfleet_operator.checker import CheckReport, check_directory

from .world import TICK_US, World

BOUND = 30


def check(world: World, directory: Path) -> CheckReport:
    return check_directory(world.write(directory), bound_ticks=BOUND)


def taken_world(*, again: bool = False, manifest_tick: int = 127, last_tick: int = 130) -> World:
    """Shard a dies after ``last_tick``, and b takes over at 145. Entity 1 had come from b.

    ``again``: b dies as well, at 150, and c takes over at 160.
    """
    world = World()
    a, b, c = (world.start(shard, 11 + number, 100) for number, shard in enumerate("abc"))
    for entity, file in ((1, b), (2, a), (3, b), (4, c)):
        world.spawn(entity, file, 100)
    for tick in range(100, 180):
        if tick == 115:
            world.hand_over(1, a, 120)
        if tick == last_tick + 1:
            world.crash("a")
        if tick == 145:
            world.take_over(a, b, tick, manifest_tick=manifest_tick)
        if again and tick == 150:
            world.crash("b")
        if again and tick == 160:
            world.take_over(b, c, tick, manifest_tick=148)
        world.step(tick)
    world.end(179)
    return world


@pytest.mark.parametrize("again", [False, True])
def test_a_takeover_repeats_what_the_dead_shard_had_not_stored(again: bool, tmp_path: Path) -> None:
    report = check(taken_world(again=again), tmp_path)
    assert report.ok, report.to_text()
    assert report.repeated_ticks == 2 * 3 + again * 3
    assert (report.overlap_ticks, report.entities_lost) == (0, 0)
    assert (report.handoffs, report.gap_ms["samples"]) == (1, 1), "a takeover is none"


def test_a_shard_that_goes_on_while_it_is_taken_over_is_a_second_simulator(tmp_path: Path) -> None:
    world = taken_world()
    for record in world.files["a", 11].records[-2:]:
        record.unix_us = 146 * TICK_US
    report = check(world, tmp_path)
    assert report.counts["A1 two-simulators"] == report.overlap_ticks == 6


def test_repeated_ticks_without_a_takeover_are_two_simulators(tmp_path: Path) -> None:
    world = taken_world()
    for event in world.files["b", 12].named("adopt"):
        if event["from"] == "takeover":
            event["from"] = "final"
    assert check(world, tmp_path).counts["A1 two-simulators"] == 6


def test_a_dead_shard_that_simulates_after_it_was_taken_over(tmp_path: Path) -> None:
    """Only its last tick, which the taker has not repeated: all that the taker had to repeat is doubled by that."""
    world = taken_world()
    gone, taker = world.files["a", 11], world.files["b", 12]
    late = next(r for r in gone.records if (r.entity, r.tick) == (2, 130))
    late.unix_us = 170 * TICK_US
    taker.records = [r for r in taker.records if (r.entity, r.tick) != (2, 130)]
    assert check(world, tmp_path).counts["A1 two-simulators"] == 2


def test_a_taker_starts_from_what_was_stored(tmp_path: Path) -> None:
    world = taken_world()
    for event in world.files["b", 12].named("adopt"):
        if event["from"] == "takeover":
            event["state_tick"] = 126
    assert check(world, tmp_path).counts == {"A4 handoff-state": 2}


def test_what_nobody_took_over_is_lost(tmp_path: Path) -> None:
    world = taken_world()
    taker = world.files["b", 12]
    taker.records = [r for r in taker.records if r.entity != 2]
    taker.events = [e for e in taker.events if e.get("entity") != 2]
    assert check(world, tmp_path).counts == {"A2 lost": 1}


def test_a_row_that_the_dead_shard_had_not_simulated_yet(tmp_path: Path) -> None:
    """Its version is nowhere in the trace: the taker's is two above the source's."""
    world = World()
    a, b = world.start("a", 11, 100), world.start("b", 12, 100)
    world.spawn(1, b, 100)
    world.spawn(2, b, 100)
    for tick in range(100, 160):
        if tick == 120:
            world.crash("a")
            world.entities[1].version = 2
            world.entities[1].owner = a
            world.take_over(a, b, tick, manifest_tick=119)
        world.step(tick)
    world.end(159)
    report = check(world, tmp_path)
    assert report.ok, report.to_text()
    for event in b.named("adopt"):
        event["from"] = "offer"
    assert check(world, tmp_path).counts == {"A5 version-jump": 1}
