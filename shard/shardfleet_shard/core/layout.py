"""Who is meant to hold which part of space: a version and a list of cells.

Cells are axis-aligned boxes, half-open (min <= p < max); those at the world's edge reach to infinity. A cell's
``path`` is its place in the binary tree of cuts ("" the root, then "0" for the low side and "1" for the high
side of each cut), so a path names the same box for as long as that cut stands. Only the operator writes a layout.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import MISSHAPEN
from .columns import F64, Mask

INFINITY = float("inf")


def path_text(path: str) -> str:
    """A cell's path for people: that of the whole space, which is empty, has a word."""
    return path or "root"


@dataclass(frozen=True, slots=True)
class Cell:
    """One box and the shard that it is meant for. ``low``/``high`` hold -inf/inf where the cell is open."""

    path: str
    shard: str
    low: tuple[float, ...]
    high: tuple[float, ...]

    def contains(self, position: F64, *, margin: float = 0.0) -> Mask:
        """Which of ``position`` (n, dimensions) lie inside, the box grown by ``margin`` world units; (n,) bool."""
        inside = np.ones(len(position), bool)
        for axis, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            column = position[:, axis]
            if low != -INFINITY:
                inside &= column >= low - margin
            if high != INFINITY:
                inside &= column < high + margin
        return inside

    def touches(self, other: Cell) -> bool:
        """Whether the closed boxes share a point: neighbours keep a link."""
        return all(
            a_low <= b_high and b_low <= a_high
            for a_low, a_high, b_low, b_high in zip(self.low, self.high, other.low, other.high, strict=True)
        )


@dataclass(frozen=True)
class Layout:
    """``version`` rises with each change; ``cells`` cover space without overlap, sorted by path."""

    version: int
    cells: tuple[Cell, ...]

    @cached_property
    def by_path(self) -> dict[str, Cell]:
        return {cell.path: cell for cell in self.cells}

    def cells_of(self, shard: str) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.shard == shard)

    @property
    def shards(self) -> list[str]:
        return sorted({cell.shard for cell in self.cells})

    def neighbours_of(self, shard: str) -> list[str]:
        """Shards with a cell that touches one of ``shard``'s, sorted."""
        mine = self.cells_of(shard)
        return sorted({c.shard for c in self.cells if c.shard != shard and any(c.touches(m) for m in mine)})

    def cell_index(self, position: F64) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Index into ``cells`` for each position (n, dimensions); every point has exactly one cell (NaN: -1)."""
        index = np.full(len(position), -1, np.int64)
        for number, cell in enumerate(self.cells):
            index[cell.contains(position)] = number
        index[np.isnan(position).any(1)] = -1  # open sides compare with nothing
        return index

    def to_json(self) -> str:
        def bound(value: float) -> float | None:
            return None if value in (INFINITY, -INFINITY) else value

        cells = [
            {
                "path": c.path,
                "shard": c.shard,
                "low": [bound(v) for v in c.low],
                "high": [bound(v) for v in c.high],
            }
            for c in self.cells
        ]
        return json.dumps({"version": self.version, "cells": cells}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Raises ``ValueError`` for anything but what ``to_json`` wrote."""
        try:
            data = json.loads(text)
            return cls(
                version=int(data["version"]),
                cells=tuple(
                    Cell(
                        path=str(c["path"]),
                        shard=str(c["shard"]),
                        low=tuple(-INFINITY if v is None else float(v) for v in c["low"]),
                        high=tuple(INFINITY if v is None else float(v) for v in c["high"]),
                    )
                    for c in data["cells"]
                ),
            )
        except MISSHAPEN as error:
            raise ValueError(f"no layout: {type(error).__name__}: {error}") from error
