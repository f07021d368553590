"""Writes docs/reference/chart.md from the chart's values, their comments and their schema.

``python -m shardfleet_operator.cluster.chart_reference``. With ``--check`` nothing is written; the exit code says
whether the file is what the chart says today.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..reference_page import ReferencePage, cell, inline_yaml

CHART = Path("charts/shardfleet")
COMMAND = "python -m shardfleet_operator.cluster.chart_reference"

HEADER = f"""# The chart's values

<!-- Written by `{COMMAND}`. Change values.yaml, comments included, or its schema instead. -->

Set with `--set redis.persistence.size=16Gi`, or in a file of your own, as
[values.yaml](../../charts/shardfleet/values.yaml) has them, with `-f FILE`. Helm refuses a value that is not here, or
not of its type. How the chart is installed and upgraded: [on a cluster](../operate-cluster.md#install).
"""

_TYPES = {"string": "text", "boolean": "true or false", "object": "object", "array": "list"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """
    Attributes:
        schema: with its ``$ref`` followed.
        node: as values.yaml has it; None where only the schema knows it.
        comment: of values.yaml; '' where there is none.
    """

    path: str
    schema: Mapping[str, Any]
    node: yaml.Node | None
    comment: str


def render() -> str:
    """The whole page."""
    lines = [HEADER, "| value | type | default | what it is |", "| --- | --- | --- | --- |"]
    for value in values((CHART / "values.yaml").read_text(), json.loads((CHART / "values.schema.json").read_text())):
        meaning = value.comment or value.schema.get("description", "")
        lines.append(f"| `{value.path}` | {cell(_type(value.schema))} | {_default(value)} | {cell(meaning)} |")
    return "\n".join(lines) + "\n"


def values(text: str, schema: Mapping[str, Any]) -> Iterator[Value]:
    """Each value and each group of them, in the order of ``text``; what only the schema knows comes last in its group.

    Args:
        text: of values.yaml.
    """
    return _below("", yaml.compose(text), schema, schema, text.splitlines())


def _below(
    path: str, group: yaml.Node | None, schema: Mapping[str, Any], root: Mapping[str, Any], lines: list[str]
) -> Iterator[Value]:
    pairs = {key.value: (key, node) for key, node in group.value} if isinstance(group, yaml.MappingNode) else {}
    known = schema.get("properties", {})
    for name in dict.fromkeys([*(pairs if known else ()), *known]):
        here = f"{path}.{name}" if path else name
        key, node = pairs.get(name, (None, None))
        own = _followed(known.get(name, {}), root)
        yield Value(path=here, schema=own, node=node, comment=_comment(key, node, lines) if key and node else "")
        yield from _below(here, node, own, root, lines)


def _followed(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """``schema``, or the definition that it names."""
    if "$ref" not in schema:
        return schema
    definition: Mapping[str, Any] = root["definitions"][schema["$ref"].removeprefix("#/definitions/")]
    return definition


def _comment(key: yaml.Node, node: yaml.Node, lines: list[str]) -> str:
    """What stands in the lines above ``key``, at its indent, and behind its value; of a group, behind its name."""
    above: list[str] = []
    number = key.start_mark.line - 1
    while number >= 0 and lines[number].startswith(" " * key.start_mark.column + "#"):
        above.insert(0, lines[number].strip().removeprefix("#").strip())
        number -= 1
    is_block = isinstance(node, yaml.CollectionNode) and not node.flow_style
    end = key.end_mark if is_block else node.end_mark
    beside = lines[end.line][end.column :].lstrip(":").strip().removeprefix("#").strip()
    return " ".join(filter(None, [*above, beside]))


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    return schema.get("title") or _TYPES[schema["type"]]


def _default(value: Value) -> str:
    """Nothing for a group: its values have their own."""
    if value.node is None or value.schema.get("properties"):
        return ""
    default = yaml.safe_load(yaml.serialize(value.node))
    return f"`{inline_yaml(default)}`" if default != "" else "empty"


PAGE = ReferencePage(
    file=Path("docs/reference/chart.md"), command=COMMAND, source="charts/shardfleet says", render=render
)

if __name__ == "__main__":
    sys.exit(PAGE.main(sys.argv[1:]))
