"""The CRD's own schema as data: where it is, its defaults, its fields.

The CRD file is the one source of fields, defaults, bounds and rules. This module walks its structural schema the
way the apiserver does; it must not know a single field by name.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

GROUP = "shardfleet.dev"
VERSION = "v1alpha1"
KIND = "ShardFleet"

PRESERVE = "x-kubernetes-preserve-unknown-fields"
RULES = "x-kubernetes-validations"

# What the apiserver's strict mode lets pass in metadata.
METADATA_FIELDS = (
    "name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "uid",
    "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    "managedFields", "selfLink",
)  # fmt: skip


def crd_text() -> str:
    """The CRD file: package data in a wheel, the repository's own in an editable checkout."""
    packaged = resources.files("shardfleet_operator") / "crds" / "shardfleets.yaml"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).resolve().parents[3] / "crds" / "shardfleets.yaml").read_text(encoding="utf-8")


@cache
def crd() -> dict[str, Any]:
    """The CRD as data. Shared: don't change it."""
    data: dict[str, Any] = yaml.load(crd_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return data


@cache
def resource_schema() -> dict[str, Any]:
    """``openAPIV3Schema`` of v1alpha1."""
    (version,) = (v for v in crd()["spec"]["versions"] if v["name"] == VERSION)
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def spec_schema() -> dict[str, Any]:
    schema: dict[str, Any] = resource_schema()["properties"]["spec"]
    return schema


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """A copy of ``value`` with the schema's defaults in it, as the apiserver fills them.

    A null where the schema has a default counts as left out; a given object gets its own missing fields.
    """
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        result = {}
        for name, item in value.items():
            known = properties.get(name)
            if known is None:
                result[name] = copy.deepcopy(item)
            elif item is not None or "default" not in known:
                result[name] = with_defaults(item, known)
        for name, known in properties.items():
            if name not in result and "default" in known:
                result[name] = with_defaults(known["default"], known)
        return result
    if isinstance(value, list):
        return [with_defaults(item, schema.get("items", {})) for item in value]
    return value


def leaves(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, schema) of every field that is not just a group of others, in the schema's order."""
    properties = schema.get("properties")
    if not properties:
        yield path, schema
        return
    for name, known in properties.items():
        yield from leaves(known, join(path, name))


def unknown_fields(value: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """(path, message) of every field that the schema doesn't have, with what was probably meant."""
    if path == "metadata":
        if isinstance(value, dict):
            for name in value:
                if name not in METADATA_FIELDS:
                    yield join(path, name), _unknown(name, METADATA_FIELDS, path)
    elif isinstance(value, dict) and not schema.get(PRESERVE):
        properties = schema.get("properties", {})
        for name, item in value.items():
            if name in properties:
                yield from unknown_fields(item, properties[name], join(path, name))
            else:
                yield join(path, name), _unknown(name, tuple(properties), path)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from unknown_fields(item, schema.get("items", {}), f"{path}[{number}]")


def _unknown(name: str, siblings: tuple[str, ...], path: str) -> str:
    lowered = {sibling.casefold(): sibling for sibling in siblings}
    close = difflib.get_close_matches(name.casefold(), lowered, n=1)
    if close:
        return f"unknown field; did you mean {lowered[close[0]]}?"
    if path.startswith("spec") or not path:
        # Right name, wrong place: spec.delay for spec.handoff.delay.
        elsewhere = [p for p, _ in leaves(spec_schema(), "spec") if p.rpartition(".")[2].casefold() == name.casefold()]
        if elsewhere:
            return f"unknown field; did you mean {elsewhere[0]}?"
    return f"unknown field; known are {', '.join(siblings)}" if siblings else "unknown field; nothing goes here"
