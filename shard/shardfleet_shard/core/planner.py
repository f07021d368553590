"""BorderHandoffPlanner: which rows leave, by which transfer, and when both sides switch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .authority import EntityAuthorityTracker
from .handoff_delay import HandoffDelay
from .layout import Layout
from .manifest import AUTHORITATIVE
from .ticks import TickGrid
from .transfer import MAX_ENTITIES_PER_TRANSFER

MAX_ENTITIES_PER_TICK = 4 * MAX_ENTITIES_PER_TRANSFER
"""More wait a tick: a cell that moves to another shard empties at a rate that its neighbours can take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTransfer:
    """Rows (positions in the tracker) that leave for ``target`` now."""

    target: str
    target_epoch: int
    cell: str
    index: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``unreachable``: shards that should get rows but have no usable link; those rows wait."""

    transfers: tuple[PlannedTransfer, ...] = ()
    unreachable: tuple[str, ...] = ()
    waiting: int = 0
    """Rows outside this shard's cells that stay for now."""


class BorderHandoffPlanner:
    """Detects border crossings and groups them into transfers."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """``handoff_delay_us``: the least; more is more margin for jitter, less is a faster switch.

        ``border_margin``: world units beyond the border before a row is handed over, so that one that dances on
        it does not change hands each tick.
        """

        handoff_delay_us: int
        border_margin: float
        guard_us: int

    def __init__(self, shard: str, grid: TickGrid, options: Options) -> None:
        self.shard = shard
        self.grid = grid
        self.options = options
        self.delay = HandoffDelay(options.handoff_delay_us, options.guard_us)

    def switch(self, now_us: int) -> tuple[int, int]:
        """(transferTimeUs, switch tick) for a transfer that begins now."""
        transfer_time_us = now_us + self.delay.at(now_us)
        return transfer_time_us, self.grid.switch_tick(transfer_time_us)

    def plan(
        self,
        tracker: EntityAuthorityTracker,
        layout: Layout,
        claims: Mapping[str, tuple[str, int]],
        reachable: Mapping[str, int],
        *,
        tick: int,
    ) -> Plan:
        """Rows beyond the margin whose cell a reachable shard claims.

        Args:
            claims: cell path -> (shard, epoch).
            reachable: peers with a link, room in its queue and a clock within the limit -> the link's epoch.
        """
        rows = tracker.rows
        outside = (tracker.states == AUTHORITATIVE) & (tracker.not_before_tick <= tick)
        for cell in layout.cells_of(self.shard):
            outside &= ~cell.contains(rows.position, margin=self.options.border_margin)
        candidates = np.flatnonzero(outside)
        if not len(candidates):
            return Plan()
        waiting = max(0, len(candidates) - MAX_ENTITIES_PER_TICK)
        candidates = candidates[:MAX_ENTITIES_PER_TICK]
        cells = layout.cell_index(rows.position[candidates])
        transfers: list[PlannedTransfer] = []
        unreachable: set[str] = set()
        for number in np.unique(cells).tolist():
            index = candidates[cells == number]
            cell = layout.cells[number]
            claimant, epoch = claims.get(cell.path, ("", 0))
            if number < 0 or claimant in ("", self.shard) or reachable.get(claimant) != epoch:
                waiting += len(index)
                if number >= 0 and claimant not in ("", self.shard):
                    unreachable.add(claimant)
                continue
            for start in range(0, len(index), MAX_ENTITIES_PER_TRANSFER):
                part = index[start : start + MAX_ENTITIES_PER_TRANSFER]
                transfers.append(PlannedTransfer(target=claimant, target_epoch=epoch, cell=cell.path, index=part))
        return Plan(transfers=tuple(transfers), unreachable=tuple(sorted(unreachable)), waiting=waiting)
