"""Random worlds: the right ones pass, single mutations are caught, and the naive oracle says the same."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shardfleet_operator.checker import CheckReport, check_directory

from .oracle import judge
from .world import File, Record, World, random_world

BOUND = 14
seeds = st.integers(0, 100_000)
quick = settings(max_examples=60, suppress_health_check=list(HealthCheck))


def check(world: World, **options: int) -> CheckReport:
    with tempfile.TemporaryDirectory() as directory:
        return check_directory(world.write(Path(directory)), bound_ticks=BOUND, **options)


def figures(report: CheckReport) -> tuple[int, ...]:
    return (
        report.overlap_ticks,
        report.repeated_ticks,
        report.handoffs,
        report.longest_hole_ticks,
        report.frozen_ticks,
    )


def same_as_oracle(world: World, report: CheckReport) -> bool:
    verdict = judge(world, BOUND)
    expected = (
        verdict.overlap_ticks,
        verdict.repeated_ticks,
        verdict.handoffs,
        verdict.longest_hole,
        verdict.frozen_ticks,
    )
    broken = {name.split()[0] for name in report.counts} - {"trace"}
    assert figures(report) == expected
    assert broken == verdict.broken, report.to_text()
    return True


@quick
@given(seed=seeds)
def test_right_worlds_pass(seed: int) -> None:
    world = random_world(seed)
    report = check(world)
    assert same_as_oracle(world, report)
    assert set(report.counts) <= {"A2 hole"}, report.to_text()  # a long freeze is one


@quick
@given(seed=seeds, per_slice=st.integers(1, 400))
def test_slices_change_nothing(seed: int, per_slice: int) -> None:
    world = random_world(seed)
    whole, sliced = check(world).to_dict(), check(world, records_per_slice=per_slice).to_dict()
    for name in ("directory", "longest_hole_entity"):
        whole.pop(name), sliced.pop(name)
    assert whole == sliced


def steady(world: World, rng: random.Random) -> tuple[File, Record]:
    """A record with one before and one after it in the same file under the same version."""
    choices = [
        (file, record)
        for file, record in world.records()
        if {record.tick - 1, record.tick + 1}
        <= {r.tick for r in file.records if (r.entity, r.version) == (record.entity, record.version)}
    ]
    return rng.choice(choices)


def drop_a_record(world: World, rng: random.Random) -> set[str]:
    file, record = steady(world, rng)
    file.records.remove(record)
    return {"A4"}


def change_a_state(world: World, rng: random.Random) -> set[str]:
    _, record = steady(world, rng)
    if rng.random() < 0.5:
        record.state_in ^= 1 << rng.randrange(64)
    else:
        record.state_out ^= 1 << rng.randrange(64)
    return {"A4"}


def raise_a_version(world: World, rng: random.Random) -> set[str]:
    _, record = steady(world, rng)
    record.version += rng.choice((1, 2, 1000))
    return {"A5"}


def copy_to_another_shard(world: World, rng: random.Random) -> set[str]:
    file, record = steady(world, rng)
    others = [other for other in world.files.values() if other.shard != file.shard]
    copy = Record(**vars(record))
    rng.choice(others).records.append(copy)
    return {"A1", "A5"}


def repeat_in_the_same_file(world: World, rng: random.Random) -> set[str]:
    file, record = steady(world, rng)
    file.records.insert(file.records.index(record), Record(**vars(record)))
    return {"A1"}


def forget_a_spawn(world: World, rng: random.Random) -> set[str]:
    spawns = [
        (file, event)
        for file in world.files.values()
        for event in file.named("spawn")
        if any(r.entity == event["entity"] for _, r in world.records())
    ]
    file, event = rng.choice(spawns)
    file.events.remove(event)
    adopted = any(
        e.get("from") == "manifest" for other in world.files.values() for e in other.named("adopt", event["entity"])
    )
    return set() if adopted else {"A2"}


def despawn_a_living(world: World, rng: random.Random) -> set[str]:
    file, record = steady(world, rng)
    file.event("despawn", record.tick, record.entity, record.version)
    return {"A2"}


def release_without_stopping(world: World, rng: random.Random) -> set[str]:
    file, record = steady(world, rng)
    file.event("release", record.tick, record.entity, record.version)
    return {"A1"}


Mutation = Callable[[World, random.Random], set[str]]
MUTATIONS: list[Mutation] = [
    drop_a_record,
    change_a_state,
    raise_a_version,
    copy_to_another_shard,
    repeat_in_the_same_file,
    forget_a_spawn,
    despawn_a_living,
    release_without_stopping,
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.__name__)
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(seed=seeds)
def test_single_mutations_are_caught(mutation: Mutation, seed: int) -> None:
    world = random_world(seed)
    expected = mutation(world, random.Random(seed))
    report = check(world)
    broken = {name.split()[0] for name in report.counts}
    assert expected <= broken, report.to_text()
    # Of a tick that two shards simulated, which one the next tick should go on from is open.
    open_rules = {"A4"} if mutation is copy_to_another_shard else set()
    assert judge(world, BOUND).broken - open_rules <= broken


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(seed=seeds)
def test_a_deleted_file_is_caught(seed: int) -> None:
    world = random_world(seed)
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        directory = world.write(Path(name))
        rng.choice(sorted(directory.iterdir())).unlink()
        assert "trace missing-file" in check_directory(directory, bound_ticks=BOUND).counts
