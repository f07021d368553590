"""docs/reference/resource.md, made of the CRD: every field with its type, default and bounds.

``python -m shardfleet_operator.resource.reference FILE`` writes it, ``--check`` only says whether it is up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from .schema import PRESERVE, RULES, join, resource_schema

_HEAD = """# The ShardFleet resource

<!-- Made of crds/shardfleets.yaml by `python -m shardfleet_operator.resource.reference docs/reference/resource.md`. -->

`shardfleet.dev/v1alpha1`, kind `ShardFleet`, short name `sf`. `shardfleet local up -f FILE` reads the same file and
checks it by the same schema and rules as a cluster's apiserver. Unknown fields are refused.

A **duration** is a whole number with `us`, `ms`, `s` or `m`: `60ms`, `3s`. A **decimal** is written in quotes:
`"0.5"`. For `spec.handoff.delay` the environment's `ATLASNET_ENTITY_HANDOFF_TRANSFER_DELAY_US` (microseconds) wins
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
        meaning = _cell(known.get("description", ""))
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
    text = yaml.safe_dump(schema["default"], default_flow_style=True, width=1000).removesuffix("...\n").strip()
    return f"`{text}`" if schema["default"] != "" else "empty"


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
    return _cell("; ".join(bounds))


def _rules(schema: Mapping[str, Any], path: str = "") -> str:
    lines = []
    for rule in schema.get(RULES, ()):
        where = path + rule.get("fieldPath", "") if path else rule.get("fieldPath", "").lstrip(".")
        lines.append(f"- `{where}`: {_cell(rule['message'])}\n")
    for name, known in schema.get("properties", {}).items():
        lines.append(_rules(known, join(path, name)))
    return "".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    files = [argument for argument in arguments if argument != "--check"]
    if len(files) != 1:
        print("usage: python -m shardfleet_operator.resource.reference [--check] FILE", file=sys.stderr)
        return 2
    path, text = Path(files[0]), render()
    if check:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return 0
        print(f"{path}: not what crds/shardfleets.yaml says; run this again without --check", file=sys.stderr)
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
