"""What a crash, a rest or a freeze may leave in a trace, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest
from shardfleet_operator.checker import CheckReport, check_directory

from .world import World, moved, small_world

BOUND = 10


def check(world: World, directory: Path, bound_ticks: int = BOUND) -> CheckReport:
    return check_directory(world.write(directory), bound_ticks=bound_ticks)


def crashed_world(*, manifest_tick: int = 127, last_tick: int = 130, back_tick: int = 136) -> World:
    """Shard a dies after ``last_tick`` and goes on at ``back_tick`` from its manifest."""
    world = World()
    a, b = world.start("a", 11, 100), world.start("b", 12, 100)
    for entity, file in ((1, a), (2, a), (3, b)):
        world.spawn(entity, file, 100)
    for tick in range(100, 170):
        if tick == last_tick + 1:
            world.crash("a")
        if tick == back_tick:
            world.recover(a, 21, tick, manifest_tick=manifest_tick)
        world.step(tick)
    world.end(169)
    return world


def test_ticks_repeated_after_a_crash_are_right(tmp_path: Path) -> None:
    report = check(crashed_world(), tmp_path)
    assert report.ok, report.to_text()
    assert (report.repeated_ticks, report.overlap_ticks, report.longest_hole_ticks) == (2 * 3, 0, 0)
    assert [(e.shard, e.epoch, e.ended) for e in report.epochs] == [("a", 11, False), ("a", 21, True), ("b", 12, True)]


def test_ticks_repeated_while_the_old_process_lives_are_two_simulators(tmp_path: Path) -> None:
    world = crashed_world()
    for record in world.files["a", 11].records[-2:]:
        record.unix_us = 137 * 50_000
    report = check(world, tmp_path)
    assert report.counts["A1 two-simulators"] == report.overlap_ticks == 6


def test_ticks_repeated_at_the_very_same_time_are_two_simulators(tmp_path: Path) -> None:
    world = crashed_world()
    for record in world.files["a", 11].records[-2:]:
        record.unix_us = 136 * 50_000 + 7_000
    assert check(world, tmp_path).overlap_ticks == 6


def test_the_predecessor_must_be_there(tmp_path: Path) -> None:
    crashed_world().write(tmp_path)
    for path in tmp_path.glob("a.11.*"):
        path.unlink()
    assert check_directory(tmp_path, bound_ticks=BOUND).counts["trace missing-epoch"] == 1


def test_a_successor_goes_on_from_its_manifest_and_not_from_elsewhere(tmp_path: Path) -> None:
    world = crashed_world()
    for event in world.files["a", 21].named("adopt"):
        event["state_tick"] = 126
    assert check(world, tmp_path).counts == {"A4 recovery-state": 2}


def test_without_the_event_a_successor_goes_on_from_the_tick_before(tmp_path: Path) -> None:
    world = crashed_world()
    successor = world.files["a", 21]
    successor.events = [event for event in successor.events if event["kind"] != "adopt"]
    assert check(world, tmp_path).ok


def test_a_manifest_far_back_leaves_later_ticks_behind(tmp_path: Path) -> None:
    """The catching up is bounded: the state of 127 goes on at 133, ticks 128 to 130 are as if they had not been."""
    world = crashed_world()
    successor = world.files["a", 21]
    for entity in (1, 2):
        state = next(r.state_out for r in world.files["a", 11].records if (r.entity, r.tick) == (entity, 127))
        mine = sorted((r for r in successor.records if r.entity == entity), key=lambda r: r.tick)
        for record in mine:
            if record.tick < 133:
                successor.records.remove(record)
                continue
            record.state_in, record.state_out = state, moved(entity, state, record.tick)
            state = record.state_out
    report = check(world, tmp_path)
    assert report.ok, report.to_text()
    assert report.longest_hole_ticks == 2


def test_slow_recovery_is_a_hole(tmp_path: Path) -> None:
    world = crashed_world(back_tick=150, manifest_tick=127)
    successor = world.files["a", 21]
    successor.records = [r for r in successor.records if r.tick >= 150]
    assert check(world, tmp_path).counts["A2 hole"] == 2


def test_a_shard_that_never_came_back_lost_its_entities(tmp_path: Path) -> None:
    report = check(crashed_world(back_tick=10_000), tmp_path)
    assert report.counts == {"A2 lost": 2}
    assert report.entities_lost == 2


def test_rows_adopted_again_from_the_journal_are_compared_with_the_source(tmp_path: Path) -> None:
    """b adopts entity 1 at 120, dies at 122 before it published; its successor begins again at 120 from the offer."""
    world = World()
    a, b = world.start("a", 11, 100), world.start("b", 12, 100)
    for entity, file in ((1, a), (2, a), (3, b)):
        world.spawn(entity, file, 100)
    for tick in range(100, 150):
        if tick == 117:
            world.hand_over(1, b, 120)
        if tick == 123:
            world.crash("b")
        if tick == 126:
            world.recover(b, 22, tick, manifest_tick=118)
        world.step(tick)
    world.end(149)
    successor = world.files["b", 22]
    for record in [r for r in successor.records if r.entity == 1 and r.tick < 120]:
        successor.records.remove(record)  # before the switch tick it was a's
    state = next(r.state_out for r in a.records if (r.entity, r.tick) == (1, 119))
    for record in sorted((r for r in successor.records if r.entity == 1), key=lambda r: r.tick):
        record.state_in, record.state_out = state, moved(1, state, record.tick)
        state = record.state_out
    adopt = next(event for event in successor.named("adopt", 1))
    adopt.update({"from": "offer", "switch_tick": 120, "offer_tick": 117, "transfer": "a/11/1"})
    adopt["state_tick"] = 119
    report = check(world, tmp_path)
    assert report.ok, report.to_text()
    assert report.handoffs == 1
    next(r for r in successor.records if (r.entity, r.tick) == (1, 120)).state_in += 1
    assert "A4 recovery-state" in check(world, tmp_path).counts


@pytest.mark.parametrize("origin", ["offer", "final"])
def test_a_source_that_died_before_the_switch_proves_nothing_about_an_offer(origin: str, tmp_path: Path) -> None:
    world = World()
    a, b = world.start("a", 11, 100), world.start("b", 12, 100)
    world.spawn(1, a, 100)
    world.spawn(3, b, 100)
    for tick in range(100, 140):
        if tick == 120:
            world.hand_over(1, b, 123, origin=origin)
        if tick == 121:
            world.crash("a")
        world.step(tick)
    for number, record in enumerate(sorted((r for r in b.records if r.entity == 1), key=lambda r: r.tick)):
        record.state_in, record.state_out = 5000 + number, 5001 + number
    a.events = [event for event in a.events if event["kind"] != "release"]
    world.end(139)
    report = check(world, tmp_path)
    if origin == "offer":
        assert (report.ok, report.continuity_unproven) == (True, 1)
    else:
        assert report.counts == {"A4 handoff-state": 1}


def resumed_world(*, ended: bool, first_tick: int = 5000, caught_up: int = 20) -> World:
    """The small world, which rests (or dies) after tick 159 and goes on with its tick 0 moved up."""
    world = small_world()
    old_files = list(world.files.values())
    for old in old_files:
        if not ended:
            old.events = [event for event in old.events if event["kind"] != "epoch_end"]
        old.alive = False
        new = world.start(old.shard, old.epoch + 10, first_tick, previous=old.epoch)
        new.header["origin_tick"] += first_tick - 160
        for entity in world.entities.values():
            if entity.owner is old:
                entity.owner = new
                new.event(
                    "adopt", first_tick + caught_up, entity.id, entity.version, **{"from": "manifest"}, state_tick=159
                )
    for tick in range(first_tick, first_tick + 60):
        for entity in world.entities.values():
            world._simulate(entity, tick, max(tick, first_tick + caught_up))
    world.end(first_tick + 59)
    return world


def test_a_rest_between_an_orderly_end_and_the_next_start_is_no_hole(tmp_path: Path) -> None:
    world = resumed_world(ended=True)
    report = check(world, tmp_path)
    assert report.ok, report.to_text()
    assert report.longest_hole_ticks == 0
    lost = world.files["a", 21]
    lost.records = [r for r in lost.records if r.entity != 2]
    assert check(world, tmp_path).counts == {"A2 lost": 1}


def test_a_world_that_rested_goes_on_from_the_state_in_which_it_was_left(tmp_path: Path) -> None:
    world = resumed_world(ended=True)
    next(r for r in world.files["a", 21].records if r.entity == 2).state_in += 1
    assert check(world, tmp_path).counts == {"A4 recovery-state": 1}


def test_a_world_that_was_killed_has_a_hole_as_long_as_it_was_away(tmp_path: Path) -> None:
    world = resumed_world(ended=False, first_tick=300)
    report = check(world, tmp_path)
    assert report.counts == {"A2 hole": 3}
    assert report.longest_hole_ticks == 140
    assert check(world, tmp_path, bound_ticks=140).ok
    assert not check_directory(tmp_path, bound_s=6.9).ok
    assert check_directory(tmp_path, bound_s=7.0).ok


def test_a_world_may_rest_again_and_again(tmp_path: Path) -> None:
    world = resumed_world(ended=True)
    for old in [file for file in world.files.values() if file.alive]:
        old.alive = False
        new = world.start(old.shard, old.epoch + 10, 9000, previous=old.epoch)
        new.header["origin_tick"] = old.header["origin_tick"] + 9000 - 5060
        for entity in world.entities.values():
            if entity.owner is old:
                entity.owner = new
                new.event("adopt", 9000, entity.id, entity.version, **{"from": "manifest"}, state_tick=5059)
    for tick in range(9000, 9030):
        world.step(tick)
    report = check(world, tmp_path)
    assert report.ok, report.to_text()


@pytest.mark.parametrize("moved_by", [1, -1])
def test_the_origin_does_not_move_while_a_process_of_before_lives(tmp_path: Path, moved_by: int) -> None:
    """Also not down: the later world tick would come first."""
    world = resumed_world(ended=True)
    world.files["a", 21].header["origin_tick"] += moved_by
    assert check(world, tmp_path).counts == {"trace worlds": 1}


def test_a_world_that_was_there_before_the_trace_needs_no_spawn(tmp_path: Path) -> None:
    world = small_world()
    for file in world.files.values():
        for event in file.named("spawn"):
            event.update({"kind": "adopt", "from": "manifest", "state_tick": 99, "version": 1})
    report = check(world, tmp_path)
    assert report.ok, report.to_text()
    assert (report.spawned, report.entities_expected) == (0, 3)


def test_frozen_ticks_are_counted_and_lose_nothing(tmp_path: Path) -> None:
    world = World()
    a = world.start("a", 11, 100)
    world.spawn(1, a, 100)
    world.spawn(2, a, 100)
    for tick in range(100, 150):
        if tick == 110:
            world.freeze(1, tick)
        if tick == 116:
            world.unfreeze(1, tick)
        if tick == 125:
            world.freeze(2, tick)
        world.step(tick)
    report = check(world, tmp_path, bound_ticks=10)
    assert report.ok, report.to_text()
    assert (report.frozen_ticks, report.frozen_at_end, report.longest_hole_ticks) == (6 + 25, 1, 6)
    a.records = [record for record in a.records if record.tick < 130]
    world.start("b", 12, 170)  # a is gone meanwhile: what it froze is lost
    assert check(world, tmp_path, bound_ticks=10).counts == {"A2 lost": 2}


def test_a_row_on_its_way_at_the_end_is_passing(tmp_path: Path) -> None:
    world = small_world()
    a, b = world.files["a", 11], world.files["b", 12]
    b.records = [r for r in b.records if r.entity != 3 or r.tick < 155]
    b.event("release", 155, 3, 1, target="a", transfer="b/12/77")
    report = check(world, tmp_path)
    assert (report.ok, report.passing_at_end) == (True, 1)
    assert a.alive


def test_an_id_that_is_spawned_again_begins_a_new_life(tmp_path: Path) -> None:
    world = World()
    a, b = world.start("a", 11, 100), world.start("b", 12, 100)
    for entity in (1, 2):
        world.spawn(entity, a, 100)
    for tick in range(100, 200):
        if tick == 110:
            world.hand_over(1, b, 113)
        if tick == 130:
            world.despawn(1, tick)
        if tick == 170:
            world.spawn(1, a, 170)
        world.step(tick)
    world.end(199)
    report = check(world, tmp_path)
    assert report.ok, report.to_text()
    assert (report.entities_seen, report.entities_expected, report.despawned, report.spawned) == (3, 2, 1, 3)


def test_catching_up_writes_earlier_ticks_after_later_ones(tmp_path: Path) -> None:
    """A late row's ticks stand behind those that its shard simulated meanwhile; only an entity's own ticks ascend."""
    world = World()
    a = world.start("a", 11, 100)
    world.spawn(1, a, 100)
    for tick in range(100, 120):
        world.step(tick)
    world.spawn(2, a, 112)
    late = world.entities[2]
    for tick in range(112, 120):
        world._simulate(late, tick, 119)
    for tick in range(120, 140):
        world.step(tick)
    report = check(world, tmp_path)
    assert report.ok, report.to_text()
    assert report.longest_hole_ticks == 0


def test_a_version_that_left_no_record_is_bridged_by_its_release(tmp_path: Path) -> None:
    """b died before it wrote anything of entity 1; c took it over from b."""
    world = small_world()
    a, b = world.files["a", 11], world.files["b", 12]
    c = world.start("c", 13, 100)
    moved_on = [r for r in b.records if r.entity == 1]
    b.records = [r for r in b.records if r.entity != 1]
    c.records = moved_on
    for record in moved_on:
        record.version += 1
    for record in [r for r in a.records if r.entity == 1 and r.tick >= 140]:
        record.version += 1
    c.events += [e for e in b.events if e.get("entity") == 1]
    b.events = [e for e in b.events if e.get("entity") != 1]
    for event in [*c.named("adopt", 1), *c.named("release", 1), *a.named("adopt", 1)]:
        event["version"] += 1
    c.event("epoch_end", 159)
    assert check(world, tmp_path).ok
    a.named("release", 1)[0]["target"] = "c"  # then b never had it, and 2 is missing
    assert check(world, tmp_path).counts == {"A5 version-jump": 1}
