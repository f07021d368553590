"""orbit and linear: what they do, against plain arithmetic an entity at a time."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from shardfleet_shard.core.columns import first_duplicate
from shardfleet_shard.core.simulation import World
from shardfleet_shard.simulations import registry
from shardfleet_shard.simulations.orbit import rotation

DT = 0.05


def made(name, parameters=None, *, dimensions=2, count=50):
    world = World((-120.0,) * dimensions, (120.0,) * dimensions, 20)
    simulation = registry.load(name, world, parameters or {})
    return simulation, simulation.seed(np.random.default_rng(7), count)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.0175, -0.0175, 0.35, 1.0, -2.5, 3.0])
def test_the_rotation_is_that_of_the_mathematics(angle):
    assert rotation(angle) == pytest.approx((math.cos(angle), math.sin(angle)), rel=1e-14, abs=1e-15)


def test_orbit_seeds_a_circle():
    _, rows = made("orbit")
    assert len(rows) == 50 and first_duplicate(rows.id) is None
    assert np.sqrt((rows.position**2).sum(axis=1)) == pytest.approx(45)
    angles = np.sort(np.arctan2(rows.position[:, 1], rows.position[:, 0]))
    assert np.diff(angles) == pytest.approx(2 * math.pi / 50)
    assert (rows.version == 1).all() and (rows["radius"] == 45).all()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_orbit_turns_at_its_angular_speed_and_keeps_its_radius(dimensions):
    parameters = {"radius": "30", "angularSpeed": "-0.5", "center": [10, -20, 5][:dimensions]}
    simulation, rows = made("orbit", parameters, dimensions=dimensions, count=7)
    start = rows.copy()
    ticks = 3000
    for tick in range(ticks):
        assert simulation.step(rows, tick, DT) is None
    turned = -0.5 * DT * ticks
    x, y = (start.position[:, :2] - (10, -20)).T
    expected = np.column_stack(
        (x * math.cos(turned) - y * math.sin(turned), x * math.sin(turned) + y * math.cos(turned))
    )
    assert rows.position[:, :2] - (10, -20) == pytest.approx(expected, abs=1e-9)
    assert np.sqrt(((rows.position[:, :2] - (10, -20)) ** 2).sum(axis=1)) == pytest.approx(30, abs=1e-12)
    assert np.sqrt((rows.velocity**2).sum(axis=1)) == pytest.approx(15)
    assert (rows.position[:, 2:] == start.position[:, 2:]).all()


def test_orbit_leaves_a_row_without_radius_on_its_distance_and_one_in_the_middle_there():
    simulation, rows = made("orbit", count=2)
    rows["radius"][:] = 0
    rows.position[:] = [[3.0, 4.0], [0.0, 0.0]]
    for tick in range(100):
        simulation.step(rows, tick, DT)
    assert np.hypot(*rows.position[0]) == pytest.approx(5.0)
    assert (rows.position[1] == 0).all()


def linear_oracle(position, velocity, low, high, dt):
    """One entity, one axis."""
    moved = position + velocity * dt
    if low <= position <= high and not low <= moved <= high:
        edge = low if moved < low else high
        return min(high, max(low, 2 * edge - moved)), -velocity, 1
    if moved < low or moved > high:
        outward = velocity > 0 if moved > high else velocity < 0
        return moved, -velocity if outward else velocity, int(outward)
    return moved, velocity, 0


@pytest.mark.parametrize(("dimensions", "speed"), [(2, 18), (3, 18), (2, 1200), (3, 4800)])
def test_linear_against_one_entity_at_a_time(dimensions, speed):
    simulation, rows = made("linear", {"speed": speed}, dimensions=dimensions, count=40)
    rows.position[0] = 500.0  # from outside
    rows.position[1] = -130.0
    for tick in range(400):
        before = rows.copy()
        assert simulation.step(rows, tick, DT) is None
        for row in range(len(rows)):
            bounces = int(before["bounces"][row])
            for axis in range(dimensions):
                position, velocity, bounced = linear_oracle(
                    float(before.position[row, axis]), float(before.velocity[row, axis]), -120.0, 120.0, DT
                )
                assert rows.position[row, axis] == position
                assert rows.velocity[row, axis] == velocity
                bounces += bounced
            assert rows["bounces"][row] == bounces
    assert (np.abs(rows.position[2:]) <= 120).all()
    assert rows["bounces"].sum() > 0


def test_linear_seeds_the_whole_world_at_one_speed():
    _, rows = made("linear", count=5000)
    assert np.sqrt((rows.velocity**2).sum(axis=1)) == pytest.approx(18)
    assert np.histogram2d(*rows.position.T, bins=4, range=[(-120, 120)] * 2)[0].min() > 200
    assert first_duplicate(rows.id) is None


@pytest.mark.parametrize("name", ["orbit", "linear"])
def test_no_entities_are_no_trouble(name):
    simulation, rows = made(name, count=0)
    assert len(rows) == 0
    assert simulation.step(rows, 0, DT) is None
    assert simulation.arrivals(0) is None


@pytest.mark.parametrize(("name", "parameters"), [("orbit", {}), ("linear", {"speed": 1200})])
def test_a_hundred_thousand_rows_take_well_under_ten_milliseconds(name, parameters):
    simulation, rows = made(name, parameters, count=100_000)
    taken = []
    for tick in range(20):
        started = time.process_time()
        simulation.step(rows, tick, DT)
        taken.append(time.process_time() - started)
    assert min(taken) < 0.010, f"best of 20: {min(taken) * 1000:.1f} ms of processor time"
