"""Reads what ``plan_elastic`` must know of a fleet that changes: who still owns something, and where entities are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from shardfleet_shard.core.columns import F64
from shardfleet_shard.core.damage import read_record
from shardfleet_shard.core.journal_requests import EntryKind, ShardRecord
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.ledger import evidence_in, holdings
from shardfleet_shard.core.requests import Observed
from shardfleet_shard.core.stats import ShardStats

from .local.world import World
from .plan import CellLoad


def claims_of(observed: Observed) -> dict[str, str]:
    """Cell path -> shard, of claims that stand: their shard lives, under the epoch that claimed."""
    epochs = {member.shard: member.epoch for member in observed.members if member.living}
    return {path: shard for path, (shard, epoch) in observed.claims.items() if epochs.get(shard) == epoch}


def loads_of(layout: Layout, stats: Mapping[str, tuple[int, ShardStats]]) -> dict[str, CellLoad]:
    """What each cell costs, by what its shard published last."""
    loads = {}
    for cell in layout.cells:
        _, one = stats.get(cell.shard, (0, ShardStats()))
        loads[cell.path] = CellLoad(entities=one.entities, tick_us=float(one.tick_us.quantile(0.5) or 0))
    return loads


async def read_owned(world: World, layout: Layout, stats: Mapping[str, tuple[int, ShardStats]]) -> dict[str, int]:
    """Entities by shard, for every shard that ever was.

    Of those with a cell as they published last; of the others, which may be about to be ended, as manifest and journal
    say now.

    Raises:
        StoreUnavailable: no answer.
    """
    owned = {shard: one.entities for shard, (_, one) in stats.items()}
    others = sorted(set(await world.admin.shards()) - set(layout.shards))
    counts = {str(header["shard"]): int(header["count"]) for header in await world.headers(others)}
    empty = [shard for shard in others if not counts.get(shard)]
    for record in await world.store.read_shards(empty):
        counts[record.shard] = _held(record)
    return {**owned, **counts}


async def read_positions(world: World, layout: Layout) -> dict[str, F64]:
    """Positions by cell path, as last published. Raises ``StoreUnavailable``."""
    parts: dict[str, list[F64]] = {}
    for record in await world.store.read_shards(sorted(layout.shards)):
        if (manifest := read_record(record).manifest) is None:
            continue
        rows = manifest.rows
        cells = layout.cell_index(rows.position)
        for number in np.unique(cells[cells >= 0]).tolist():
            parts.setdefault(layout.cells[number].path, []).append(rows.position[cells == number])
    return {path: np.concatenate(positions) for path, positions in parts.items()}


def _held(record: ShardRecord) -> int:
    read = read_record(record)
    held = len(holdings(evidence_in(read))[0])
    # How many rows a takeover has, or what is damaged, nobody here knows: not none.
    held += sum(entry.kind is EntryKind.TAKEOVER for entry in record.entries)
    return held + len(read.damages)
