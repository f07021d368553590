"""Who may do what."""

from __future__ import annotations

from .helm import NAMESPACE, Object, needs_helm, of_kind, render
from .test_chart import used

pytestmark = needs_helm


def rights(role: Object) -> dict[tuple[str, str], set[str]]:
    """(group, resource) -> verbs."""
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_the_operators_rights_are_cluster_wide_or_in_its_namespaces_alone() -> None:
    wide, narrow = render(), render({"operator.namespaces": ["play", "test"]})
    assert "shardfleet" in of_kind(wide, "ClusterRole") and "shardfleet" in of_kind(wide, "ClusterRoleBinding")
    assert "shardfleet" not in of_kind(narrow, "ClusterRole")
    assert list(of_kind(narrow, "ClusterRoleBinding")) == ["shardfleet-nodes"], "nodes are of no namespace"
    roles = [one for one in narrow if one["kind"] == "Role" and one["metadata"]["name"] == "shardfleet"]
    assert [one["metadata"]["namespace"] for one in roles] == ["play", "test"]
    for role in roles:
        assert rights(role) == rights(of_kind(wide, "ClusterRole")["shardfleet"])
    subject = {"kind": "ServiceAccount", "name": "shardfleet", "namespace": NAMESPACE}
    bindings = [one for one in (*wide, *narrow) if one["kind"].endswith("RoleBinding")]
    assert len(bindings) == 7 and all(one["subjects"] == [subject] for one in bindings)


def test_what_is_granted_is_what_the_code_calls() -> None:
    found = render({"fleets.deleteOnUninstall": True})  # the hook's calls are the code's, too
    roles = of_kind(found, "ClusterRole")
    granted = {**rights(roles["shardfleet"]), **rights(roles["shardfleet-nodes"])}
    lease = of_kind(found, "Role")["shardfleet-lease"]
    assert all(
        rule.get("resourceNames") == ["shardfleet-operator"] or rule["verbs"] == ["create"] for rule in lease["rules"]
    )
    leases = {verb for rule in lease["rules"] for verb in rule["verbs"]}
    assert {**granted, ("coordination.k8s.io", "leases"): leases} == used()


def test_fleets_are_deleted_only_by_who_asked_for_it() -> None:
    fleets = ("shardfleet.dev", "shardfleets")
    for wanted in (False, True):
        found = render({"fleets.deleteOnUninstall": wanted})
        assert ("delete" in rights(of_kind(found, "ClusterRole")["shardfleet"])[fleets]) == wanted
        [container] = of_kind(found, "Job")["shardfleet-uninstall"]["spec"]["template"]["spec"]["containers"]
        assert container["args"] == ["fleets", "--delete" if wanted else "--none"]


def test_no_right_is_a_wildcard(objects: list[Object]) -> None:
    for one in objects:
        for rule in one.get("rules", ()) if one["kind"].endswith("Role") else ():
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], one["metadata"]["name"]


def test_people() -> None:
    roles = of_kind(render(), "ClusterRole")
    reading = {"get", "list", "watch"}
    fleets = {("shardfleet.dev", f"shardfleets{part}"): reading for part in ("", "/status", "/scale")}
    # kubectl shardfleet: get sf and pods, logs, and a port-forward to the operator's pod.
    pods = {("", "pods"): {"get", "list"}, ("", "pods/log"): {"get"}, ("", "pods/portforward"): {"get", "create"}}
    assert rights(roles["shardfleet-viewer"]) == {**fleets, **pods}
    assert rights(roles["shardfleet-view"]) == fleets
    aggregated = {
        name: {label.rpartition("-")[2] for label in role["metadata"]["labels"] if "aggregate-to" in label}
        for name, role in roles.items()
    }
    assert aggregated == {
        "shardfleet": set(),
        "shardfleet-nodes": set(),
        "shardfleet-viewer": set(),  # a forward is more than a look
        "shardfleet-view": {"view"},
        "shardfleet-edit": {"edit", "admin"},
    }
    assert all(
        "secrets" not in resource for name in roles if name != "shardfleet" for _, resource in rights(roles[name])
    )
