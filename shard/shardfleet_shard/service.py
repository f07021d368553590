"""ShardService: what a shard answers to people and tools (spawn, despawn, look); none of it is on the tick's path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import numpy as np

from .authority_manager import ServerAuthorityManager
from .core.columns import U64, Columns
from .core.frames import Nudge
from .core.requests import Done, Refused, RefusedReason
from .core.spawn_requests import Spawn
from .core.stream import LEAD_TICKS, check_rows, group_by_cell
from .errors import SimulationError, StoreUnavailable, UsageError
from .net.api import SECTIONS, RowsView

DESPAWN_PATIENCE_S = 2.0
_POLL_S = 0.02


class ShardService:
    """``ShardApi`` on a running shard."""

    def __init__(self, manager: ServerAuthorityManager) -> None:
        self._manager = manager
        self._runtime = manager.runtime

    async def spawn(self, rows: Columns) -> None:
        """All of ``rows`` or none, in the journals of whoever claims their cells."""
        context, membership = self._runtime.context, self._runtime.membership
        try:
            check_rows(rows, "spawn")
        except SimulationError as error:
            raise UsageError(str(error)) from error
        # Before the seed nothing can be spawned: SEED is refused once any entity is alive.
        if not membership.layout.cells or not context.epoch or not self._runtime.stream.seeded:
            raise StoreUnavailable(f"{context.shard} is still starting; try again")
        groups = group_by_cell(rows, membership.layout, tick=context.current_tick + LEAD_TICKS)
        reply = (await self._manager.store.execute([Spawn(shard=context.shard, epoch=context.epoch, groups=groups)]))[0]
        match reply:
            case Done():
                self._runtime.read_journal_now()
                self._manager.carry()
                for peer in sorted(self._manager.peers.reachable()):
                    self._manager.links.send(peer, Nudge())
            case Refused(reason=RefusedReason.DUPLICATE, detail=entity):
                raise UsageError(f"entity {entity} is alive already, or was despawned less than a minute ago")
            case Refused(reason=RefusedReason.UNCLAIMED, detail=cell):
                raise StoreUnavailable(f"nobody claims cell {cell!r} now; try again")
            case _:
                raise StoreUnavailable("Redis did not answer: the entities may or may not have been spawned")

    async def despawn(self, ids: U64) -> U64:
        """Those of ``ids`` that were here and have gone when this returns."""
        here = self._runtime.context.tracker.ids
        asked = self._runtime.despawn(ids)
        self._manager.carry()
        for _ in range(round(DESPAWN_PATIENCE_S / _POLL_S)):
            if not here.among(asked).any():
                break
            await asyncio.sleep(_POLL_S)
        gone: U64 = asked[~here.among(asked)]
        return gone

    async def get(self, entity: int) -> RowsView:
        return self._view(np.array([entity], np.uint64))

    async def watch(self, ids: U64 | None, *, interval_us: int) -> AsyncGenerator[RowsView, None]:
        context = self._runtime.context
        pause_us = max(interval_us or context.config.telemetry_interval_us, round(context.grid.duration_us))
        while not self._manager.ended.is_set():
            yield self._view(ids)
            await asyncio.sleep(pause_us / 1e6)

    async def inspect(self, section: str) -> Mapping[str, Any]:
        runtime = self._runtime
        match section:
            case "stats":
                return runtime.context.stats.to_dict()
            case "transfers":
                outgoing = [
                    {"id": str(o.id), "target": o.target, "state": str(o.state), "entities": o.count}
                    for o in runtime.mailbox.outgoing.open.values()
                ]
                incoming = [
                    {"id": str(i.id), "source": i.id.source, "state": str(i.state), "entities": len(i.rows)}
                    for i in runtime.mailbox.incoming.open.values()
                ]
                return {"outgoing": outgoing, "incoming": incoming}
            case "links":
                return {"links": self._manager.links.describe()}
            case "config":
                return {name: value for name, value, _ in runtime.context.config.rows()}
            case _:
                raise UsageError(f"no section {section!r}; there are {', '.join(SECTIONS)}")

    def _view(self, ids: U64 | None) -> RowsView:
        context = self._runtime.context
        tracker = context.tracker
        mask = np.ones(len(tracker), bool) if ids is None else tracker.mask_of(ids)
        return RowsView(
            tick=context.current_tick,
            unix_us=context.clock.now_unix_us(),
            shard=context.shard,
            epoch=context.epoch,
            rows=tracker.rows.take(mask),
            states=tracker.states[mask],
            since_tick=tracker.since_tick[mask],
            recovered_tick=tracker.recovered_tick,
        )
