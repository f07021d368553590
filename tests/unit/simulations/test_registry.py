from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.simulation import World
from shardfleet_shard.errors import SimulationError, SpecError
from shardfleet_shard.simulations import registry
from shardfleet_shard.simulations.linear import Linear

from tests.patience import PATIENCE_S

WORLD = World((-120.0, -120.0), (120.0, 120.0), 20)


def faults_of(name, parameters=None, world=WORLD):
    with pytest.raises(SpecError) as caught:
        registry.load(name, world, parameters or {})
    assert "\n" not in str(caught.value)
    return caught.value.faults


def test_the_built_in_simulations_are_installed():
    assert {"linear", "orbit", "replay"} <= set(registry.installed())


def test_an_unknown_name_lists_what_is_installed():
    [(path, message)] = faults_of("orbti")
    assert path == "spec.simulation.name"
    assert "orbti" in message and "linear, orbit, replay" in message


def test_every_wrong_parameter_is_named_at_once():
    faults = faults_of("orbit", {"radius": [], "center": [1, "x"], "spin": 3})
    assert [path for path, _ in faults] == [
        "spec.simulation.parameters",
        "spec.simulation.parameters.center[1]",
        "spec.simulation.parameters.radius",
    ]
    assert "'spin' was unexpected" in faults[0][1]


@pytest.mark.parametrize(
    ("name", "parameters", "parameter", "message"),
    [
        ("orbit", {"radius": 0}, "radius", "must be above 0, not 0"),
        ("orbit", {"radius": "-4.5"}, "radius", "must be above 0, not -4.5"),
        ("orbit", {"radius": float("inf")}, "radius", "must be a finite number"),
        ("orbit", {"angularSpeed": 100}, "angularSpeed", "less than 3 rad a tick"),
        ("orbit", {"center": [1]}, "center", "needs 2 numbers"),
        ("linear", {"speed": float("nan")}, "speed", "must be a finite number"),
        ("linear", {"speed": 4801}, "speed", "at most 4800"),
        ("replay", {"tracks": "no-such-file.csv"}, "tracks", "no-such-file.csv: no such file"),
    ],
)
def test_what_the_constructor_refuses_names_the_parameter(name, parameters, parameter, message):
    [(path, said)] = faults_of(name, parameters)
    assert path == f"spec.simulation.parameters.{parameter}"
    assert message in said


def test_numbers_may_be_strings_as_in_a_kubernetes_resource():
    simulation = registry.load("linear", WORLD, {"speed": "12.5"})
    speeds = (simulation.seed(np.random.default_rng(1), 10).velocity ** 2).sum(axis=1) ** 0.5
    assert speeds == pytest.approx(12.5)


def test_a_world_without_the_plugins_columns_gets_them():
    simulation = registry.load("orbit", World((-1.0,) * 3, (1.0,) * 3, 20), {"radius": 0.5})
    rows = simulation.seed(np.random.default_rng(1), 3)
    assert rows.schema.descr == registry.schema_for("orbit", 3).descr == Schema(3, simulation.dtype).descr


def test_what_a_plugin_leaves_out_has_its_default(install):
    install(bare="Bare")
    simulation = registry.load("bare", WORLD, {})
    assert (simulation.dtype, simulation.exact) == (None, True)
    assert registry.schema_for("bare", 2).row_size_bytes == 8 + 4 + 16 + 16


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ("NoStep", "has no step"),
        ("Missing", "can't be imported: AttributeError"),
        ("tests.no_such_module:Thing", "can't be imported: ModuleNotFoundError"),
        ("Objects", "'thing'"),
        ("TakesName", "must not be called"),
        ("BadSchema", "parameters_schema is no JSON schema"),
        ("OnlyFormer", "former_dtypes and upgrade belong together"),
        ("OnlyUpgrade", "former_dtypes and upgrade belong together"),
    ],
)
def test_a_plugin_that_is_none_is_the_names_fault(install, plugin, message):
    install(wrong=plugin)
    [(path, said)] = faults_of("wrong")
    assert path == "spec.simulation.name"
    assert message in said


def test_two_packages_with_one_name_are_refused(install):
    install(orbit="Bare")
    [(_, message)] = faults_of("orbit")
    assert "two packages offer 'orbit'" in message


def test_a_constructor_that_fails_otherwise_is_the_plugins_error(install):
    install(fails="Fails")
    with pytest.raises(SimulationError, match="'fails' can't be made: KeyError"):
        registry.load("fails", WORLD, {})


def test_a_shard_without_parameters_is_spared_the_validator():
    code = (
        "import sys\nfrom shardfleet_shard.core.simulation import World\n"
        "from shardfleet_shard.simulations import registry\n"
        "world = World((-1.0, -1.0), (1.0, 1.0), 20)\n"
        "registry.load('orbit', world, {}), registry.load('linear', world, {})\n"
        "assert 'jsonschema' not in sys.modules\n"
        "registry.load('orbit', world, {'radius': 0.5})\nassert 'jsonschema' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_S)


@pytest.mark.parametrize(
    ("schema", "spared"),
    [
        ({"type": "object"}, True),
        ({"type": "object", "properties": {"a": {"minimum": 1}}, "additionalProperties": False}, True),
        ({"type": "object", "required": ["a"]}, False),
        ({"type": "object", "minProperties": 1}, False),
        ({"type": "nonsense"}, False),
        ({}, False),
    ],
)
def test_where_nothing_is_given_only_schemas_that_ask_for_something_are_checked(schema, spared):
    assert registry._none_needed(schema) is spared


def test_the_world_of_a_configuration():
    world = registry.world_for(FleetConfig(name="a", simulation="linear", tick_rate=30, base_dir="/data"))
    assert (world.tick_rate, world.base_dir, world.dimensions) == (30, "/data", 2)
    assert [column.name for column in world.schema.columns][4:] == ["bounces"]


def test_a_simulation_says_what_it_can_take_over(install):
    install(grown="Grown", twice="SameAgain", objects="FormerObjects")
    reader = registry.reader_for("grown", 2)
    assert reader.takes == tuple(sorted((Schema(2, Linear.dtype).hash, Schema(2).hash)))
    assert registry.reader_for("linear", 2).takes == ()
    for name, message in (("twice", "the same columns twice"), ("objects", "former_dtypes: column 'thing'")):
        with pytest.raises(SpecError, match=message):
            registry.reader_for(name, 2)
