"""Finds simulations by entry point and makes them; the only place that knows how a plugin is installed.

jsonschema is imported when there are parameters to check and not before: a shard starts faster without it, and is 3 MB
smaller.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from ..config import FleetConfig
from ..core.columns import Schema
from ..core.row_reader import RowReader
from ..core.simulation import ENTRY_POINT_GROUP, Simulation, World
from ..errors import SimulationError, SpecError

NAME_PATH = "spec.simulation.name"
PARAMETERS_PATH = "spec.simulation.parameters"

_REQUIRED = ("seed", "arrivals", "step")
_DEFAULTS: Mapping[str, Any] = {
    "dtype": None,
    "exact": True,
    "parameters_schema": {"type": "object"},
}

_ONLY_ABOUT_WHAT_IS_GIVEN = {"type", "properties", "additionalProperties", "title", "description", "$schema", "$id"}
"""Keywords of JSON schema that an object without any property cannot break."""


def installed() -> dict[str, EntryPoint]:
    """Name -> entry point, sorted by name.

    Raises:
        SpecError: two packages offer different classes under one name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise SpecError(
                [(NAME_PATH, f"two packages offer {entry.name!r} ({other.value}, {entry.value}); uninstall one")]
            )
    return dict(sorted(found.items()))


def find(name: str) -> type[Simulation]:
    """The plugin's class.

    Raises:
        SpecError: no such simulation (the message lists those that are installed), or it can't be imported.
    """
    available = installed()
    if name not in available:
        listed = ", ".join(available) or "none"
        raise SpecError([(NAME_PATH, f"no simulation {name!r} is installed; there are: {listed}")])
    entry = available[name]
    try:
        plugin = entry.load()
    except Exception as error:
        raise SpecError([(NAME_PATH, f"{name!r} ({entry.value}) can't be imported: {_said(error)}")]) from error
    missing = [method for method in _REQUIRED if not callable(getattr(plugin, method, None))]
    if missing:
        raise SpecError([(NAME_PATH, f"{name!r} ({entry.value}) is no simulation: it has no {', '.join(missing)}")])
    for attribute, default in _DEFAULTS.items():
        if not hasattr(plugin, attribute):
            setattr(plugin, attribute, default)
    if bool(getattr(plugin, "former_dtypes", ())) != callable(getattr(plugin, "upgrade", None)):
        raise SpecError(
            [(NAME_PATH, f"{name!r} ({entry.value}): former_dtypes and upgrade belong together; give it both or none")]
        )
    return cast(type[Simulation], plugin)


def schema_for(name: str, dimensions: int) -> Schema:
    """The columns of a world that runs this simulation.

    Raises:
        SpecError: no such simulation, or a column that can't be.
    """
    try:
        schema = Schema(dimensions, find(name).dtype)
        _ = schema.columns
    except ValueError as error:
        raise SpecError([(NAME_PATH, f"{name!r}: {error}")]) from error
    return schema


def reader_for(name: str, dimensions: int) -> RowReader:
    """What rows the simulation can take over. Its ``upgrade`` is not to be called on it.

    Raises:
        SpecError: no such simulation, or a column, of today or before, that can't be.
    """
    schema, plugin = schema_for(name, dimensions), find(name)
    try:
        reader = RowReader.of(schema, plugin, name=name)
        hashes = [one.hash for one in reader.schemas]
    except (ValueError, TypeError) as error:
        raise SpecError([(NAME_PATH, f"{name!r}: former_dtypes: {error}")]) from error
    if len(set(hashes)) != 1 + len(getattr(plugin, "former_dtypes", ())):
        raise SpecError([(NAME_PATH, f"{name!r}: former_dtypes names the same columns twice, or those of dtype")])
    return reader


def world_for(config: FleetConfig) -> World:
    """The world that a fleet's configuration describes, with its simulation's columns. Raises ``SpecError``."""
    return World(
        low=config.world_low,
        high=config.world_high,
        tick_rate=config.tick_rate,
        base_dir=config.base_dir,
        schema=schema_for(config.simulation, config.dimensions),
    )


def load(name: str, world: World, parameters: Mapping[str, Any]) -> Simulation:
    """The simulation, made for ``world``; a world that lacks the plugin's columns gets them.

    Raises:
        SpecError: no such simulation, or parameters that can't be; every field that the schema refuses at once.
        SimulationError: the plugin's constructor raised something else.
    """
    plugin = find(name)
    schema = schema_for(name, world.dimensions)
    if world.schema.descr != schema.descr:
        world = dataclasses.replace(world, schema=schema)
    if parameters or not _none_needed(plugin.parameters_schema):
        check_parameters(name, parameters)
    try:
        return plugin(world, parameters)
    except SpecError:
        raise
    except ValueError as error:
        raise SpecError([_parameter_fault(plugin, str(error))]) from error
    except Exception as error:
        raise SimulationError(f"simulation {name!r} can't be made: {_said(error)}") from error


def check_parameters(name: str, parameters: Mapping[str, Any]) -> None:
    """Checks by the plugin's schema alone. Raises ``SpecError`` with every fault."""
    import jsonschema

    validator_class = jsonschema.Draft202012Validator
    try:
        validator_class.check_schema(find(name).parameters_schema)
    except jsonschema.SchemaError as error:
        raise SpecError([(NAME_PATH, f"{name!r}: its parameters_schema is no JSON schema: {error.message}")]) from error
    faults = []
    for found in validator_class(find(name).parameters_schema).iter_errors(parameters):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found.absolute_path)
        faults.append((PARAMETERS_PATH + path, found.message))
    if faults:
        raise SpecError(sorted(faults))


def _none_needed(schema: Mapping[str, Any]) -> bool:
    """Whether the schema is one of the usual kind, which an empty object always satisfies."""
    return schema.get("type") == "object" and schema.keys() <= _ONLY_ABOUT_WHAT_IS_GIVEN


def _parameter_fault(plugin: type[Simulation], message: str) -> tuple[str, str]:
    """By contract the first word of a constructor's ValueError is the parameter's name."""
    word, _, rest = message.partition(" ")
    if rest and word in plugin.parameters_schema.get("properties", {}):
        return f"{PARAMETERS_PATH}.{word}", rest
    return PARAMETERS_PATH, message


def _said(error: BaseException) -> str:
    """One line: the error's kind and what it says."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")
