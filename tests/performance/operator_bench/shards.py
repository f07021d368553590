"""Shards without a process: what each would ask of Redis next, and what its answers change. Pure.

As far as the operator can see they are real: they recover, keep their leases, claim the cells that the layout gives
them, take up what was spawned, publish it, and resign when they are told to end. They do not simulate: nothing moves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from shardfleet_shard.core.columns import Columns, Schema
from shardfleet_shard.core.journal_requests import Entries, EntryKind, JournalEntry, Publish, ReadEntries, ShardRecord
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.manifest import JOURNAL_START, AuthorityManifest
from shardfleet_shard.core.requests import (
    Claim,
    Done,
    Recover,
    Recovered,
    Refused,
    RefusedReason,
    Renew,
    Reply,
    Request,
    Resign,
)
from shardfleet_shard.core.spawn_requests import SpawnGroup
from shardfleet_shard.core.stats import ShardStats
from shardfleet_shard.core.ticks import TickGrid

SCHEMA = Schema(2)
GRID = TickGrid(20)
PORT = 7000
LEAD_TICKS = 20
"""Spawned entities come so many ticks after the spawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Of all shards; as the fleets' specs have it."""

    lease_us: int
    publish_us: int


@dataclass(slots=True, kw_only=True)
class Shard:
    """One shard, from its pod's start to its RESIGN."""

    name: str
    ordinal: int
    address: str
    pace: Pace
    epoch: int = 0
    resigned: bool = False
    ending: bool = False
    """Told to end."""
    cells: tuple[str, ...] = ()
    """Claimed."""
    version: int = 0
    """Of the layout that ``cells`` are of."""
    rows: Columns = field(default_factory=SCHEMA.empty)
    position: str = JOURNAL_START
    unread: tuple[str, ...] = ()
    """Journal entries whose rows are still to be read."""
    taken_up: bool = False
    """What Redis has of a former life is in ``rows``."""
    leased_until_us: int = 0
    _renew_us: int = 0
    _publish_us: int = 0
    _tick: int = -1

    def requests(self, layout: Layout | None, wanted: tuple[str, ...], now_us: int) -> list[Request]:
        """What to ask now, in this order.

        Args:
            wanted: paths of the cells that the layout means for this shard.
        """
        if self.resigned:
            return []
        if not self.epoch:
            return [Recover(shard=self.name, ordinal=self.ordinal, address=self.address, unix_us=now_us)]
        if not self.taken_up:
            return []
        asked: list[Request] = []
        if now_us >= self._renew_us:
            self._renew_us = now_us + self.pace.lease_us // 3
            asked.append(Renew(shard=self.name, epoch=self.epoch, ttl_ms=self.pace.lease_us // 1_000))
        if self.leased_until_us <= now_us:
            return asked
        cells = () if self.ending or layout is None else wanted
        version = layout.version if layout is not None else 0
        if (cells, version) != (self.cells, self.version):
            asked.append(Claim(shard=self.name, epoch=self.epoch, layout_version=version, cells=cells))
        if self.unread:
            asked.append(ReadEntries(shard=self.name, epoch=self.epoch, ids=self.unread))
        elif now_us >= self._publish_us and GRID.at(now_us) > self._tick:
            asked.append(self._publish(now_us))
        if self.ending and not self.cells:
            asked.append(Resign(shard=self.name, epoch=self.epoch))
        return asked

    def take(self, request: Request, reply: Reply | None, now_us: int) -> None:
        """An answer; None where there was none, so that it is asked again.

        Args:
            now_us: from before the request was sent.
        """
        match request, reply:
            case Recover(), Recovered(epoch=epoch, lease_left_ms=left_ms):
                self.epoch, self._renew_us = epoch, now_us + left_ms * 1_000
            case Renew(), Done():
                self.leased_until_us = now_us + self.pace.lease_us
            case Renew(), Refused(reason=RefusedReason.HELD, wait_ms=wait_ms):
                self._renew_us = now_us + wait_ms * 1_000
            case Claim(cells=cells, layout_version=version), Done():
                self.cells, self.version = cells, version
                self._publish_us = 0  # so that its state is seen
            case ((Publish() | ReadEntries()), Entries(entries=entries)):
                self._take_entries(entries, has_rows=isinstance(request, ReadEntries))
            case Resign(), Done():
                self.resigned = True
            case _, Refused(reason=RefusedReason.EPOCH):
                self.resigned = True  # a successor has the name

    def take_up(self, record: ShardRecord | None) -> None:
        """What a former life of the shard left in Redis: its manifest, and the journal after it."""
        self.taken_up = True
        if record is None:
            return
        if record.header:
            manifest = AuthorityManifest.from_chunks(json.loads(record.header), record.chunks)
            self.rows, self.position = manifest.rows, manifest.position
        self._take_entries(record.entries, has_rows=True)

    def _take_entries(self, entries: Sequence[JournalEntry], *, has_rows: bool) -> None:
        if not entries:
            return
        if not has_rows:
            self.unread = tuple(entry.id for entry in entries)
            return
        spawned = [SCHEMA.unpack(e.rows, e.count) for e in entries if e.kind is EntryKind.SPAWN]
        self.rows = Columns.concat(SCHEMA, [self.rows, *spawned])
        self.position, self.unread, self._publish_us = entries[-1].id, (), 0

    def _publish(self, now_us: int) -> Publish:
        self._publish_us, self._tick = now_us + self.pace.publish_us, GRID.at(now_us)
        stats = ShardStats(state="active" if self.cells else "starting", cells=",".join(self.cells))
        stats.entities, stats.ticks = len(self.rows), self._tick
        stats.publish_interval_us = self.pace.publish_us
        for tick_us in (150, 200, 400):
            stats.tick_us.add(tick_us)
        manifest = AuthorityManifest(
            shard=self.name,
            epoch=self.epoch,
            tick=self._tick,
            unix_us=now_us,
            position=self.position,
            rows=self.rows,
            states=np.zeros(len(self.rows), np.uint8),
            stats=stats.to_dict(),
        )
        header, chunks = manifest.to_chunks()
        return Publish(
            shard=self.name,
            epoch=self.epoch,
            tick=self._tick,
            position=self.position,
            header=json.dumps(header, separators=(",", ":")),
            chunks=tuple(chunks),
            read_after=self.position,
        )


def seed_groups(layout: Layout, per_cell: int, now_us: int) -> tuple[SpawnGroup, ...]:
    """``per_cell`` entities in each cell, at one place."""
    tick, groups, first = GRID.at(now_us) + LEAD_TICKS, [], 1
    for cell in layout.cells:
        inside = [_inside(low, high) for low, high in zip(cell.low, cell.high, strict=True)]
        rows = SCHEMA.rows(id=np.arange(first, first + per_cell), position=inside)
        groups.append(SpawnGroup(cell=cell.path, count=per_cell, ids=rows.id.tobytes(), rows=rows.pack(), tick=tick))
        first += per_cell
    return tuple(groups)


def _inside(low: float, high: float) -> float:
    """Somewhere between two bounds that may be infinite."""
    if np.isinf(low):
        return 0.0 if np.isinf(high) else high - 0.5
    return low + 0.5 if np.isinf(high) else (low + high) / 2
