"""The chart against the code: its CRD is the CRD, its rights are those that the code uses."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from shardfleet_operator.handlers import CHILDREN
from shardfleet_operator.kube import (
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    NETWORK_POLICIES,
    NODES,
    PODS,
    SECRETS,
    SHARD_FLEETS,
    Kind,
)

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "shardfleet"
HELPERS = (CHART / "templates" / "_helpers.tpl").read_text()


def test_the_charts_crd_is_the_crd() -> None:
    theirs, ours = CHART / "files" / "shardfleets.yaml", ROOT / "crds" / "shardfleets.yaml"
    assert theirs.read_text() == ours.read_text(), f"cp {ours.relative_to(ROOT)} {theirs.relative_to(ROOT)}"


def test_the_version_is_the_projects() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None and chart["version"] == chart["appVersion"] == version[1]


def test_the_values_are_in_the_schema_and_nothing_else_is() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    validator.validate(values)
    for spoilt in (
        {"redis": {"size": "1Gi"}},
        {"oprator": {}},
        {"image": {"repository": ""}},
        {"crds": {"keep": "yes"}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({**values, **spoilt})


# --- rights ------------------------------------------------------------------------------------------------------


def granted() -> dict[tuple[str, str], set[str]]:
    """(group, resource) -> verbs, as the operator's rules say with fleets.deleteOnUninstall."""
    block = HELPERS[HELPERS.index('define "shardfleet.operatorRules"') :]
    text = block[block.index("\n") : block.index("\n{{- end }}")]
    text = re.sub(r"\{\{.*?\}\}", "", text)
    return {
        (group, resource): set(rule["verbs"])
        for rule in yaml.safe_load(text)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


# What each method of KubeApi asks of the API server; apply makes what is not there.
_VERBS = {"get": {"get"}, "list": {"list"}, "create": {"create"}, "apply": {"create", "patch"}, "merge": {"patch"},
          "delete": {"delete"}}  # fmt: skip
_KINDS: dict[str, Kind] = {
    "PODS": PODS,
    "SECRETS": SECRETS,
    "EVENTS": EVENTS,
    "LEASES": LEASES,
    "NODES": NODES,
    "SHARD_FLEETS": SHARD_FLEETS,
    "DEPLOYMENTS": DEPLOYMENTS,
}
# Calls whose kind is in the object: by the file that they are in.
_APPLIED = {
    "reconciler.py": [kind for kind in CHILDREN if kind is not PODS],
    "kubernetes.py": [PODS],
    "secrets.py": [SECRETS],
    "fleet_map.py": [SECRETS, NETWORK_POLICIES, DEPLOYMENTS],
}
_CREATED = {"events.py": [EVENTS], "lease.py": [LEASES]}


def used() -> dict[tuple[str, str], set[str]]:
    """The same, by the calls in the code and what it watches."""
    result: dict[tuple[str, str], set[str]] = {}

    def use(kind: Kind, verbs: set[str], subresource: str = "") -> None:
        resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
        result.setdefault((kind.group, resource), set()).update(verbs)

    for kind in (SHARD_FLEETS, *CHILDREN, NODES):
        use(kind, {"list", "watch"})
    use(SHARD_FLEETS, {"update"}, "finalizers")  # blockOwnerDeletion
    for path in sorted((ROOT / "operator" / "shardfleet_operator").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value)
            if (
                not owner.endswith("api")
                or node.func.attr not in _VERBS
                or ("kube" in path.parts[-2:-1] and path.name != "lease.py")
            ):
                continue
            verbs = _VERBS[node.func.attr]
            if node.func.attr in ("apply", "create") or ast.unparse(node.args[0]) == "kind_of(body)":
                table = _APPLIED if node.func.attr != "create" else _CREATED
                for kind in table[path.name]:
                    use(kind, verbs)
                continue
            subresource = next((k.value.value for k in node.keywords if k.arg == "subresource"), "")  # type: ignore[attr-defined]
            use(_KINDS[ast.unparse(node.args[0])], verbs, subresource)
    return result


def test_the_operators_rights_are_exactly_what_its_code_calls() -> None:
    wanted = used()
    lease = wanted.pop((LEASES.group, LEASES.plural))
    assert lease == {"create", "get", "patch"}, "the Role in templates/rbac.yaml has these"
    assert wanted.pop((NODES.group, NODES.plural)) == {"list", "watch"}, "a ClusterRole of their own has these"
    found = granted()
    # Deletion is for the hook of an uninstall that was told to delete the fleets; see the template.
    fleets = SHARD_FLEETS.group, SHARD_FLEETS.plural
    wanted[fleets].add("delete")
    assert found == wanted
