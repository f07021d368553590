"""``linear``: straight lines at one speed, bouncing off the world's edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..core.columns import Columns
from ..core.simulation import Simulation, World
from .parameters import NUMBER, number


class Linear(Simulation):
    """Straight on at ``speed`` world units a second (default 18); column ``bounces``: how often it met the edge.

    Seeded rows start anywhere in the world, in any direction. A row spawned outside the world turns towards it.
    """

    dtype: ClassVar[np.dtype[Any] | None] = np.dtype([("bounces", "<u4")])
    exact: ClassVar[bool] = True
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"speed": {**NUMBER, "description": "of seeded entities, world units a second; default 18"}},
    }

    def __init__(self, world: World, parameters: Mapping[str, Any]) -> None:
        self._world = world
        self._speed = number(parameters, "speed", 18.0, above=0.0)
        narrowest = min(high - low for low, high in zip(world.low, world.high, strict=True))
        if self._speed / world.tick_rate > narrowest:
            # One reflection a tick is all that step does.
            limit = narrowest * world.tick_rate
            raise ValueError(f"speed must cross the world in no less than a tick: at most {limit:g}")

    def seed(self, rng: np.random.Generator, count: int) -> Columns:
        """``count`` rows, positions and directions uniform."""
        direction = rng.standard_normal((count, self._world.dimensions))
        length = np.sqrt((direction * direction).sum(axis=1, keepdims=True))
        return self._world.schema.rows(
            id=np.arange(1, count + 1),
            position=rng.uniform(self._world.low, self._world.high, (count, self._world.dimensions)),
            velocity=direction / np.maximum(length, 1e-300) * self._speed,
        )

    def arrivals(self, tick: int) -> Columns | None:
        """None: everyone is there from the start."""
        return None

    def step(self, entities: Columns, tick: int, dt: float) -> None:
        """Moves by velocity * dt, axis by axis; beyond the edge the position is reflected and the velocity turned."""
        for axis, (low, high) in enumerate(zip(self._world.low, self._world.high, strict=True)):
            position = entities.position[:, axis]
            velocity = entities.velocity[:, axis]
            moved = velocity * dt
            moved += position
            beyond = np.flatnonzero((moved < low) | (moved > high))
            # Few rows meet the edge in one tick, so the reflection works on those alone.
            if len(beyond):
                before, there, speed = position[beyond], moved[beyond], velocity[beyond]
                edge = np.where(there < low, low, high)
                came_from_inside = (before >= low) & (before <= high)
                moved[beyond] = np.where(came_from_inside, np.clip(2 * edge - there, low, high), there)
                outward = (speed > 0) == (there > high)
                velocity[beyond] = np.where(outward, -speed, speed)
                entities["bounces"][beyond] += outward.astype(np.uint32)
            position[...] = moved
