"""A ShardFleet: read, filled with defaults, checked, and turned into what shards get.

One-machine mode reads a file; in a cluster the apiserver has done the same by the same CRD.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shardfleet_shard.config import (
    FleetConfig,
    default_skew_limit_us,
    format_duration_us,
    parse_duration_us,
)
from shardfleet_shard.environment import HANDOFF_DELAY_VARIABLE
from shardfleet_shard.errors import SpecError, UsageError

from .document import Document, FleetFileError, read_document
from .rules import rule_faults, structural_faults
from .schema import GROUP, KIND, VERSION, join, leaves, resource_schema, spec_schema, unknown_fields, with_defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetResource:
    """A checked ShardFleet.

    Attributes:
        spec: as the apiserver would store it, defaults filled in.
        given: the spec as it was written, which tells a default from a choice.
        source: the file's name for messages; '' where there is no file.
        base_dir: what relative paths in the simulation's parameters count from.
        lines: field path -> line in the file.
    """

    name: str
    namespace: str
    spec: Mapping[str, Any]
    given: Mapping[str, Any]
    source: str = ""
    base_dir: str = "."
    lines: Mapping[str, int] = field(default_factory=dict, compare=False)

    def error(self, faults: list[tuple[str, str]]) -> SpecError:
        """Faults found later (by a simulation's schema, say), with this file's name and lines."""
        if not self.source:
            return SpecError(faults)
        return FleetFileError(faults, source=self.source, lines=dict(self.lines))

    def to_object(self) -> dict[str, Any]:
        """The resource as data, defaults included."""
        metadata = {"name": self.name, **({"namespace": self.namespace} if self.namespace else {})}
        return {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": metadata, "spec": dict(self.spec)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigRow:
    """One line of ``shardfleet config``: the field, its value in force ('' for none) and where it came from."""

    field: str
    value: str
    source: str


def load_fleet(path: Path | str) -> FleetResource:
    """Reads one ShardFleet from a YAML file and checks it as the apiserver would, all faults at once.

    Raises:
        UsageError: the file can't be read, isn't YAML, or holds something else than one ShardFleet.
        FleetFileError: (a SpecError) fields that are unknown, missing or wrong, each with its line.
    """
    path = Path(path)
    return _checked(read_document(path), base_dir=str(path.resolve().parent))


def fleet_from_object(data: Mapping[str, Any]) -> FleetResource:
    """A ShardFleet from data, such as an API object. Raises as ``load_fleet``."""
    return _checked(Document(dict(data), ""), base_dir=".")


def check_update(old: FleetResource, new: FleetResource) -> None:
    """Refuses what cannot change while a fleet lives, by the CRD's transition rules.

    Raises:
        SpecError: the fields that must keep their value.
    """
    faults = rule_faults(new.to_object(), old=old.to_object(), broken=[])
    if faults:
        raise new.error(faults)


def _checked(document: Document, *, base_dir: str) -> FleetResource:
    data, source = document.data, document.source
    _check_kind(data, source)
    filled = with_defaults(data, resource_schema())
    metadata = filled.get("metadata")
    broken = structural_faults(filled)
    if not isinstance(metadata, dict) or not metadata.get("name"):
        broken.append(("metadata.name", "is required: give the fleet a name"))
    faults = list(unknown_fields(data, resource_schema())) + broken
    faults += rule_faults(filled, old=None, broken=broken)
    if faults:
        raise FleetFileError(faults, source=source, lines=document.lines) if source else SpecError(faults)
    return FleetResource(
        name=metadata["name"],
        namespace=metadata.get("namespace") or "",
        spec=filled["spec"],
        given=data.get("spec") or {},
        source=source,
        base_dir=base_dir,
        lines=document.lines,
    )


def _check_kind(data: Any, source: str) -> None:
    prefix = f"{source}: " if source else ""
    if not isinstance(data, dict):
        raise UsageError(f"{prefix}not a {KIND}: fields such as 'kind: {KIND}' are expected at the top")
    kind, version = data.get("kind"), data.get("apiVersion")
    if kind != KIND:
        raise UsageError(f"{prefix}not a {KIND}: kind is {'missing' if kind is None else repr(kind)}")
    if version != f"{GROUP}/{VERSION}":
        found = "missing" if version is None else repr(version)
        raise UsageError(f"{prefix}apiVersion is {found}; this release reads {GROUP}/{VERSION}")


def _floats(values: list[int]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


# FleetConfig's field <- (field of spec, how it is read).
_KNOBS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "replicas": ("replicas", int),
    "world_low": ("world.min", _floats),
    "world_high": ("world.max", _floats),
    "simulation": ("simulation.name", str),
    "parameters": ("simulation.parameters", dict),
    "seed_entities": ("simulation.seedEntities", int),
    "tick_rate": ("tickRate", int),
    "handoff_delay_us": ("handoff.delay", parse_duration_us),
    "discrepancy_threshold_us": ("handoff.discrepancyThreshold", parse_duration_us),
    "border_margin": ("handoff.borderMargin", float),
    "guard_us": ("handoff.guard", parse_duration_us),
    "skew_limit_us": ("handoff.skewLimit", parse_duration_us),
    "lease_us": ("lease", parse_duration_us),
    "telemetry_interval_us": ("telemetry.interval", parse_duration_us),
    "election_interval_us": ("electionInterval", parse_duration_us),
    "audit_interval_us": ("watchdog.auditInterval", parse_duration_us),
    "link_lease": ("links.lease", str),
    "link_inactivity_us": ("links.inactivity", parse_duration_us),
    "link_lease_ttl_us": ("links.leaseTTL", parse_duration_us),
    "redis_outage_policy": ("redisOutagePolicy", str),
}


def _get(spec: Mapping[str, Any], path: str) -> Any:
    value: Any = spec
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def to_config(resource: FleetResource, environ: Mapping[str, str]) -> FleetConfig:
    """What the fleet's shards share. The environment wins over the spec, the spec over the default.

    Raises:
        SpecError: the variable holds no usable delay; its name is the field.
    """
    values: dict[str, Any] = {}
    sources = {"name": "spec", "base_dir": "spec"}
    for name, (path, read) in _KNOBS.items():
        value = _get(resource.spec, path)
        if value is not None:
            values[name] = read(value)
        sources[name] = "default" if _get(resource.given, path) is None else "spec"
    if HANDOFF_DELAY_VARIABLE in environ:
        values["handoff_delay_us"] = _delay_from_environment(environ[HANDOFF_DELAY_VARIABLE])
        sources["handoff_delay_us"] = HANDOFF_DELAY_VARIABLE
    values.setdefault("skew_limit_us", default_skew_limit_us(values["handoff_delay_us"]))
    config = FleetConfig(name=resource.name, base_dir=resource.base_dir, sources=sources, **values)
    config.validate()
    return config


def _delay_from_environment(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text.strip()):
        raise SpecError(
            [(HANDOFF_DELAY_VARIABLE, f"{text!r} is not a whole number of microseconds, such as 60000; or unset it")]
        )
    return int(text)


def config_rows(resource: FleetResource, environ: Mapping[str, str]) -> list[ConfigRow]:
    """Every field of spec with its value in force and where that came from, in the schema's order.

    Raises:
        SpecError: as ``to_config``.
    """
    config = to_config(resource, environ)
    names = {path: name for name, (path, _) in _KNOBS.items()}
    rows = []
    for path, _ in leaves(spec_schema(), ""):
        value, name = _get(resource.spec, path), names.get(path, "")
        if name.endswith("_us"):
            value = format_duration_us(getattr(config, name))
        given = "default" if _get(resource.given, path) is None else "spec"
        source = config.sources.get(name, given)
        rows.append(ConfigRow(field=join("spec", path), value=_shown(value), source=source))
    return rows


def _shown(value: Any) -> str:
    if value is None or value == {}:
        return ""
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
