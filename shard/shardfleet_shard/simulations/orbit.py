"""``orbit``: entities that circle one point, each on a radius of its own.

The default stream: 50 entities, radius 45, 0.35 rad/s. The rotation of one tick is worked out once, so a step is
additions, multiplications, divisions and square roots only: operations that IEEE 754 rounds in one way, which
makes the same row give the same bits anywhere. In 3-D the circle lies in x and y; z stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..core.columns import Columns
from ..core.simulation import Simulation, World
from .parameters import NUMBER, number, point

_HALVINGS = 8
_TERMS = 10


def rotation(angle: float) -> tuple[float, float]:
    """(cos, sin) of ``angle`` in radians, to about 1e-15.

    By series and by doubling the angle, not by ``math.cos``: a C library picks its cosine by processor, and two
    machines of one fleet must turn by the same bits.
    """
    small = angle / 2**_HALVINGS
    square = small * small
    # versine = 1 - cos: kept apart from the 1, or doubling would lose the digits of a small angle.
    sine_term, versine_term = small, square / 2
    sine, versine = sine_term, versine_term
    for term in range(1, _TERMS):
        sine_term *= -square / ((2 * term) * (2 * term + 1))
        versine_term *= -square / ((2 * term + 1) * (2 * term + 2))
        sine += sine_term
        versine += versine_term
    for _ in range(_HALVINGS):
        sine, versine = 2 * sine * (1 - versine), 2 * versine * (2 - versine)
    return 1 - versine, sine


class Orbit(Simulation):
    """Circles around ``center`` at ``angularSpeed`` rad/s; column ``radius``: the entity's own, world units.

    A row whose radius is 0 (spawned by hand without one) keeps the distance that it has.
    """

    dtype: ClassVar[np.dtype[Any] | None] = np.dtype([("radius", "<f8")])
    exact: ClassVar[bool] = True
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "radius": {**NUMBER, "description": "radius of the seeded entities, world units; default 45"},
            "angularSpeed": {**NUMBER, "description": "rad/s, counter-clockwise above 0; default 0.35"},
            "center": {
                "type": "array",
                "items": NUMBER,
                "maxItems": 3,
                "description": "one number a dimension; default the middle of the world",
            },
        },
    }

    def __init__(self, world: World, parameters: Mapping[str, Any]) -> None:
        self._world = world
        self._radius = number(parameters, "radius", 45.0, above=0.0)
        self._speed = number(parameters, "angularSpeed", 0.35)
        middle = tuple((low + high) / 2 for low, high in zip(world.low, world.high, strict=True))
        self._center = point(parameters, "center", middle)
        if abs(self._speed) / world.tick_rate > 3:
            raise ValueError(f"angularSpeed must turn by less than 3 rad a tick, not {self._speed / world.tick_rate:g}")
        self._turn: tuple[float, float, float] = (-1.0, 1.0, 0.0)

    def seed(self, rng: np.random.Generator, count: int) -> Columns:
        """``count`` rows at even distances on the circle, the first at a random angle; in 3-D at random heights."""
        angles = rng.uniform(0, 2 * np.pi) + np.arange(count) * (2 * np.pi / max(1, count))
        rows = self._world.schema.rows(id=np.arange(1, count + 1), position=0.0, radius=self._radius)
        offset = np.column_stack((np.cos(angles), np.sin(angles))) * self._radius
        rows.position[:, :2] = offset + self._center[:2]
        rows.velocity[:, 0] = -self._speed * offset[:, 1]
        rows.velocity[:, 1] = self._speed * offset[:, 0]
        if self._world.dimensions == 3:
            rows.position[:, 2] = rng.uniform(self._world.low[2], self._world.high[2], count)
        return rows

    def arrivals(self, tick: int) -> Columns | None:
        """None: everyone is there from the start."""
        return None

    def step(self, entities: Columns, tick: int, dt: float) -> None:
        """Turns each row by ``angularSpeed * dt`` and puts it back on its radius."""
        if self._turn[0] != dt:
            self._turn = (dt, *rotation(self._speed * dt))
        _, cosine, sine = self._turn
        x, y = entities.position[:, 0], entities.position[:, 1]
        before_x, before_y = x - self._center[0], y - self._center[1]
        offset_x = before_x * cosine - before_y * sine
        offset_y = before_x * sine + before_y * cosine
        # Without this, rounding would let the circles grow or shrink over the days.
        distance = np.sqrt(offset_x * offset_x + offset_y * offset_y)
        radius = entities["radius"]
        scale = np.ones(len(entities))
        np.divide(radius, distance, out=scale, where=(radius > 0) & (distance > 0))
        offset_x *= scale
        offset_y *= scale
        np.add(offset_x, self._center[0], out=x)
        np.add(offset_y, self._center[1], out=y)
        np.multiply(offset_y, -self._speed, out=entities.velocity[:, 0])
        np.multiply(offset_x, self._speed, out=entities.velocity[:, 1])
