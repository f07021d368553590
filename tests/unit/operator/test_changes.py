"""What a change of each field does to a fleet that lives, as docs/operate-cluster.md says it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from shardfleet_operator.cluster.objects import FleetObjects, RedisSecret
from shardfleet_operator.cluster.spec import read_spec
from shardfleet_operator.resource.schema import resource_schema

PAGE = Path(__file__).parents[3] / "docs" / "operate-cluster.md"

SPEC: dict[str, Any] = {
    "replicas": 4,
    "updateStrategy": {"maxSurge": 1},
    "image": "shards:1",
    "template": {},
    "trace": {"claimName": "traces"},
    "simulation": {"name": "orbit", "parameters": {"radius": 45}, "seedEntities": 50},
    "handoff": {"delay": "60ms", "discrepancyThreshold": "1500ms", "borderMargin": "0.5", "guard": "10ms",
                "skewLimit": "15ms"},
    "lease": "3s",
    "telemetry": {"interval": "50ms"},
    "electionInterval": "2s",
    "watchdog": {"auditInterval": "250ms"},
    "links": {"lease": "Enabled", "inactivity": "2s", "leaseTTL": "25s"},
    "redisOutagePolicy": "Freeze",
    "map": "Disabled",
}  # fmt: skip

OTHERWISE: dict[str, Any] = {
    "replicas": 6,
    "updateStrategy": {"maxSurge": 2},
    "image": "shards:2",
    "template": {"metadata": {"labels": {"team": "blue"}}},
    "trace": {"claimName": "others"},
    "simulation.parameters": {"radius": 40},
    "simulation.seedEntities": 60,
    "handoff.delay": "100ms",
    "handoff.discrepancyThreshold": "2s",
    "handoff.borderMargin": "1.5",
    "handoff.guard": "5ms",
    "handoff.skewLimit": "20ms",
    "lease": "4s",
    "telemetry": {"interval": "100ms"},
    "electionInterval": "3s",
    "watchdog": {"auditInterval": "500ms"},
    "links": {"lease": "Disabled", "inactivity": "2s", "leaseTTL": "25s"},
    "redisOutagePolicy": "Continue",
    "map": "Enabled",
}


def documented() -> dict[str, str]:
    """Field -> what a change of it does, from the page's table."""
    result = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[1] in ("is live", "rolls", "is refused"):
            result.update(dict.fromkeys(re.findall(r"`([\w.]+)`", cells[0]), cells[1]))
    return result


def with_field(field: str, value: Any) -> dict[str, Any]:
    spec = copy.deepcopy(SPEC)
    *groups, last = field.split(".")
    below = spec
    for group in groups:
        below = below[group]
    below[last] = value
    return spec


def revision(spec: dict[str, Any]) -> str:
    body = {
        "apiVersion": "shardfleet.dev/v1alpha1", "kind": "ShardFleet",
        "metadata": {"name": "arena", "namespace": "play"}, "spec": spec,
    }  # fmt: skip
    read = read_spec(body, {})
    return FleetObjects(
        namespace="play", name="arena", uid="u", config=read.config, image=read.image,
        redis=RedisSecret(name="arena-redis"), template=read.template, trace_claim=read.trace_claim,
    ).revision  # fmt: skip


def test_the_page_speaks_of_every_field() -> None:
    fields = resource_schema()["properties"]["spec"]["properties"]
    told = documented()
    for name, schema in fields.items():
        if name not in told:
            assert {f"{name}.{below}" for below in schema["properties"]} <= told.keys()


@pytest.mark.parametrize("field", [field for field, change in documented().items() if change == "is live"])
def test_what_is_live_replaces_no_pod(field: str) -> None:
    assert revision(with_field(field, OTHERWISE[field])) == revision(SPEC)


@pytest.mark.parametrize("field", [field for field, change in documented().items() if change == "rolls"])
def test_what_rolls_replaces_every_pod(field: str) -> None:
    assert revision(with_field(field, OTHERWISE[field])) != revision(SPEC)


@pytest.mark.parametrize("field", [field for field, change in documented().items() if change == "is refused"])
def test_what_is_refused_is_refused_by_the_api_server_with_a_reason(field: str) -> None:
    below = resource_schema()["properties"]["spec"]
    rules = [rule for rule in below["x-kubernetes-validations"] if f"self.{field}" in rule["rule"]]
    for part in field.split("."):
        below = below["properties"][part]
    rules += below.get("x-kubernetes-validations", [])
    assert any("oldSelf" in rule["rule"] and rule["message"] for rule in rules)
