"""Layouts: whatever is cut, joined or given away, every point has exactly one cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfleet_operator.plan import (
    CellLoad,
    Cut,
    check_layout,
    choose_merge,
    choose_split,
    initial_layout,
    merge,
    reassign,
    split,
)
from shardfleet_shard.core.layout import INFINITY, Cell, Layout

LOW, HIGH = (-120, -120), (120, 120)


def names(count: int) -> list[str]:
    return [f"arena-{ordinal}" for ordinal in range(count)]


def holders(layout: Layout, points: Any) -> Any:
    """How many cells contain each point; an oracle of one comparison a cell."""
    count = np.zeros(len(points), int)
    for cell in layout.cells:
        count += [all(a <= v < b for a, v, b in zip(cell.low, p, cell.high, strict=True)) for p in points]
    return count


@st.composite
def worlds(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    dimensions = draw(st.sampled_from([2, 3]))
    low = draw(st.tuples(*[st.integers(-1000, 1000)] * dimensions))
    return low, tuple(a + draw(st.integers(1, 500)) for a in low)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """An initial layout after any changes."""
    low, high = draw(worlds())
    layout = initial_layout(low, high, names(draw(st.integers(1, 9))))
    for number in range(draw(st.integers(0, 6))):
        cell = draw(st.sampled_from(layout.cells))
        match draw(st.sampled_from(["split", "merge", "reassign"])):
            case "split":
                axis = draw(st.integers(0, len(low) - 1))
                value = draw(st.floats(max(cell.low[axis], -2000.0), min(cell.high[axis], 2000.0)))
                if cell.low[axis] < value < cell.high[axis]:
                    layout = split(layout, cell.path, Cut(axis, value), f"new-{number}")
            case "merge":
                parents = [c.path[:-1] for c in layout.cells if c.path.endswith("1")]
                parents = [p for p in parents if {p + "0", p + "1"} <= set(layout.by_path)]
                if parents:
                    layout = merge(layout, draw(st.sampled_from(parents)))
            case "reassign":
                layout = reassign(layout, cell.path, f"surge-{number}")
    return layout


@st.composite
def points_of(draw: st.DrawFn, layout: Layout) -> Any:
    """Points anywhere and, above all, exactly on the cuts."""
    edges = sorted({v for c in layout.cells for v in (*c.low, *c.high) if abs(v) != INFINITY})
    coordinate = st.floats(-1e12, 1e12) | (st.sampled_from(edges) if edges else st.just(0.0))
    rows = draw(st.lists(st.tuples(*[coordinate] * len(layout.cells[0].low)), min_size=1, max_size=20))
    return np.array(rows, float)


# --- the first layout ------------------------------------------------------------------------------------------


def test_four_shards_on_a_square_get_its_quadrants() -> None:
    layout = initial_layout(LOW, HIGH, names(4))
    assert layout.version == 1
    assert [(c.path, c.shard, c.low, c.high) for c in layout.cells] == [
        ("00", "arena-0", (-INFINITY, -INFINITY), (0.0, 0.0)),
        ("01", "arena-1", (-INFINITY, 0.0), (0.0, INFINITY)),
        ("10", "arena-2", (0.0, -INFINITY), (INFINITY, 0.0)),
        ("11", "arena-3", (0.0, 0.0), (INFINITY, INFINITY)),
    ]


def test_one_shard_gets_everything() -> None:
    layout = initial_layout(LOW, HIGH, names(1))
    assert [(c.path, c.low, c.high) for c in layout.cells] == [("", (-INFINITY,) * 2, (INFINITY,) * 2)]


def test_the_longer_side_is_cut_first() -> None:
    layout = initial_layout((0, 0, 0), (10, 30, 20), names(3))
    assert [(c.path, c.low, c.high) for c in layout.cells] == [
        ("0", (-INFINITY,) * 3, (INFINITY, 10.0, INFINITY)),
        ("10", (-INFINITY, 10.0, -INFINITY), (INFINITY, 20.0, INFINITY)),
        ("11", (-INFINITY, 20.0, -INFINITY), (INFINITY,) * 3),
    ]


@pytest.mark.parametrize("shards", [[], ["a", "a"]])
def test_a_layout_of_nobody_or_of_one_twice_is_refused(shards: list[str]) -> None:
    with pytest.raises(ValueError, match="cannot lay out"):
        initial_layout(LOW, HIGH, shards)


@given(worlds(), st.integers(1, 40))
@settings(max_examples=60)
def test_areas_are_equal_and_every_shard_has_one_cell(world: tuple[Any, Any], count: int) -> None:
    low, high = world
    layout = initial_layout(low, high, names(count))
    check_layout(layout)
    assert [c.shard for c in layout.cells] == names(count)
    boxes = [(np.maximum(c.low, low), np.minimum(c.high, high)) for c in layout.cells]
    areas = [float(np.prod(b - a)) for a, b in boxes]
    assert areas == pytest.approx([float(np.prod(np.subtract(high, low))) / count] * count)


def test_a_thousand_shards() -> None:
    layout = initial_layout(LOW, HIGH, names(1000))
    check_layout(layout)
    assert len(layout.cells) == 1000 and max(len(c.path) for c in layout.cells) == 10


# --- changes ---------------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=80)
def test_every_point_has_exactly_one_cell(data: st.DataObject) -> None:
    layout = data.draw(layouts())
    check_layout(layout)
    points = data.draw(points_of(layout))
    assert (holders(layout, points) == 1).all()
    assert (layout.cell_index(points) >= 0).all()


@given(layouts())
@settings(max_examples=40)
def test_a_layout_goes_through_json(layout: Layout) -> None:
    assert Layout.from_json(layout.to_json()) == layout


@given(st.data())
@settings(max_examples=60)
def test_split_then_merge_is_the_same_but_for_the_version(data: st.DataObject) -> None:
    layout = data.draw(layouts())
    cell = data.draw(st.sampled_from(layout.cells))
    axis = data.draw(st.integers(0, len(cell.low) - 1))
    low, high = max(cell.low[axis], -3000.0), min(cell.high[axis], 3000.0)
    value = low + (high - low) / 2
    if not cell.low[axis] < value < cell.high[axis]:
        return
    after = split(layout, cell.path, Cut(axis, value), "new")
    assert after.version == layout.version + 1 and len(after.cells) == len(layout.cells) + 1
    assert after.by_path[cell.path + "0"].shard == cell.shard and after.by_path[cell.path + "1"].shard == "new"
    untouched = [c for c in layout.cells if c.path != cell.path]
    assert [c for c in after.cells if c in untouched] == untouched
    back = merge(after, cell.path)
    assert back.cells == layout.cells and back.version == layout.version + 2


def test_reassign_moves_one_cell_and_is_nothing_where_nothing_changes() -> None:
    layout = initial_layout(LOW, HIGH, names(4))
    moved = reassign(layout, "01", "arena-9")
    assert moved.version == 2 and moved.shards == ["arena-0", "arena-2", "arena-3", "arena-9"]
    assert reassign(moved, "01", "arena-9") is moved


def test_merge_keeps_the_shard_that_is_named() -> None:
    layout = initial_layout(LOW, HIGH, names(4))
    assert merge(layout, "1", keep="arena-3").by_path["1"].shard == "arena-3"
    with pytest.raises(ValueError, match="arena-0 has neither half of cell '1'"):
        merge(layout, "1", keep="arena-0")


def test_changes_that_cannot_be_are_refused() -> None:
    layout = initial_layout(LOW, HIGH, names(4))
    with pytest.raises(ValueError, match="no cell '0' in version 1"):
        split(layout, "0", Cut(0, 0.0), "x")
    for outside in (Cut(0, 0.0), Cut(0, 5.0)):
        with pytest.raises(ValueError, match="does not go through cell '00'"):
            split(layout, "00", outside, "x")
    for none in (Cut(2, 0.0), Cut(-1, 0.0), Cut(0, INFINITY), Cut(0, float("nan"))):
        with pytest.raises(ValueError, match="is no plane in 2 dimensions"):
            split(layout, "00", none, "x")
    for path in ("", "00"):
        with pytest.raises(ValueError, match="no cell"):
            merge(layout, path)
    with pytest.raises(ValueError, match="no cell '2'"):
        reassign(layout, "2", "x")


def box(path: str, low: tuple[float, ...], high: tuple[float, ...]) -> Cell:
    return Cell(path=path, shard=path, low=low, high=high)


INF = INFINITY


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], "no cells"),
        ([box("0", (-INF, -INF), (0, INF))], "no cell for '1'"),
        ([box("0", (-INF, -INF), (0, INF)), box("1", (1, -INF), (INF, INF))], "not the two sides of a cut"),
        ([box("0", (-INF, -INF), (0, INF)), box("1", (0, 0), (INF, INF))], "not the two sides of a cut"),
        ([box("1", (0, -INF), (INF, INF)), box("0", (-INF, -INF), (0, INF))], "not sorted by path"),
        ([box("", (-INF, -INF), (INF, 5))], "not at infinity"),
        ([box("", (-INF, -INF), (INF, INF)), box("0", (-INF, -INF), (0, INF))], "1 cells hang below another"),
        ([box("", (0, 0), (0, 1))], "is empty"),
    ],
)
def test_what_is_no_layout(cells: list[Cell], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_layout(Layout(version=1, cells=tuple(cells)))


# --- choosing --------------------------------------------------------------------------------------------------


def load(entities: int, tick_us: float = 0.0) -> CellLoad:
    return CellLoad(entities=entities, tick_us=tick_us)


def test_the_busiest_cell_is_cut_at_the_median_along_its_longer_side() -> None:
    layout = split(initial_layout(LOW, HIGH, names(2)), "1", Cut(0, 60.0), "arena-2")  # 10: 60 wide, 240 high
    positions = {"10": np.array([[1.0, y] for y in (-100.0, 10.0, 20.0, 30.0)])}
    assert choose_split(layout, {"10": load(4), "0": load(3)}, LOW, HIGH, positions) == ("10", Cut(1, 15.0))


def test_tick_time_counts_like_entities() -> None:
    layout = initial_layout(LOW, HIGH, names(2))
    loads = {"0": load(60, 1_000.0), "1": load(40, 9_000.0)}
    assert choose_split(layout, loads, LOW, HIGH, {})[0] == "1"


def test_without_a_median_the_middle_is_cut() -> None:
    layout = initial_layout(LOW, HIGH, names(2))
    middle = ("0", Cut(1, 0.0))
    assert choose_split(layout, {}, LOW, HIGH, {}) == middle
    heap = {"0": np.array([[-50.0, 7.0]] * 9)}  # all on one line: the median would leave the low side empty
    assert choose_split(layout, {"0": load(9)}, LOW, HIGH, heap) == middle


def test_of_equal_cells_the_larger_then_the_first_is_cut() -> None:
    assert choose_split(initial_layout(LOW, HIGH, names(3)), {}, LOW, HIGH, {})[0] == "0"
    assert choose_split(initial_layout(LOW, HIGH, names(4)), {}, LOW, HIGH, {})[0] == "00"


@given(st.data())
@settings(max_examples=60)
def test_what_is_chosen_can_be_done(data: st.DataObject) -> None:
    low, high = data.draw(worlds())
    layout = initial_layout(low, high, names(1))
    for step in range(data.draw(st.integers(1, 6))):
        loads = {c.path: load(data.draw(st.integers(0, 9)), data.draw(st.floats(0, 1e5))) for c in layout.cells}
        spots = st.tuples(*[st.integers(a - 50, b + 50) for a, b in zip(low, high, strict=True)])
        points = np.array(data.draw(st.lists(spots, max_size=12)), float).reshape(-1, len(low))
        index = layout.cell_index(points)
        positions = {c.path: points[index == number] for number, c in enumerate(layout.cells)}
        layout = split(layout, *choose_split(layout, loads, low, high, positions), f"new-{step}")
        check_layout(layout)
    while (path := choose_merge(layout, {})) is not None:
        layout = merge(layout, path)
        check_layout(layout)
    assert len(layout.cells) == 1


def test_the_two_siblings_with_the_least_load_are_joined() -> None:
    layout = initial_layout(LOW, HIGH, names(4))
    loads = {"00": load(1), "01": load(90), "10": load(30), "11": load(30)}
    assert choose_merge(layout, loads) == "1"
    assert choose_merge(layout, {**loads, "11": load(70)}) == "0"
    assert choose_merge(initial_layout(LOW, HIGH, names(3)), {"10": load(500)}) == "1"  # "0" has no sibling leaf
    assert choose_merge(initial_layout(LOW, HIGH, names(1)), {}) is None
