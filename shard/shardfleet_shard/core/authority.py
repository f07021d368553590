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

NEVER = np.iinfo(np.int64).max


class EntityAuthorityTracker:
    """Rows by authority. ``rows`` (n) runs parallel to ``states``, ``since_tick``, ``transfers`` and
    ``not_before_tick``."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.rows = schema.empty()
        self._back = schema.empty()
        self.states: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self.since_tick: NDArray[np.int64] = np.zeros(0, np.int64)
        """Since when the row is this shard's; what ``recovered_tick`` says of some of them is a bound."""
        self.recovered_tick = 0
        """Rows with this ``since_tick`` were here before this process: since then, or longer. 0: none were."""
        self.transfers: NDArray[np.int64] = np.zeros(0, np.int64)
        """Sequence of the outgoing transfer; 0: none."""
        self.not_before_tick: NDArray[np.int64] = np.zeros(0, np.int64)
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
        self.rows = Columns.concat(self.schema, [self.rows, rows])
        self.states = np.concatenate([self.states, np.full(count, AUTHORITATIVE, np.uint8)])
        self.since_tick = np.concatenate([self.since_tick, np.full(count, since_tick, np.int64)])
        self.transfers = np.concatenate([self.transfers, np.zeros(count, np.int64)])
        self.not_before_tick = np.concatenate([self.not_before_tick, np.zeros(count, np.int64)])
        return slice(start, start + count)

    def remove(self, mask: Mask) -> Columns:
        """Takes the rows of ``mask`` (n,) out and returns them; the order of the others stays."""
        gone, keep = self.rows.take(mask), np.flatnonzero(~mask)
        self.ids.remove(gone.id)
        self.rows = self.rows.take(keep)
        self.states, self.transfers = self.states[keep], self.transfers[keep]
        self.since_tick, self.not_before_tick = self.since_tick[keep], self.not_before_tick[keep]
        self._count_frozen()
        return gone

    # --- one transfer's rows ------------------------------------------------------------------------------------

    def begin(self, index: NDArray[np.int64], sequence: int) -> None:
        """Rows at ``index`` leave by transfer ``sequence``: authoritative -> passing."""
        self.states[index] = PASSING
        self.transfers[index] = sequence

    def rows_of(self, sequence: int) -> Columns:
        """Copies of the rows that leave by ``sequence``, in their order at BEGIN."""
        return self.rows.take(self.transfers == sequence)

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
        mask = np.isin(self.transfers, np.fromiter(sequences, np.int64))
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
        self._back.copy_from(self.rows)
        return self._back

    def swap(self) -> None:
        self.rows, self._back = self._back, self.rows

    def _count_frozen(self) -> None:
        self.frozen_count = int(np.count_nonzero(self.states == FROZEN))
