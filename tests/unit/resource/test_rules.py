"""Every bound and rule of the CRD refuses something, says what to do, and lets the rest pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from shardfleet_operator.resource import check_update, fleet_from_object
from shardfleet_operator.resource.schema import PRESERVE, RULES, crd, resource_schema
from shardfleet_shard.errors import SpecError

from .cases import ALLOWED, REFUSALS, Refusal, fleet


def faults_of(case: Refusal) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as raised:
        new = fleet_from_object(fleet(case.set))
        if case.old is not None:
            check_update(fleet_from_object(fleet(case.old)), new)
    return raised.value.faults


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_what_must_be_refused(case: Refusal) -> None:
    faults = faults_of(case)
    assert any(path == case.field and case.message in message for path, message in faults), faults
    assert {path for path, _ in faults} <= {case.field, *case.and_also}


@pytest.mark.parametrize(("values", "old"), ALLOWED, ids=lambda values: str(values)[:60])
def test_what_must_pass(values: dict[str, Any], old: dict[str, Any] | None) -> None:
    new = fleet_from_object(fleet(values))
    if old is not None:
        check_update(fleet_from_object(fleet(old)), new)


def nodes(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for name, known in schema.get("properties", {}).items():
        yield from nodes(known, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def test_every_rule_of_the_crd_has_a_case() -> None:
    hit = {message for case in REFUSALS if case.rule for _, message in faults_of(case)}
    rules = {rule["message"] for _, schema in nodes(resource_schema()) for rule in schema.get(RULES, ())}
    assert rules - hit == set()


def test_every_field_of_spec_has_a_case() -> None:
    hit = {case.field.split("[")[0] for case in REFUSALS}
    leaves = {path for path, schema in nodes(resource_schema()["properties"]["spec"], "spec")
              if not schema.get("properties") and not path.endswith("[]")}  # fmt: skip
    assert leaves - hit == set()


def test_all_faults_come_at_once() -> None:
    with pytest.raises(SpecError) as raised:
        fleet_from_object(
            fleet({"metadata.name": "Arena", "spec.replicas": 0, "spec.lease": "1ms", "spec.handof": {}, "spec.x": 1})
        )
    assert {path for path, _ in raised.value.faults} == {
        "metadata.name", "spec.replicas", "spec.lease", "spec.handof", "spec.x",
    }  # fmt: skip


def test_the_schema_keeps_to_the_house_rules() -> None:
    for path, schema in nodes(resource_schema()):
        kind = schema["type"]
        assert kind not in ("number", "boolean"), path
        is_bounded = path in ("apiVersion", "kind") or "enum" in schema or "maxLength" in schema
        assert kind != "string" or is_bounded, f"{path}: text without a bound"
        assert kind != "array" or "maxItems" in schema, f"{path}: a list without a bound"
        assert kind != "object" or schema.get(PRESERVE) or "properties" in schema, path
        if path.startswith(("spec", "status")) and not path.endswith("[]"):
            assert schema.get("description"), f"{path}: says nothing of itself"


def test_names_columns_and_subresources() -> None:
    spec = crd()["spec"]
    (version,) = spec["versions"]
    assert (spec["group"], version["name"], spec["scope"]) == ("shardfleet.dev", "v1alpha1", "Namespaced")
    assert spec["names"]["shortNames"] == ["sf"] and spec["names"]["categories"] == ["all"]
    columns = [column["name"] for column in version["additionalPrinterColumns"]]
    assert columns == ["Shards", "Ready", "Entities", "Handoffs/s", "Active", "Age"]
    paths = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    paths += version["subresources"]["scale"].values()
    known = {f".{path}" for path, _ in nodes(resource_schema())}
    assert [path for path in paths if path not in known] == [".metadata.creationTimestamp"]
    assert "status" in version["subresources"]
