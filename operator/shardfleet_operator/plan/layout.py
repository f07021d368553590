"""Making and changing layouts: a binary tree of cuts. Pure: values in, values out.

A cell's path is its place in the tree; cutting a cell gives two with longer paths, joining two siblings gives the
one with the shorter path back, and no other cell changes. Outer cells reach to infinity, so the cells of any
layout that is made here cover space without overlap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from shardfleet_shard.core.columns import F64
from shardfleet_shard.core.layout import INFINITY, Cell, Layout

Point = tuple[float, ...]


class Cut(NamedTuple):
    """A plane: ``value`` world units along ``axis``. Points below it are on the low side."""

    axis: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLoad:
    """What a cell costs its shard lately."""

    entities: int
    tick_us: float


def initial_layout(world_low: Sequence[float], world_high: Sequence[float], shards: Sequence[str]) -> Layout:
    """Cells of equal area inside the world, one a shard, in the order of their paths.

    Each cut goes across the longer side (the first of equal ones) and divides the area as it divides the shards,
    so 4 shards on a square get its quadrants.

    Raises:
        ValueError: no shards, or a shard twice.
    """
    if not shards or len(set(shards)) != len(shards):
        raise ValueError(f"{len(shards)} shards, {len(set(shards))} of them different: cannot lay out a world")
    dimensions = len(world_low)
    cells: list[Cell] = []

    def divide(path: str, low: Point, high: Point, cell: Cell, names: Sequence[str]) -> None:
        if len(names) == 1:
            cells.append(replace(cell, path=path, shard=names[0]))
            return
        first = len(names) // 2
        axis = _longer_side(low, high)
        value = low[axis] + (high[axis] - low[axis]) * first / len(names)
        lower, upper = _halves(cell, Cut(axis, value))
        divide(path + "0", low, _with(high, axis, value), lower, names[:first])
        divide(path + "1", _with(low, axis, value), high, upper, names[first:])

    space = Cell(path="", shard="", low=(-INFINITY,) * dimensions, high=(INFINITY,) * dimensions)
    divide("", tuple(map(float, world_low)), tuple(map(float, world_high)), space, list(shards))
    return Layout(version=1, cells=tuple(cells))


def split(layout: Layout, path: str, at: Cut, new_shard: str) -> Layout:
    """Cuts one cell in two: its shard keeps the low side, ``new_shard`` gets the high one. Version + 1.

    Raises:
        ValueError: no such cell, or the cut does not go through it.
    """
    cell = _cell(layout, path)
    if not (0 <= at.axis < len(cell.low) and math.isfinite(at.value)):
        raise ValueError(f"{at} is no plane in {len(cell.low)} dimensions")
    if not cell.low[at.axis] < at.value < cell.high[at.axis]:
        raise ValueError(f"{at} does not go through cell {path!r}, {cell.low} to {cell.high}")
    lower, upper = _halves(cell, at)
    return _changed(layout, {path}, [replace(lower, path=path + "0"), replace(upper, path=path + "1", shard=new_shard)])


def merge(layout: Layout, path: str, *, keep: str | None = None) -> Layout:
    """Joins the two cells that were made of ``path``. Version + 1.

    Args:
        keep: which of the two shards gets the joined cell; the low side's where it is left out.

    Raises:
        ValueError: ``path`` is not cut, its parts are cut further, or ``keep`` is neither of the two shards.
    """
    lower, upper = _cell(layout, path + "0"), _cell(layout, path + "1")
    shard = lower.shard if keep is None else keep
    if shard not in (lower.shard, upper.shard):
        raise ValueError(f"{shard} has neither half of cell {path!r}: {lower.shard} and {upper.shard} have")
    joined = Cell(path=path, shard=shard, low=lower.low, high=upper.high)
    return _changed(layout, {lower.path, upper.path}, [joined])


def reassign(layout: Layout, path: str, shard: str) -> Layout:
    """Gives one cell to another shard; the box stays. Version + 1, or the same layout if it is the shard's already.

    Raises:
        ValueError: no such cell.
    """
    cell = _cell(layout, path)
    return layout if cell.shard == shard else _changed(layout, {path}, [replace(cell, shard=shard)])


def check_layout(layout: Layout) -> None:
    """Proves that the cells are the leaves of one tree of cuts, and so cover space without overlap.

    Raises:
        ValueError: what is wrong with which cell.
    """
    if [cell.path for cell in layout.cells] != sorted(layout.by_path):
        raise ValueError("the cells are not sorted by path, or a path is there twice")
    if not layout.cells:
        raise ValueError("no cells")
    seen = 0

    def box(path: str) -> Cell:
        nonlocal seen
        cell = layout.by_path.get(path)
        if cell is not None:
            seen += 1
            if any(low >= high for low, high in zip(cell.low, cell.high, strict=True)):
                raise ValueError(f"cell {path!r} is empty: {cell.low} to {cell.high}")
            return cell
        if len(path) >= len(layout.cells):
            raise ValueError(f"no cell for {path!r}")
        lower, upper = box(path + "0"), box(path + "1")
        cuts = [axis for axis in range(len(lower.low)) if lower.high[axis] == upper.low[axis]]
        joined = Cell(path=path, shard="", low=lower.low, high=upper.high)
        if not any(_halves(joined, Cut(a, lower.high[a])) == _unnamed(lower, upper) for a in cuts):
            raise ValueError(f"cells {lower.path!r} and {upper.path!r} are not the two sides of a cut")
        return joined

    root = box("")
    if seen != len(layout.cells):
        raise ValueError(f"{len(layout.cells) - seen} cells hang below another one")
    if set(root.low) != {-INFINITY} or set(root.high) != {INFINITY}:
        raise ValueError(f"the cells end at {root.low} and {root.high}, not at infinity")


def choose_split(
    layout: Layout,
    loads: Mapping[str, CellLoad],
    world_low: Sequence[float],
    world_high: Sequence[float],
    positions: Mapping[str, F64],
) -> tuple[str, Cut]:
    """Which cell to cut for one more shard, and where: the busiest, at its entities' median along its longer side.

    Args:
        loads: by path; a cell that is not in it has nothing to do.
        world_low, world_high: what an outer cell is measured by.
        positions: by path, (n, dimensions); without any, or where the median would leave one side empty, the cell
            is cut in the middle.
    """
    share = _Shares(loads)
    cell = max(layout.cells, key=lambda c: (share(c.path), _negated(c.path)))
    low, high = _finite_box(cell, world_low, world_high)
    axis = _longer_side(low, high)
    values = positions.get(cell.path, np.zeros((0, len(low))))[:, axis]
    value = float(np.median(values)) if len(values) else math.nan
    parts = int(np.count_nonzero(values < value))
    if not (cell.low[axis] < value < cell.high[axis] and 0 < parts < len(values)):
        value = low[axis] + (high[axis] - low[axis]) / 2
    return cell.path, Cut(axis, value)


def choose_merge(layout: Layout, loads: Mapping[str, CellLoad]) -> str | None:
    """Which two sibling cells to join for one shard less: those with the least load together.

    Returns:
        The path that ``merge`` takes, or None where only one cell is left.
    """
    share = _Shares(loads)
    parents = [c.path[:-1] for c in layout.cells if c.path.endswith("0") and c.path[:-1] + "1" in layout.by_path]
    return min(parents, key=lambda path: (share(path + "0") + share(path + "1"), path), default=None)


class _Shares:
    """A cell's part of the fleet's entities plus its part of the fleet's tick time."""

    def __init__(self, loads: Mapping[str, CellLoad]) -> None:
        self._loads = loads
        self._entities = max(1, sum(load.entities for load in loads.values()))
        self._tick_us = max(1.0, sum(load.tick_us for load in loads.values()))

    def __call__(self, path: str) -> float:
        load = self._loads.get(path)
        return load.entities / self._entities + load.tick_us / self._tick_us if load else 0.0


