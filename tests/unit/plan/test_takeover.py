"""When a shard is given up, by whom it is taken over, and whose its cell is then."""

from __future__ import annotations

from dataclasses import replace

import pytest
from shardfleet_operator.plan import (
    Absences,
    Action,
    CellLoad,
    Desired,
    Observed,
    Process,
    ProcessState,
    StartShard,
    StopShard,
    Surroundings,
    TakeOver,
    Wait,
    WriteLayout,
    check_layout,
    first_layout,
    plan_elastic,
)
from shardfleet_operator.plan.takeover import GIVE_UP_AFTER_US, TAKE_OVER_AFTER_US
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.requests import Member

NOW = 1_700_000_000_000_000
CONFIG = FleetConfig(name="arena", replicas=4)
LAYOUT = first_layout(CONFIG)
"""00 to 11 are arena-0 to arena-3: 00 and 01 are siblings, 10 and 11 too."""


def member(ordinal: int, *, living: bool = True, epoch: int = 0) -> Member:
    return Member(shard=f"arena-{ordinal}", ordinal=ordinal, epoch=epoch or NOW + ordinal, address="h:1", living=living)


def process(ordinal: int, state: ProcessState = ProcessState.RUNNING, *, restarts: int = 0) -> Process:
    return Process(
        shard=f"arena-{ordinal}", ordinal=ordinal, state=state, started_us=NOW, ended_us=NOW, restarts=restarts
    )


def seen(*gone: int, layout: Layout = LAYOUT, restarts: int = 0) -> Observed:
    """``gone`` have no lease; their processes are said to run, or to have ended ``restarts`` times in a row."""
    state = ProcessState.ENDED if restarts else ProcessState.RUNNING
    return Observed(
        layout=layout,
        members=tuple(member(n, living=n not in gone) for n in range(4)),
        processes=tuple(process(n, state, restarts=restarts) if n in gone else process(n) for n in range(4)),
    )


def around(*gone: int, waited_us: int = TAKE_OVER_AFTER_US, stranded: bool = True, **values: object) -> Surroundings:
    names = frozenset(f"arena-{n}" for n in gone)
    known = {
        "absent_us": dict.fromkeys(names, NOW - waited_us),
        "stranded": names if stranded else frozenset(),
        "owned": {f"arena-{n}": 10 + n for n in range(4)},
        "claims": {cell.path: cell.shard for cell in LAYOUT.cells if cell.shard not in names},
        "loads": {cell.path: CellLoad(entities=10, tick_us=1.0) for cell in LAYOUT.cells},
    }
    return Surroundings(**(known | values))  # type: ignore[arg-type]


def planned(observed: Observed, surroundings: Surroundings) -> list[Action]:
    return plan_elastic(Desired(config=CONFIG, gives_up=False), observed, surroundings, NOW)


def takeovers(actions: list[Action]) -> list[TakeOver]:
    return [action for action in actions if isinstance(action, TakeOver)]


def written(actions: list[Action]) -> dict[str, str]:
    """Path -> shard of the layout that is written; empty where none is."""
    found = [action.layout for action in actions if isinstance(action, WriteLayout)]
    for layout in found:
        check_layout(layout)
    return {cell.path: cell.shard for cell in found[0].cells} if found else {}


# --- who, and when ---------------------------------------------------------------------------------------------


def test_the_sibling_takes_over_and_the_two_cells_become_one() -> None:
    actions = planned(seen(1), around(1))
    (one,) = takeovers(actions)
    assert (one.shard, one.epoch, one.gone, one.gone_epoch) == ("arena-0", NOW, "arena-1", NOW + 1)
    assert written(actions) == {"0": "arena-0", "10": "arena-2", "11": "arena-3"}
    order = [type(action) for action in actions]
    assert order.index(WriteLayout) < order.index(TakeOver), "the cell's claim goes with the takeover"


@pytest.mark.parametrize(
    ("waited_us", "stranded", "due"),
    [
        (TAKE_OVER_AFTER_US - 1, True, False),
        (TAKE_OVER_AFTER_US, True, True),
        (GIVE_UP_AFTER_US - 1, False, False),
        (GIVE_UP_AFTER_US, False, True),
    ],
)
def test_a_restart_has_its_time_first(waited_us: int, stranded: bool, due: bool) -> None:
    actions = planned(seen(1), around(1, waited_us=waited_us, stranded=stranded))
    assert bool(takeovers(actions)) == bool(written(actions)) == due
    if not due:
        assert Wait(until_us=NOW + 1) in actions, "it looks again just then"


@pytest.mark.parametrize(("restarts", "due"), [(2, False), (3, True)])
def test_a_process_that_ends_at_once_each_time_cannot_run(restarts: int, due: bool) -> None:
    actions = planned(seen(1, restarts=restarts), around(1, stranded=False))
    assert bool(takeovers(actions)) == due


