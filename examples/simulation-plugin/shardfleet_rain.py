"""Rain: drops come in at the top of the world, fall, bounce once off the ground and leave."""

from typing import ClassVar

import numpy as np

GRAVITY = 9.81  # world units a second squared
FIRST_DROP_ID = 1_000_000  # above any seeded id


class Rain:
    dtype = np.dtype([("size", "<f4"), ("bounces", "u1")])  # the columns beside id, version, position, velocity
    exact = True  # a promise about step; `shardfleet simulation check rain` tests it
    parameters_schema: ClassVar = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"dropsPerTick": {"type": "integer", "minimum": 0, "maximum": 10_000}},
    }

    def __init__(self, world, parameters):
        self.world = world
        self.drops = parameters.get("dropsPerTick", 2)
        if world.high[1] <= world.low[1] + 1:
            raise ValueError("dropsPerTick has no room to fall: the world must be higher than 1")

    def _drops(self, rng, ids, top):
        """New rows; a column that is not given is zero. position[:, 1] is the height."""
        position = rng.uniform(self.world.low, self.world.high, (len(ids), self.world.dimensions))
        if top:
            position[:, 1] = self.world.high[1]
        return self.world.schema.rows(id=ids, position=position, size=rng.uniform(0.5, 2.0, len(ids)))

    def seed(self, rng, count):
        """Once in a world's life: drops that are in the air already."""
        return self._drops(rng, np.arange(1, count + 1), top=False)

    def arrivals(self, tick):
        """New drops. After a crash another shard asks again, so the tick alone decides what comes."""
        if not self.drops:
            return None
        ids = FIRST_DROP_ID + tick * self.drops + np.arange(self.drops)
        return self._drops(np.random.default_rng(tick), ids, top=True)

    def step(self, entities, tick, dt):
        """All rows at once, in place, by + - * / and sqrt alone; returns the ids that leave."""
        position, velocity = entities.position, entities.velocity
        velocity[:, 1] -= GRAVITY * dt
        position += velocity * dt
        ground = self.world.low[1]
        hit = (position[:, 1] < ground) & (entities["bounces"] == 0)
        position[:, 1] = np.where(hit, 2 * ground - position[:, 1], position[:, 1])
        velocity[:, 1] = np.where(hit, -0.5 * velocity[:, 1], velocity[:, 1])
        entities["bounces"][:] += hit
        return entities.id[position[:, 1] < ground]