def _negated(path: str) -> tuple[int, ...]:
    """Of equal loads the larger cell (shorter path) is cut, then the first in order: one answer always."""
    return (-len(path), *(-int(side) for side in path))


def _longer_side(low: Sequence[float], high: Sequence[float]) -> int:
    sides = [b - a for a, b in zip(low, high, strict=True)]
    return sides.index(max(sides))


def _finite_box(cell: Cell, world_low: Sequence[float], world_high: Sequence[float]) -> tuple[Point, Point]:
    """The cell's box as far as the world goes; one that lies beyond the world gets a unit of it."""
    sides = [
        (
            low if low != -INFINITY else min(float(world_low[axis]), high - 1.0),
            high if high != INFINITY else max(float(world_high[axis]), low + 1.0),
        )
        for axis, (low, high) in enumerate(zip(cell.low, cell.high, strict=True))
    ]
    return tuple(low for low, _ in sides), tuple(high for _, high in sides)


def _halves(cell: Cell, cut: Cut) -> tuple[Cell, Cell]:
    return (
        replace(cell, high=_with(cell.high, cut.axis, cut.value)),
        replace(cell, low=_with(cell.low, cut.axis, cut.value)),
    )


def _unnamed(lower: Cell, upper: Cell) -> tuple[Cell, Cell]:
    path = lower.path[:-1]
    return replace(lower, path=path, shard=""), replace(upper, path=path, shard="")


def _with(point: Point, axis: int, value: float) -> Point:
    return (*point[:axis], value, *point[axis + 1 :])


def _cell(layout: Layout, path: str) -> Cell:
    cell = layout.by_path.get(path)
    if cell is None:
        raise ValueError(f"no cell {path!r} in version {layout.version}: {', '.join(map(repr, layout.by_path))}")
    return cell


def _changed(layout: Layout, gone: set[str], new: list[Cell]) -> Layout:
    cells = [cell for cell in layout.cells if cell.path not in gone] + new
    return Layout(version=layout.version + 1, cells=tuple(sorted(cells, key=lambda cell: cell.path)))
