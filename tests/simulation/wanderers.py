"""The simulation under the simulation: straight motion at odd angles, so that borders are crossed all the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from shardfleet_shard.core.columns import Columns
from shardfleet_shard.core.simulation import World

from .judge import A_WHILE_TICKS

if TYPE_CHECKING:
    from .fleet import Fleet
    from .process import Process

LAST_ARRIVAL_TICK = 100
"""Well before a run's end, so that the judge need not know of entities that are just being spawned."""


class Wanderers:
    """Bounces between the world's edges; ``steps`` counts the ticks that a row was simulated in its line of states."""

    dtype: ClassVar[np.dtype[Any] | None] = np.dtype([("steps", "<i8")])
    exact: ClassVar[bool] = True
    parameters_schema: ClassVar[Mapping[str, Any]] = {"type": "object"}

    def __init__(self, world: World, parameters: Mapping[str, Any]) -> None:
        self.world = world
        self.speed = float(parameters["speed"])

    def seed(self, rng: np.random.Generator, count: int) -> Columns:
        angles = np.linspace(0.3, 6.0, count)
        velocity = self.speed * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        position = rng.uniform(self.world.low, self.world.high, (count, 2))
        return self.world.schema.rows(id=np.arange(1, count + 1), position=position, velocity=velocity)

    def arrivals(self, tick: int) -> Columns | None:
        if 0 < tick <= LAST_ARRIVAL_TICK and tick % 25 == 0:
            return self.world.schema.rows(
                id=1000 + tick, position=[[1.0 + tick % 7, 5.0]], velocity=[[self.speed, tick % 3]]
            )
        return None

    def step(self, entities: Columns, tick: int, dt: float) -> Any:
        assert len(entities) and 0 <= tick < 1_000_000, "a world's ticks count from its seed; no rows, no step"
        entities["steps"][:] += 1
        position, velocity = entities.position, entities.velocity
        position += velocity * dt
        out = ((position < self.world.low) & (velocity < 0)) | ((position >= self.world.high) & (velocity > 0))
        velocity[out] *= -1.0
        arrived = (entities.id > 1000) & (entities["steps"] >= 100)
        return entities.id[arrived]


SLOW_STEP_US = 130_000


class FragileWanderers(Wanderers):
    """One process' plugin: it may raise, having scribbled over its rows, and it may be slow."""

    def __init__(self, fleet: Fleet, process: Process) -> None:
        config = fleet.config
        super().__init__(
            World(config.world_low, config.world_high, config.tick_rate, schema=fleet.schema),
            {"speed": fleet.plan.speed},
        )
        self._fleet = fleet
        self._process = process
        self.failures = 0
        """How often in a row it still raises."""
        self.slow_until_us = 0

    def arrivals(self, tick: int) -> Columns | None:
        return super().arrivals(tick) if self._fleet.plan.arrivals else None

    def step(self, entities: Columns, tick: int, dt: float) -> Any:
        process = self._process
        if self.slow_until_us > self._fleet.now_us:
            process.clock.lag_us += process.random.randint(0, SLOW_STEP_US)
        if self.failures and process.runtime.state == "active":
            self.failures -= 1
            # Nobody steps without rows: it may be long since this was planned. The runtime tries again each second.
            self._fleet.fault_until(self._fleet.now_us + 1_000_000 * (self.failures + 1))
            # Whatever it was called for: for a while nothing of this process' is simulated. What it catches up with may
            # be of earlier ticks than what is here already.
            context, judge = process.runtime.context, self._fleet.judge
            for ids, first_tick in (
                (entities.id, tick + context.origin_tick),
                (context.tracker.rows.id, context.current_tick),
            ):
                judge.not_repeated(process, sorted(ids.tolist()), range(first_tick, first_tick + A_WHILE_TICKS))
            entities.position[:] = 77.0
            raise RuntimeError("plugin")
        return super().step(entities, tick, dt)


class Birds(Wanderers):
    """The same in its second version: a narrower ``steps``, and ``former``, the hash of the row before its upgrade."""

    dtype: ClassVar[np.dtype[Any] | None] = np.dtype([("former", "<u8"), ("steps", "<i4")])
    former_dtypes: ClassVar[tuple[np.dtype[Any] | None, ...]] = (Wanderers.dtype,)

    def upgrade(self, former: Columns, rows: Columns) -> None:
        rows["steps"][:] = former["steps"]
        rows["former"][:] = former.hashes()
