"""What people do to a running world: its cells move, it grows and shrinks, entities are spawned and despawned."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from shardfleet_shard.core.layout import INFINITY, Cell
from shardfleet_shard.core.spawn_requests import Spawn, SpawnGroup

if TYPE_CHECKING:
    from .fleet import Fleet

MAX_SHARDS = 5
MIN_CELL_WIDTH = 4.0


def swap_cells(fleet: Fleet, draws: random.Random) -> None:
    """The same cells, dealt out anew."""
    shards = [cell.shard for cell in fleet.layout.cells]
    draws.shuffle(shards)
    fleet.write_layout(tuple(replace(c, shard=s) for c, s in zip(fleet.layout.cells, shards, strict=True)))


def scale_up(fleet: Fleet, draws: random.Random) -> None:
    """The widest cell is cut in two, and a shard without a cell gets one half."""
    free = [f"sim-{n}" for n in range(MAX_SHARDS) if f"sim-{n}" not in fleet.layout.shards]
    cell = max(fleet.layout.cells, key=lambda cell: _width(fleet, cell))
    if not free or _width(fleet, cell) < MIN_CELL_WIDTH:
        return
    low, high = _within(fleet, cell)
    middle = (low + high) / 2
    halves = [
        replace(cell, path=cell.path + "0", high=(middle, cell.high[1])),
        replace(cell, path=cell.path + "1", low=(middle, cell.low[1])),
    ]
    given = draws.randrange(2)
    halves[given] = replace(halves[given], shard=free[0])
    others = tuple(other for other in fleet.layout.cells if other is not cell)
    fleet.write_layout((*others, *halves))


def drain(fleet: Fleet, shard: str, draws: random.Random) -> None:
    """Another shard gets all its cells; it hands its entities over and ends."""
    others = [name for name in fleet.layout.shards if name != shard]
    if others and shard in fleet.layout.shards:
        fleet.give_cells(shard, draws.choice(others))


def spawn(fleet: Fleet, shard: str, draws: random.Random) -> None:
    """As service.py does: any shard asks, whoever claims the cell gets the row."""
    process = fleet.processes[shard]
    context = process.runtime.context
    if not context.epoch or process.dead or not process.runtime.stream.seeded:
        return
    entity = draws.choice([5, 5_000_000 + draws.randrange(20)])
    position = np.array([[draws.uniform(0, fleet.config.world_high[0]), 5.0]])
    rows = fleet.schema.rows(id=entity, position=position, velocity=[[fleet.plan.speed, 1.0]])
    cell = fleet.layout.cells[int(fleet.layout.cell_index(position)[0])].path
    tick = context.current_tick + 4
    group = SpawnGroup(cell=cell, count=1, ids=rows.id.tobytes(), rows=rows.pack(), tick=tick)
    fleet.redis.submit(process, Spawn(shard=shard, epoch=context.epoch, groups=(group,)), context.generation)


def despawn(fleet: Fleet, shard: str) -> None:
    """The first entity that the shard has."""
    process = fleet.processes[shard]
    ids = process.runtime.context.tracker.rows.id
    if len(ids):
        process.act(lambda: void(process.runtime.despawn(ids[:1].copy())))


def void(_: object) -> None:
    """A call made for what it does."""


def _within(fleet: Fleet, cell: Cell) -> tuple[float, float]:
    low = fleet.config.world_low[0] if cell.low[0] == -INFINITY else cell.low[0]
    high = fleet.config.world_high[0] if cell.high[0] == INFINITY else cell.high[0]
    return low, high


def _width(fleet: Fleet, cell: Cell) -> float:
    low, high = _within(fleet, cell)
    return high - low
