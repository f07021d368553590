"""The planner against a loop over entities."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.authority import EntityAuthorityTracker
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.layout import INFINITY, Cell, Layout
from shardfleet_shard.core.planner import MAX_ENTITIES_PER_TICK, BorderHandoffPlanner
from shardfleet_shard.core.ticks import TickGrid
from shardfleet_shard.core.transfer import MAX_ENTITIES_PER_TRANSFER

SCHEMA = Schema(2)
QUADRANTS = Layout(
    version=1,
    cells=(
        Cell("00", "a-0", (-INFINITY, -INFINITY), (0.0, 0.0)),
        Cell("01", "a-1", (-INFINITY, 0.0), (0.0, INFINITY)),
        Cell("10", "a-2", (0.0, -INFINITY), (INFINITY, 0.0)),
        Cell("11", "a-3", (0.0, 0.0), (INFINITY, INFINITY)),
    ),
)
CLAIMS = {"00": ("a-0", 1), "01": ("a-1", 1), "10": ("a-2", 1), "11": ("a-3", 1)}
REACHABLE = {"a-1": 1, "a-2": 1, "a-3": 1}


def planner(margin: float = 0.5) -> BorderHandoffPlanner:
    options = BorderHandoffPlanner.Options(handoff_delay_us=60_000, border_margin=margin, guard_us=10_000)
    return BorderHandoffPlanner("a-0", TickGrid(20), options)


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.booleans()), max_size=30), st.sampled_from([0.0, 0.5]))
def test_rows_go_to_the_cell_that_holds_them_once_they_are_beyond_the_margin(
    rows: list[tuple[float, float, bool]], margin: float
) -> None:
    tracker = EntityAuthorityTracker(SCHEMA)
    tracker.add(
        SCHEMA.rows(id=np.arange(len(rows)), position=np.array([r[:2] for r in rows]).reshape(-1, 2)), since_tick=1
    )
    tracker.not_before_tick[:] = [9 if row[2] else 0 for row in rows]
    expected: dict[str, list[int]] = {}
    for number, (x, y, waits) in enumerate(rows):
        if (x < margin and y < margin) or waits:
            continue
        path = ("1" if x >= 0 else "0") + ("1" if y >= 0 else "0")
        expected.setdefault(path, []).append(number)
    plan = planner(margin).plan(tracker, QUADRANTS, CLAIMS, REACHABLE, tick=5)
    assert {t.cell: t.index.tolist() for t in plan.transfers} == expected
    assert all((t.target, t.target_epoch) == CLAIMS[t.cell] for t in plan.transfers)


def tracker_at(x: float, y: float, count: int = 1) -> EntityAuthorityTracker:
    tracker = EntityAuthorityTracker(SCHEMA)
    tracker.add(SCHEMA.rows(id=np.arange(count), position=np.full((count, 2), (x, y))), since_tick=1)
    return tracker


def test_no_claim_no_transfer() -> None:
    plan = planner().plan(tracker_at(5, -5), QUADRANTS, {"00": ("a-0", 1)}, REACHABLE, tick=1)
    assert plan.transfers == () and plan.waiting == 1


def test_a_claim_of_another_epoch_than_the_link_gets_nothing() -> None:
    plan = planner().plan(tracker_at(5, -5), QUADRANTS, CLAIMS, {"a-2": 2}, tick=1)
    assert plan.transfers == () and plan.unreachable == ("a-2",)


def test_a_large_crowd_goes_in_several_transfers() -> None:
    crowd = MAX_ENTITIES_PER_TRANSFER + 1
    plan = planner().plan(tracker_at(5, -5, crowd), QUADRANTS, CLAIMS, REACHABLE, tick=1)
    assert [len(t.index) for t in plan.transfers] == [MAX_ENTITIES_PER_TRANSFER, 1]


def test_a_cell_that_moved_empties_over_several_ticks() -> None:
    tracker = tracker_at(5, -5, MAX_ENTITIES_PER_TICK + 3)
    plan = planner().plan(tracker, QUADRANTS, CLAIMS, REACHABLE, tick=1)
    assert sum(len(t.index) for t in plan.transfers) == MAX_ENTITIES_PER_TICK
    assert plan.waiting == 3


def test_the_switch_tick_is_the_first_that_starts_at_or_after_the_transfer_time() -> None:
    grid = TickGrid(20)
    transfer_time_us, switch_tick = planner().switch(1_000_000)
    assert transfer_time_us == 1_060_000
    assert grid.start_us(switch_tick - 1) < transfer_time_us <= grid.start_us(switch_tick)
