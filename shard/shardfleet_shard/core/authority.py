"""EntityAuthorityTracker: the rows of this shard and what it may do with each.

It owns the two row buffers and four columns of its own beside them: the state, the tick since which a row is here, the
outgoing transfer by which it is leaving, and the tick before which no new transfer of it is begun. It knows nothing of
peers or Redis.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import InvariantError
from .columns import U64, Columns, Mask, Schema
from .id_set import IdSet
from .manifest import AUTHORITATIVE, FROZEN, PASSING
from .table import Table

NEVER = np.iinfo(np.int64).max


class EntityAuthorityTracker:
    """Rows by authority, in no particular order. ``rows`` (n) runs parallel to ``states``, ``since_tick``,
    ``transfers`` and ``not_before_tick``; all five are views that are good until rows come or go."""

    rows: Columns
    states: NDArray[np.uint8]
    since_tick: NDArray[np.int64]
    """Since when the row is this shard's; what ``recovered_tick`` says of some of them is a bound."""
    transfers: NDArray[np.int64]
    """Sequence of the outgoing transfer; 0: none."""
    not_before_tick: NDArray[np.int64]

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._front, self._back = Table(schema.empty().arrays), Table(schema.empty().arrays)
        self._marks = Table(
            {
                "states": np.zeros(0, np.uint8),
                "since_tick": np.zeros(0, np.int64),
                "transfers": np.zeros(0, np.int64),
                "not_before_tick": np.zeros(0, np.int64),
            }
        )
        self._look_anew()
        self._stepped = self.rows
        self.recovered_tick = 0
        """Rows with this ``since_tick`` were here before this process: since then, or longer. 0: none were."""
        self.ids = IdSet()
        self.frozen_count = 0

    def __len__(self) -> int:
        return len(self.rows)

    # --- rows come and go ---------------------------------------------------------------------------------------

    def add(self, rows: Columns, *, since_tick: int) -> slice:
        """Appends ``rows`` as authoritative from ``since_tick`` on; none of their ids may be here. Returns where they
        stand."""
        if (twice := self.ids.add(rows.id)) is not None:
            raise InvariantError(f"entity {twice} is here already")
        start, count = len(self), len(rows)
        self._front.append(rows.arrays, count)
        marks = {"states": AUTHORITATIVE, "since_tick": since_tick, "transfers": 0, "not_before_tick": 0}
        self._marks.append(marks, count)
        self._look_anew()
        return slice(start, start + count)

    def remove(self, mask: Mask) -> Columns:
        """Takes the rows of ``mask`` (n,) out and returns them; others may take their places."""
        positions = np.flatnonzero(mask)
        gone = self.rows.take(positions)
        self.ids.remove(gone.id)
        self._front.drop(positions)
        self._marks.drop(positions)
        self._look_anew()
        self._count_frozen()
        return gone

    # --- one transfer's rows ------------------------------------------------------------------------------------

    def begin(self, index: NDArray[np.int64], sequence: int) -> None:
        """Rows at ``index`` leave by transfer ``sequence``: authoritative -> passing."""
        self.states[index] = PASSING
        self.transfers[index] = sequence

    def rows_of(self, sequence: int) -> Columns:
        """Copies of the rows that leave by ``sequence``, by id."""
        positions = np.flatnonzero(self.transfers == sequence)
        return self.rows.take(self.by_id(positions))

    def by_id(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """``positions``, ordered by the ids that stand there: where rows stand may change while they leave."""
        return positions[np.argsort(self.rows.id[positions])]

    def freeze(self, sequence: int) -> Columns:
        """passing -> frozen: neither simulated nor dropped. Returns the rows."""
        mask = self.transfers == sequence
        self.states[mask] = FROZEN
        self._count_frozen()
        return self.rows.take(mask)

    def resume(self, sequence: int, *, not_before_tick: int) -> Columns:
        """passing or frozen -> authoritative; no new transfer of these rows before ``not_before_tick``."""
        mask = self.transfers == sequence
        self.states[mask] = AUTHORITATIVE
        self.transfers[mask] = 0
        self.not_before_tick[mask] = not_before_tick
        self._count_frozen()
        return self.rows.take(mask)

    def release(self, sequences: Iterable[int]) -> tuple[Columns, NDArray[np.int64]]:
        """Drops all rows that leave by one of ``sequences``, in one pass. Returns them, and by which each left."""
        mask = np.zeros(len(self), bool)
        for sequence in sequences:  # a handful: one comparison each takes a twentieth of what np.isin takes
            mask |= self.transfers == sequence
        left_by = self.transfers[mask]
        return self.remove(mask), left_by

    # --- look-ups -----------------------------------------------------------------------------------------------

    def mask_of(self, ids: U64) -> Mask:
        """Which rows have one of ``ids``; (n,) bool."""
        return np.isin(self.rows.id, ids)

    def leaving(self, ids: U64) -> bool:
        """Whether any of ``ids`` is here and has an open transfer."""
        return bool((self.transfers[self.mask_of(ids)] != 0).any())

    def index_of(self, entity: int) -> int | None:
        """Where ``entity`` stands, or None."""
        if entity not in self.ids:
            return None
        return int(np.flatnonzero(self.rows.id == np.uint64(entity))[0])

    def overlap(self, rows: Columns) -> NDArray[np.int64] | None:
        """Positions in ``rows`` whose id is here already, or None, the usual case."""
        here = self.ids.among(rows.id)
        return np.flatnonzero(here) if here.any() else None

    # --- the two buffers ----------------------------------------------------------------------------------------

    def moving(self) -> Mask | None:
        """Which rows are simulated; None: all of them."""
        return self.states != FROZEN if self.frozen_count else None

    def back_buffer(self) -> Columns:
        """A writable copy of all rows: ``step`` works on it, and ``swap`` or nothing makes it the truth."""
        self._back.become(self._front)
        self._stepped = Columns(self.schema, self._back.columns())
        return self._stepped

    def swap(self) -> None:
        for name, array in self._back.columns().items():
            if not np.may_share_memory(array, stepped := self._stepped.arrays[name]):
                array[...] = stepped  # the plugin put another array in the column's place
        self._front, self._back = self._back, self._front
        self._look_anew()

    def _look_anew(self) -> None:
        self.rows = Columns(self.schema, self._front.columns())
        marks = self._marks.columns()
        self.states, self.since_tick = marks["states"], marks["since_tick"]
        self.transfers, self.not_before_tick = marks["transfers"], marks["not_before_tick"]

    def _count_frozen(self) -> None:
        self.frozen_count = int(np.count_nonzero(self.states == FROZEN))
