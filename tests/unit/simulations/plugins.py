"""Simulations that each break one promise; tests install them by a faked entry point."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from shardfleet_shard.simulations.linear import Linear


class Mean(Linear):
    """Depends on the company: everyone drifts towards the middle of all rows."""

    def step(self, entities, tick, dt):
        super().step(entities, tick, dt)
        entities.position[:] += (entities.position.mean(axis=0) - entities.position) * 0.01


class MeanOfFew(Linear):
    """The same, but said to be inexact, which is allowed."""

    exact = False

    def step(self, entities, tick, dt):
        super().step(entities, tick, dt)
        entities.position[:] += (entities.position.mean(axis=0) - entities.position) * 0.01


class Order(Linear):
    """Depends on the order: the first row is special."""

    def step(self, entities, tick, dt):
        super().step(entities, tick, dt)
        entities.position[:1] += 0.5


class Lonely(Linear):
    """Right in any company of two or more, another result alone, by one bit."""

    def step(self, entities, tick, dt):
        super().step(entities, tick, dt)
        if len(entities) == 1:
            entities.position[:] = np.nextafter(entities.position, np.inf)


class Contiguous(Linear):
    """Depends on the memory, by one bit, as a SIMD loop may."""

    def step(self, entities, tick, dt):
        super().step(entities, tick, dt)
        if not entities.position.flags.c_contiguous:
            entities.position[:] = np.nextafter(entities.position, np.inf)


class NegativeZero(Linear):
    """Differs in nothing but the sign of a zero."""

    def step(self, entities, tick, dt):
        super().step(entities, tick, dt)
        entities.velocity[:] = -0.0 if len(entities) > 5 else 0.0


class Power(Linear):
    """NumPy's power, whose last bit depends on which loop works on the row."""

    def step(self, entities, tick, dt):
        super().step(entities, tick, dt)
        entities.velocity[:, 0] = entities.velocity[:, 1] ** 3 * 1e-3


class MatrixProduct(Linear):
    """A rotation by ``@``, whose additions BLAS orders by the number of rows."""

    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])

    def step(self, entities, tick, dt):
        super().step(entities, tick, dt)
        entities.velocity[:] = entities.velocity @ self.turn


class Remembers(Linear):
    """Keeps in itself what belongs into a column."""

    def __init__(self, world, parameters):
        super().__init__(world, parameters)
        self.ticks = 0

    def step(self, entities, tick, dt):
        super().step(entities, tick, dt)
        self.ticks += 1
        entities.position[:] += self.ticks * 1e-6


class RemembersTheStart(Linear):
    """The same however often it is asked, but not in a process that started later."""

    def __init__(self, world, parameters):
        super().__init__(world, parameters)
        self.first = None

    def step(self, entities, tick, dt):
        super().step(entities, tick, dt)
        if self.first is None:
            self.first = tick
        entities.position[:] += (tick - self.first) * 1e-6


class TouchesVersion(Linear):
    def step(self, entities, tick, dt):
        entities.version[:] += np.uint32(1)


class TouchesId(Linear):
    def step(self, entities, tick, dt):
        entities.id[:1] += np.uint64(1000)


class Replaces(Linear):
    def step(self, entities, tick, dt):
        entities.arrays["position"] = entities.position + entities.velocity * dt


class NotANumber(Linear):
    def step(self, entities, tick, dt):
        entities.position[-1] = np.nan


class Raises(Linear):
    def step(self, entities, tick, dt):
        raise RuntimeError("no\nway")


class LosesStrangers(Linear):
    def step(self, entities, tick, dt):
        return [10**9]


class LosesFractions(Linear):
    def step(self, entities, tick, dt):
        return np.array([1.5])


class LosesTwice(Linear):
    def step(self, entities, tick, dt):
        return np.repeat(entities.id[:1], 2)


class LosesByPlace(Linear):
    """The last row of whatever it is given leaves."""

    def step(self, entities, tick, dt):
        return entities.id[-1:]


class SeedsTwice(Linear):
    def seed(self, rng, count):
        rows = super().seed(rng, count)
        rows.id[1] = rows.id[0]
        return rows


class SeedsFew(Linear):
    def seed(self, rng, count):
        return super().seed(rng, count - 1)


class SeedsByClock(Linear):
    def seed(self, rng, count):
        return super().seed(np.random.default_rng(), count)


class ArrivesByClock(Linear):
    def arrivals(self, tick):
        place = np.random.default_rng().uniform(-1, 1, (1, self._world.dimensions))
        return self._world.schema.rows(id=10_000 + tick, position=place)


class ArrivesAgain(Linear):
    def arrivals(self, tick):
        return self._world.schema.rows(id=10_000, position=0.0)


class NoRows(Linear):
    def seed(self, rng, count):
        return super().seed(rng, 0)


class Bare:
    """Only what must be there."""

    def __init__(self, world, parameters):
        self.world = world

    def seed(self, rng, count):
        return self.world.schema.rows(id=np.arange(count), position=0.0)

    def arrivals(self, tick):
        return None

    def step(self, entities, tick, dt):
        entities.position[:] += 1.0


class NoStep:
    def seed(self, rng, count):
        return None

    def arrivals(self, tick):
        return None


class Fails(Bare):
    def __init__(self, world, parameters):
        raise KeyError("gone")


class Objects(Bare):
    dtype = np.dtype([("thing", "O")])


class TakesName(Bare):
    dtype = np.dtype([("velocity", "<f8")])


class BadSchema(Bare):
    parameters_schema: ClassVar = {"type": "nonsense"}


class Grown(Linear):
    """A second version with one column more."""

    dtype = np.dtype([("bounces", "<u4"), ("age", "<f8")])
    former_dtypes = (Linear.dtype, None)

    def upgrade(self, former, rows):
        rows["age"][:] = rows.position[:, 0] * 2


class GrownByCompany(Grown):
    def upgrade(self, former, rows):
        rows["age"][:] = len(rows)


class GrownByMemory(Grown):
    made = 0

    def upgrade(self, former, rows):
        GrownByMemory.made += 1
        rows["age"][:] = self.made


class GrownByOrder(Grown):
    def upgrade(self, former, rows):
        rows["age"][:] = np.arange(len(rows))


class GrownBroken(Grown):
    def upgrade(self, former, rows):
        rows["age"][:] = former["rage"]


class OnlyFormer(Linear):
    former_dtypes = (None,)


class OnlyUpgrade(Linear):
    def upgrade(self, former, rows):
        pass


class SameAgain(Grown):
    former_dtypes = (Linear.dtype, Linear.dtype)


class FormerObjects(Grown):
    former_dtypes = (np.dtype([("thing", "O")]),)
