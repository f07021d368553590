"""Writes docs/reference/resource.md from the CRD: every field with its type, default and bounds.

``python -m shardfleet_operator.resource.reference``; with ``--check`` nothing is written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shardfleet_shard.environment import HANDOFF_DELAY_VARIABLE

from ..reference_page import ReferencePage, cell, inline_yaml
from .schema import PRESERVE, RULES, join, resource_schema

COMMAND = "python -m shardfleet_operator.resource.reference"

_HEAD = f"""# The ShardFleet resource

<!-- Written by `{COMMAND}`. Change crds/shardfleets.yaml instead. -->

`shardfleet.dev/v1alpha1`, kind `ShardFleet`, short name `sf`. `shardfleet local up -f FILE` reads the same file and
checks it by the same schema and rules as a cluster's apiserver. Unknown fields are refused.

A **duration** is a whole number with `us`, `ms`, `s` or `m`: `60ms`, `3s`. A **decimal** is written in quotes:
`"0.5"`. For `spec.handoff.delay` the environment's `{HANDOFF_DELAY_VARIABLE}` (microseconds) wins
over the file, and the file over the default.
"""

_KINDS = {"^[0-9]{1,7}(us|ms|s|m)$": "duration", "^[0-9]{1,9}([.][0-9]{1,6})?$": "decimal"}


def render() -> str:
    """The page as text."""
    schema = resource_schema()
    parts = [_HEAD, "## spec\n", _table(schema["properties"]["spec"], "spec", is_status=False)]
    parts += ["## Rules\n", "Beyond each field's own bounds:\n", _rules(schema)]
    parts += ["## status\n", _table(schema["properties"]["status"], "status", is_status=True)]
    return "\n".join(parts)


def _fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """(path, schema, required) of every field below ``schema``."""
    for name, known in schema.get("properties", {}).items():
        yield join(path, name), known, name in schema.get("required", ())
        yield from _fields(known, join(path, name))
        if known.get("type") == "array":
            yield from _fields(known["items"], f"{join(path, name)}[]")


def _table(schema: Mapping[str, Any], path: str, *, is_status: bool) -> str:
    head = "| field | type | meaning |" if is_status else "| field | type | default | bounds | meaning |"
    lines = [head, "|" + " --- |" * (head.count("|") - 1)]
    for name, known, required in _fields(schema, path):
        meaning = cell(known.get("description", ""))
        if is_status:
            lines.append(f"| `{name}` | {_kind(known)} | {meaning} |")
        else:
            lines.append(f"| `{name}` | {_kind(known)} | {_default(known, required)} | {_bounds(known)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _kind(schema: Mapping[str, Any]) -> str:
    if schema.get(PRESERVE):
        return "free object"
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}"
    if schema["type"] == "integer":
        return "whole number"
    return _KINDS.get(schema.get("pattern", ""), "text" if schema["type"] == "string" else "object")


def _default(schema: Mapping[str, Any], required: bool) -> str:
    if "default" not in schema:
        return "required" if required else ""
    if schema.get("properties") and schema["default"] == {}:
        return ""  # its fields have their own
    return f"`{inline_yaml(schema['default'])}`" if schema["default"] != "" else "empty"


def _bounds(schema: Mapping[str, Any]) -> str:
    bounds = []
    if "enum" in schema:
        bounds.append(" or ".join(f"`{value}`" for value in schema["enum"]))
    if "minimum" in schema:
        bounds.append(f"{schema['minimum']} to {schema['maximum']}")
    if schema.get("type") == "array":
        bounds.append(f"{schema['minItems']} to {schema['maxItems']} entries, each {_bounds(schema['items'])}")
    if schema.get("type") == "string" and "enum" not in schema and schema.get("pattern") not in _KINDS:
        bounds.append(f"at most {schema['maxLength']} characters")
    return cell("; ".join(bounds))


def _rules(schema: Mapping[str, Any], path: str = "") -> str:
    lines = []
    for rule in schema.get(RULES, ()):
        where = path + rule.get("fieldPath", "") if path else rule.get("fieldPath", "").lstrip(".")
        lines.append(f"- `{where}`: {cell(rule['message'])}\n")
    for name, known in schema.get("properties", {}).items():
        lines.append(_rules(known, join(path, name)))
    return "".join(lines)


PAGE = ReferencePage(
    file=Path("docs/reference/resource.md"), command=COMMAND, source="crds/shardfleets.yaml says", render=render
)

if __name__ == "__main__":
    sys.exit(PAGE.main(sys.argv[1:]))
