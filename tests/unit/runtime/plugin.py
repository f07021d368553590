"""The simulation under the scenarios: straight motion, and every fault that a script may ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from shardfleet_shard.core.columns import Columns
from shardfleet_shard.core.simulation import World

EDGE = 40.0
"""Rows beyond it leave the world."""


class Straight:
    """Column ``steps`` counts the ticks that lie behind a row, ``turn`` is the x at which it turns back (0: nowhere).

    The switches below belong to one process alone.
    """

    dtype: ClassVar[np.dtype[Any] | None] = np.dtype([("steps", "<i4"), ("turn", "<f8")])
    exact: ClassVar[bool] = True
    parameters_schema: ClassVar[Mapping[str, Any]] = {"type": "object"}

    def __init__(self, world: World, arrivals: dict[int, Columns]) -> None:
        self.world = world
        self.arriving = arrivals
        self.broken = False
        self.on_step: Callable[[], None] | None = None
        """Called once, in the middle of the next step."""

    def seed(self, rng: np.random.Generator, count: int) -> Columns:
        return self.world.schema.empty()

    def arrivals(self, tick: int) -> Columns | None:
        return self.arriving.get(tick)

    def step(self, entities: Columns, tick: int, dt: float) -> Any:
        call, self.on_step = self.on_step, None
        if call is not None:
            call()
        entities["steps"][:] += 1
        if self.broken:
            raise ArithmeticError("the plugin is broken")
        entities.position[:] += entities.velocity * dt
        x, turn = entities.position[:, 0], entities["turn"]
        back = (turn != 0) & (x >= turn) & (entities.velocity[:, 0] > 0)
        entities.velocity[back] *= -1.0
        return entities.id[entities.position[:, 0] >= EDGE]
