"""Layouts: every point has one cell, whatever the cuts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.layout import INFINITY, Cell, Layout
from shardfleet_shard.core.stream import group_by_cell

CUTS = [-7.5, -1.0, 0.0, 1e-300, 0.1, 3.0, 7.5]


@st.composite
def layouts(draw: st.DrawFn, dimensions: int) -> Layout:
    """Random cuts of random cells, from one cell that is everything."""
    cells = [("", (-INFINITY,) * dimensions, (INFINITY,) * dimensions)]
    for _ in range(draw(st.integers(0, 6))):
        path, low, high = cells.pop(draw(st.integers(0, len(cells) - 1)))
        axis = draw(st.integers(0, dimensions - 1))
        inside = [cut for cut in CUTS if low[axis] < cut < high[axis]]
        if not inside:
            cells.append((path, low, high))
            continue
        cut = draw(st.sampled_from(inside))
        cells.append((path + "0", low, (*high[:axis], cut, *high[axis + 1 :])))
        cells.append((path + "1", (*low[:axis], cut, *low[axis + 1 :]), high))
    shards = [f"a-{draw(st.integers(0, 3))}" for _ in cells]
    return Layout(
        version=1,
        cells=tuple(
            Cell(path, shard, low, high) for shard, (path, low, high) in zip(shards, sorted(cells), strict=True)
        ),
    )


COORDINATES = st.one_of(
    st.sampled_from([*CUTS, -0.0, 1e308, -1e308, INFINITY, -INFINITY]), st.floats(-10, 10), st.sampled_from(
        [float(np.nextafter(cut, side)) for cut in CUTS for side in (-INFINITY, INFINITY)]
    )
)  # fmt: skip
POINTS_2D = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=1, max_size=20)
POINTS_3D = st.lists(st.tuples(COORDINATES, COORDINATES, COORDINATES), min_size=1, max_size=20)


def naive_cells(layout: Layout, point: tuple[float, ...]) -> list[int]:
    return [
        number
        for number, cell in enumerate(layout.cells)
        if all(
            (low == -INFINITY or low <= x) and (high == INFINITY or x < high)
            for x, low, high in zip(point, cell.low, cell.high, strict=True)
        )
    ]


@given(layouts(2), POINTS_2D)
def test_every_point_of_a_plane_has_exactly_one_cell(layout: Layout, points: list[tuple[float, ...]]) -> None:
    check_cells(layout, points)


@given(layouts(3), POINTS_3D)
def test_every_point_of_space_has_exactly_one_cell(layout: Layout, points: list[tuple[float, ...]]) -> None:
    check_cells(layout, points)


def check_cells(layout: Layout, points: list[tuple[float, ...]]) -> None:
    index = layout.cell_index(np.array(points))
    for point, number in zip(points, index.tolist(), strict=True):
        assert naive_cells(layout, point) == [number]


@given(layouts(2))
def test_a_point_that_is_none_has_no_cell(layout: Layout) -> None:
    points = np.array([[np.nan, 0.0], [0.0, np.nan], [np.nan, np.nan], [0.0, 0.0]])
    index = layout.cell_index(points)
    assert index[:3].tolist() == [-1, -1, -1] and index[3] >= 0
    assert layout.cell_index(np.zeros((0, 2))).tolist() == []


@given(layouts(2), st.sampled_from([0.0, 0.5]), POINTS_2D)
def test_a_margin_grows_a_cell_on_its_closed_sides(
    layout: Layout, margin: float, points: list[tuple[float, float]]
) -> None:
    for cell in layout.cells:
        inside = cell.contains(np.array(points), margin=margin)
        for point, is_inside in zip(points, inside.tolist(), strict=True):
            expected = all(
                (low == -INFINITY or x >= low - margin) and (high == INFINITY or x < high + margin)
                for x, low, high in zip(point, cell.low, cell.high, strict=True)
            )
            assert is_inside == expected


@given(layouts(3))
def test_a_layout_survives_its_json(layout: Layout) -> None:
    read = Layout.from_json(layout.to_json())
    assert read == layout and "Infinity" not in layout.to_json()
    assert read.by_path.keys() == {cell.path for cell in layout.cells}


@given(layouts(2))
def test_neighbours_are_mutual_and_whoever_shares_a_point(layout: Layout) -> None:
    for shard in layout.shards:
        mine = layout.cells_of(shard)
        expected = {
            cell.shard
            for cell in layout.cells
            for own in mine
            if cell.shard != shard
            and all(max(a, c) <= min(b, d) for a, b, c, d in zip(cell.low, cell.high, own.low, own.high, strict=True))
        }
        assert layout.neighbours_of(shard) == sorted(expected)
        assert all(shard in layout.neighbours_of(other) for other in layout.neighbours_of(shard))
    assert layout.neighbours_of("nobody") == [] and layout.cells_of("nobody") == ()


@given(layouts(2), st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), max_size=20), st.integers(-5, 5))
def test_rows_are_grouped_by_the_cell_that_holds_them(
    layout: Layout, points: list[tuple[float, float]], tick: int
) -> None:
    schema = Schema(2, np.dtype([("mass", "<f4")]))
    rows = schema.rows(id=np.arange(len(points)), position=np.array(points).reshape(-1, 2), mass=1.5)
    groups = group_by_cell(rows, layout, tick=tick)
    expected: dict[str, list[int]] = {}
    for entity, point in enumerate(points):
        expected.setdefault(layout.cells[naive_cells(layout, point)[0]].path, []).append(entity)
    assert {group.cell: np.frombuffer(group.ids, "<u8").tolist() for group in groups} == expected
    for group in groups:
        part = schema.unpack(group.rows, group.count)
        assert part.id.tobytes() == group.ids and group.tick == tick
        assert part.pack() == rows.take(part.id.astype(int)).pack()
