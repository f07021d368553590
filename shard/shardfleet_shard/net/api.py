"""What a shard offers to people and tools, as plain values; the authority manager implements ``ShardApi``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.columns import U64, Columns

SECTIONS = ("transfers", "links", "stats", "config")
"""What ``inspect`` knows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowsView:
    """Rows of one shard as of the end of ``tick``.

    Attributes:
        unix_us: the shard's clock when the picture was taken.
        states: (n,) uint8: AUTHORITATIVE, PASSING or FROZEN of core/manifest.py.
        since_tick: (n,) int64: the tick from which the shard has had the row; 0: it does not say.
        recovered_tick: rows with this ``since_tick`` were the shard's before its process started, for as long or
            longer; 0: there were none.
    """

    tick: int
    unix_us: int
    shard: str
    epoch: int
    rows: Columns
    states: NDArray[np.uint8]
    since_tick: NDArray[np.int64]
    recovered_tick: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntity:
    """What a caller knows of an entity that it spawns; what is left out is zero.

    ``columns``: the simulation's own columns, a number or as many numbers as the column is wide.
    """

    id: int
    position: Sequence[float]
    velocity: Sequence[float] = ()
    columns: Mapping[str, float | int | Sequence[float | int]] = field(default_factory=dict)


class ShardApi(Protocol):
    """All may raise ``UsageError`` (the caller's fault: wrong rows, an id that is alive, a place that nobody claims) or
    a retryable error (nobody knows, or not now)."""

    async def spawn(self, rows: Columns) -> None:
        """Brings ``rows`` (version 1, unique ids, finite) into the world, wherever their cells are: all or none."""
        ...

    async def despawn(self, ids: U64) -> U64:
        """Takes out of the world those of ``ids`` that this shard holds, and returns them."""
        ...

    async def get(self, entity: int) -> RowsView:
        """One row, or none where this shard does not hold the entity."""
        ...

    def watch(self, ids: U64 | None, *, interval_us: int) -> AsyncGenerator[RowsView, None]:
        """A picture each ``interval_us`` (0: the publish interval) of all rows, or of those in ``ids``; no end."""
        ...

    async def inspect(self, section: str) -> Mapping[str, Any]:
        """One of ``SECTIONS``, as values that JSON knows."""
        ...
