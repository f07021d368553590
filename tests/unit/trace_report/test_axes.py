"""Round numbers, and an axis of time without its rests."""

from __future__ import annotations

import numpy as np
import pytest
from shardfleet_operator.trace_report.axes import (
    CUTS_SHOWN,
    TimeAxis,
    binned,
    duration,
    even_edges,
    milliseconds,
    round_marks,
    round_step,
    symmetric_edges,
)

SECOND = 1_000_000
NOW = 1_795_692_038_000_000


@pytest.mark.parametrize(("span", "most", "step"), [(10, 5, 2), (10, 10, 1), (0.9, 4, 0.5), (0, 4, 1), (101, 5, 50)])
def test_a_step_is_round_and_makes_few_parts(span: float, most: int, step: float) -> None:
    assert round_step(span, most=most) == pytest.approx(step)


def test_marks_lie_within() -> None:
    assert round_marks(-45, 45, most=5) == [-40, -20, 0, 20, 40]
    assert round_marks(3, 3, most=5) == [3]


def test_edges_grow_on_both_sides_of_zero_and_hold_everything() -> None:
    assert symmetric_edges(-0.7, 3) == [-1, -0.5, -0.2, -0.1, 0, 0.1, 0.2, 0.5, 1, 2, 5]
    assert symmetric_edges(0, 0.05) == [0, 0.1]
    edges = symmetric_edges(-982.09, 4651.743)
    assert (edges[0], edges[-1]) == (-1000, 5000) and edges == sorted(edges)


def test_even_edges_are_round_and_cover() -> None:
    assert even_edges(1, 19, most=5) == [0, 5, 10, 15, 20]
    assert len(even_edges(3, 3, most=5)) >= 2


def test_every_value_is_in_one_bin_or_beyond() -> None:
    below, inside, above = binned(np.array([-1.0, 0, 0.5, 1, 2, 3]), [0, 1, 2])
    assert (below, inside.tolist(), above) == (1, [2, 2], 1)


def test_times_for_people() -> None:
    assert [duration(s) for s in (0, 0.05, 90, 600, 12_000, 400_000)] == [
        "0 s", "0.05 s", "90 s", "10 min", "3 h 20 min", "4 d"
    ]  # fmt: skip
    assert [milliseconds(v) for v in (None, float("nan"), -0.0, 0.279, 12.34, 3250.7)] == [
        "-", "-", "0.00 ms", "0.28 ms", "12.3 ms", "3.25 s"
    ]  # fmt: skip


def test_a_rest_is_cut_out_and_the_order_stays() -> None:
    night = 8 * 3600 * SECOND
    axis = TimeAxis.of([(NOW, NOW + 60 * SECOND), (NOW + night, NOW + night + 30 * SECOND)])
    assert len(axis.spans) == 2 and len(axis.cuts) == 1 and axis.shown_s == 90
    at = axis.place(np.array([NOW - 5, NOW, NOW + 30 * SECOND, NOW + 60 * SECOND, NOW + night, NOW + night * 2]))
    assert at[0] == at[1] == 0 and at[-1] == pytest.approx(1)
    assert (np.diff(at[1:]) > 0).all()
    assert at[3] < axis.cuts[0] < at[4]
    labels = [label for _, label in axis.marks()]
    assert labels[0] == "0 s" and "8 h" in labels


def test_short_pauses_and_overlaps_are_one_span() -> None:
    axis = TimeAxis.of([(NOW, NOW + 9 * SECOND), (NOW + 12 * SECOND, NOW + 20 * SECOND), (NOW + 1, NOW + 2)])
    assert axis.spans == ((NOW, NOW + 20 * SECOND),) and axis.cuts == ()


def test_many_rests_leave_room_for_what_ran() -> None:
    lives = [(NOW + n * 3600 * SECOND, NOW + n * 3600 * SECOND + SECOND) for n in range(200)]
    axis = TimeAxis.of(lives)
    assert len(axis.cuts) <= CUTS_SHOWN and axis.knots[-1] == pytest.approx(1)


def test_no_process_at_all_is_an_axis_too() -> None:
    assert TimeAxis.of([]).place(np.array([0, 1])).tolist() == [0, 1]
