"""``plan_elastic`` in a small world: whatever happens, no shard that owns something is ended, and all comes to rest."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfleet_operator.plan import (
    CellLoad,
    ConfirmEnded,
    Desired,
    Observed,
    Process,
    RestartShard,
    StartShard,
    StopShard,
    Surroundings,
    WriteLayout,
    first_layout,
    plan_elastic,
    splits_next,
)
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.requests import Member
from shardfleet_shard.exit_codes import ExitCode

from .elastic_world import NOW, RUNNING, STEP_US, World, world


def happen(one: World, event: str, number: int) -> None:
    running = sorted(name for name, pod in one.pods.items() if pod.state is RUNNING and not (pod.lost or pod.pending))
    target = running[number % len(running)] if running else ""
    match event:
        case "scale":
            one.replicas = 1 + number % 6
        case "kill" if target:
            one.end(target, code=137)
        case "delete" if target:
            one.pods[target].told = True
        case "cordon" if target:
            one.cordoned.add(target)
        case "uncordon":
            one.cordoned.clear()
        case "roll":
            one.revision += 1
        case "lose" if target and sum(pod.living for pod in one.pods.values()) > 1:
            one.lose(target)
        case "full":
            one.full = not one.full
        case "blind":
            one.blind = not one.blind


events = st.lists(
    st.tuples(
        st.sampled_from(["scale", "kill", "delete", "cordon", "uncordon", "roll", "lose", "full", "blind"]),
        st.integers(0, 30),
        st.integers(0, 6),
    ),
    max_size=14,
)


@settings(max_examples=300)
@given(st.integers(1, 5), events)
def test_whatever_happens_nothing_is_lost_and_all_comes_to_rest(
    replicas: int, happened: list[tuple[str, int, int]]
) -> None:
    one = World(replicas)
    for event, number, steps in happened:
        happen(one, event, number)
        for _ in range(steps):
            one.step()
        assert sum(one.owned.values()) in (0, 50)
    one.full = one.blind = False
    one.settle()


def test_more_shards_then_fewer() -> None:
    one = world(4)
    before = one.layout
    one.replicas = 6
    one.settle()
    assert before is not None and one.layout is not None and set(one.layout.shards) == {f"arena-{n}" for n in range(6)}
    one.replicas = 2
    one.settle()
    assert len(one.layout.cells) == 2 and one.most_pods == 6


def test_a_roll_replaces_one_shard_at_a_time_and_loses_no_cell() -> None:
    one = world(3)
    one.revision += 1
    fewest = 3
    for _ in range(120):
        one.step()
        fewest = min(fewest, len(one.claims))
    assert one.is_at_rest() and one.most_pods == 4
    assert fewest == 3, "a cell was without a shard"


def test_a_drained_node_gives_its_cells_to_newcomers_first() -> None:
    one = world(2)
    one.pods["arena-0"].told = True
    while one.pods.get("arena-0"):
        one.step()
        assert len(one.claims) == 2, "a cell was without a shard"
    one.settle()
    assert one.layout is not None and set(one.layout.shards) == {"arena-1", "arena-2"}


def test_cordoned_shards_take_their_turn_and_no_cell_is_without_a_shard() -> None:
    one = world(4)
    one.cordoned = {"arena-0", "arena-1", "arena-2"}
    for _ in range(200):
        one.step()
        assert len(one.claims) == 4, "a cell was without a shard"
    assert one.is_at_rest() and one.most_pods == 5
    assert one.layout is not None and "arena-3" in one.layout.shards, "one that could stay was moved"


def test_a_shard_alone_is_moved_off_its_node() -> None:
    one = world(1)
    one.cordoned = {"arena-0"}
    one.settle()
    assert one.layout is not None and one.layout.shards == ["arena-1"]


def test_a_node_that_is_uncordoned_before_the_move_began_keeps_its_shard() -> None:
    one = world(2)
    version = one.layout.version if one.layout else 0
    one.cordoned = {"arena-0"}
    observed, around = one.observe()
    one.perform(plan_elastic(one.desired, observed, around, one.now_us))  # the newcomer's pod, which waits for a node
    assert "arena-2" in one.pods and not one.pods["arena-2"].living
    one.cordoned.clear()
    one.settle()
    assert one.layout is not None and one.layout.version == version and set(one.pods) == {"arena-0", "arena-1"}


def test_pods_that_end_are_replaced_at_once_however_many() -> None:
    one = world(4)
    for name in ("arena-0", "arena-1", "arena-2"):
        one.pods[name].told = True
    one.step()
    assert {"arena-4", "arena-5", "arena-6"} <= set(one.pods)
    one.settle()


def test_one_shard_alone_can_be_rolled() -> None:
    one = world(1)
    one.revision += 1
    one.settle()
    assert one.layout is not None and one.layout.shards == ["arena-1"]


def test_a_shard_that_died_while_it_drained_is_run_again_until_it_owns_nothing() -> None:
    one = world(2)
    one.replicas = 1
    while one.layout is not None and len(one.layout.cells) == 2:
        one.step()
    (drained,) = {"arena-0", "arena-1"} - set(one.layout.shards if one.layout else ())
    one.owned = {drained: 50}
    one.end(drained, code=137)
    one.step()
    assert one.pods[drained].state is RUNNING
    one.settle()


def test_a_split_cuts_where_the_entities_are() -> None:
    one = world(1)
    one.replicas = 2
    observed, around = one.observe()
    assert not splits_next(one.desired, observed, around), "the newcomer does not live yet"
    one.step()
    observed, around = one.observe()
    assert splits_next(one.desired, observed, around)
    crowd = np.column_stack([np.linspace(90, 110, 50), np.zeros(50)])
    around = replace(around, positions={"": crowd})
    (change,) = [a for a in plan_elastic(one.desired, observed, around, one.now_us) if isinstance(a, WriteLayout)]
    assert 99 < change.layout.by_path["0"].high[0] < 101


def test_a_roll_whose_pods_cannot_join_stops_before_the_first_and_heals() -> None:
    one = world(2)
    before, layout = dict(one.pods), one.layout
    one.revision += 1
    starts = 0
    for _ in range(120):
        observed, around = one.observe()
        actions = plan_elastic(one.desired, observed, around, one.now_us)
        assert not [a for a in actions if isinstance(a, StopShard | WriteLayout | ConfirmEnded)]
        starts += sum(isinstance(a, StartShard | RestartShard) for a in actions)
        one.epochs = one.now_us  # by which a process tells how long it ran
        one.perform(actions)
        one.now_us += STEP_US
        for name in one.pods.keys() - before.keys():
            if one.pods[name].state is RUNNING:
                one.end(name, code=ExitCode.SCHEMA)
    assert 5 <= starts <= 12, "two minutes of an ever longer back-off"
    assert one.layout == layout and all(one.pods[name] is pod and pod.living for name, pod in before.items())
    one.revision -= 1
    one.settle()
    assert one.layout == layout and all(one.pods[name] is pod for name, pod in before.items())


def test_the_first_layout_is_the_plans() -> None:
    one = World(3)
    one.step()
    assert one.layout == first_layout(one.desired.config)


def test_nothing_is_known_of_a_shard_so_it_is_not_ended() -> None:
    one = world(2)
    one.replicas = 1
    while one.layout is not None and len(one.layout.cells) == 2:
        one.step()
    observed, around = one.observe()
    blind: Any = replace(around, owned={}, claims=one.claims)
    assert not [a for a in plan_elastic(one.desired, observed, blind, one.now_us) if isinstance(a, StopShard)]


def test_a_fleet_of_a_thousand_is_planned_at_once() -> None:
    """Some 10 ms of CPU time; looking at all shards again for each shard took seconds."""
    desired = Desired(config=FleetConfig(name="arena", replicas=1000), gives_up=False)
    layout = first_layout(desired.config)
    processes = tuple(
        Process(shard=f"arena-{ordinal}", ordinal=ordinal, state=RUNNING, epoch=NOW, started_us=NOW)
        for ordinal in range(1000)
    )
    members = tuple(
        Member(shard=one.shard, ordinal=one.ordinal, epoch=NOW, address="198.18.0.1:7000", living=True)
        for one in processes
    )
    observed = Observed(layout=layout, processes=processes, members=members)
    around = Surroundings(
        outdated=frozenset(one.shard for one in processes),
        claims={cell.path: cell.shard for cell in layout.cells},
        owned={one.shard: 2 for one in processes},
        loads={cell.path: CellLoad(entities=2, tick_us=100.0) for cell in layout.cells},
    )
    started_s = time.process_time()
    actions = plan_elastic(desired, observed, around, NOW)
    assert time.process_time() - started_s < 0.5
    assert [action for action in actions if isinstance(action, StartShard)] == [
        StartShard(shard="arena-1000", ordinal=1000)
    ]
