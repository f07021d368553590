"""docs/reference/chart.md is what the chart's values, their comments and their schema say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from shardfleet_operator.cluster import chart_reference
from shardfleet_operator.cluster.chart_reference import values

from .helm import CHART, ROOT

TEXT = (CHART / "values.yaml").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
PAGE = ROOT / chart_reference.PAGE.file


def paths_of_schema(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    for name, known in schema.get("properties", {}).items():
        yield path + name
        yield from paths_of_schema(known, f"{path}{name}.")


def paths_of_values(group: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, value in group.items():
        yield path + name
        if isinstance(value, dict):
            yield from paths_of_values(value, f"{path}{name}.")


def test_the_page_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert chart_reference.PAGE.main(["--check"]) == 0, f"run {chart_reference.COMMAND}"


def test_every_value_of_the_schema_is_in_the_page() -> None:
    listed = re.findall(r"^\| `([\w.]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert len(listed) > 60 and sorted(listed) == sorted(paths_of_schema(SCHEMA))


def test_what_the_file_sets_has_its_default_in_the_page() -> None:
    set_here = {value.path for value in values(TEXT, SCHEMA) if value.node is not None}
    free = {"cpu", "memory", "grafana_dashboard"}  # of objects whose keys are not the chart's
    written = {path for path in paths_of_values(yaml.safe_load(TEXT)) if path.rpartition(".")[2] not in free}
    assert set_here == written


def test_every_value_says_what_it_is() -> None:
    for value in values(TEXT, SCHEMA):
        if value.node is None:
            assert value.schema.get("description"), f"{value.path}: values.schema.json does not describe it"
        else:
            assert value.comment, f"{value.path}: values.yaml has no comment on it"


def test_comments_and_defaults_are_those_of_their_value() -> None:
    text = """# of the file

# above a,
# in two lines
a: # beside a
  b: "#1" # beside b
  # above c
  c: {x: 1} # beside c
d: []
"""
    known = {
        "a": {"type": "object", "properties": {"b": {"type": "string"}, "c": {"type": "object"}, "e": {}}},
        "d": {},
    }
    found = {value.path: (value.comment, value.node is not None) for value in values(text, {"properties": known})}
    assert list(found.items()) == [
        ("a", ("above a, in two lines beside a", True)),
        ("a.b", ("beside b", True)),
        ("a.c", ("above c beside c", True)),
        ("a.e", ("", False)),
        ("d", ("", True)),
    ]