def test_where_most_are_away_they_are_waited_for() -> None:
    """Something common is amiss: Redis was away, or the network. A node that is known to be gone is another matter."""
    assert not takeovers(planned(seen(0, 1, 2), around(0, 1, 2, waited_us=10**9, stranded=False)))
    assert len(takeovers(planned(seen(0, 1), around(0, 1, waited_us=10**9, stranded=False)))) == 1
    assert len(takeovers(planned(seen(0, 1, 2), around(0, 1, 2)))) == 1


def test_without_the_sibling_the_nearest_cell_with_the_fewest_entities() -> None:
    (one,) = takeovers(actions := planned(seen(0, 1), around(0, 1)))
    assert (one.gone, one.shard) == ("arena-0", "arena-2")
    assert written(actions) == {"00": "arena-2", "01": "arena-1", "10": "arena-2", "11": "arena-3"}
    (one,) = takeovers(planned(seen(0, 1), around(0, 1, owned={"arena-2": 500, "arena-3": 4})))
    assert one.shard == "arena-3"


def test_nobody_takes_over_twice_at_once_and_nobody_who_leaves() -> None:
    actions = planned(seen(1, 3), around(1, 3))
    assert {(one.gone, one.shard) for one in takeovers(actions)} == {("arena-1", "arena-0"), ("arena-3", "arena-2")}
    assert written(actions) == {"0": "arena-0", "1": "arena-2"}
    (one,) = takeovers(planned(seen(1), around(1, leaving=frozenset({"arena-0"}))))
    assert one.shard == "arena-2"


def test_one_without_a_cell_is_taken_over_as_well() -> None:
    """It drained when its node went: its rows are nobody's otherwise."""
    three = first_layout(replace(CONFIG, replicas=3))
    actions = plan_elastic(
        Desired(config=replace(CONFIG, replicas=3), gives_up=False), seen(3, layout=three), around(3, claims={}), NOW
    )
    (one,) = takeovers(actions)
    assert (one.gone, one.shard) == ("arena-3", "arena-0")
    assert not written(actions)


def test_the_only_shard_of_a_fleet_is_taken_over_by_a_new_one() -> None:
    """Its node is gone, so it will not come back by itself; nobody else is there yet."""
    desired = Desired(config=replace(CONFIG, replicas=1), gives_up=False)
    layout = first_layout(desired.config)
    alone = Observed(layout=layout, members=(member(0, living=False),), processes=(process(0),))
    actions = plan_elastic(desired, alone, around(0, claims={}), NOW)
    assert StartShard(shard="arena-1", ordinal=1) in actions
    joined = replace(alone, members=(*alone.members, member(1)), processes=(process(0), process(1)))
    actions = plan_elastic(desired, joined, around(0, claims={}), NOW)
    assert [(one.gone, one.shard) for one in takeovers(actions)] == [("arena-0", "arena-1")]
    assert written(actions) == {"": "arena-1"}


# --- afterwards --------------------------------------------------------------------------------------------------


def test_a_newcomer_is_given_a_cell_that_its_shard_has_beside_another() -> None:
    """Rather than half of one: so the cells become those that they were."""
    layout = Layout(version=9, cells=tuple(replace(c, shard="arena-2") if c.path == "00" else c for c in LAYOUT.cells))
    claims = {cell.path: cell.shard for cell in layout.cells}
    actions = planned(seen(layout=layout), around(claims=claims))
    assert written(actions) in (
        {"00": "arena-0", "01": "arena-1", "10": "arena-2", "11": "arena-3"},
        {"00": "arena-2", "01": "arena-1", "10": "arena-0", "11": "arena-3"},
    )


def test_a_stranded_pod_is_no_newcomer() -> None:
    """It looks alive, and never will be: another ordinal is started in its place."""
    three = Layout(version=9, cells=tuple(c for c in first_layout(replace(CONFIG, replicas=3)).cells))
    observed = Observed(
        layout=three, members=tuple(member(n) for n in range(3)), processes=tuple(process(n) for n in range(4))
    )
    actions = planned(observed, around(stranded=False, claims={c.path: c.shard for c in three.cells}))
    assert not [action for action in actions if isinstance(action, StartShard)]
    lost = {"absent_us": {}, "claims": {c.path: c.shard for c in three.cells}, "owned": {"arena-3": 0}}
    actions = planned(observed, around(3, **lost))
    assert StartShard(shard="arena-4", ordinal=4) in actions
    assert StopShard(shard="arena-3", ordinal=3) in actions


def test_absences_count_from_the_first_look_and_a_new_epoch_is_a_sign_of_life() -> None:
    absences = Absences()
    assert absences.see([member(0), member(1, living=False)], NOW) == {"arena-1": NOW}
    assert absences.see([member(0), member(1, living=False)], NOW + 5) == {"arena-1": NOW}
    assert absences.see([member(0), member(1, living=False, epoch=7)], NOW + 6) == {"arena-1": NOW + 6}
    assert absences.see([member(0), member(1, epoch=7)], NOW + 7) == {}
    assert absences.see([member(0), member(1, living=False, epoch=7)], NOW + 8) == {"arena-1": NOW + 8}
