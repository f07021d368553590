"""Fleets that are changed, drained and broken while thousands of entities move; proved by the traces of all pods."""

from __future__ import annotations

from pathlib import Path

from .fleets import LiveFleet
from .kubectl import say, until
from .release import Release
from .traces import Traces
from .worlds import proved, world

CROWD = 2_000
PATIENCE_S = 240.0


def scale(fleet: LiveFleet, replicas: int) -> None:
    say(f"kubectl scale sf {fleet.name} --replicas={replicas}")
    fleet.kubectl("scale", "sf", fleet.name, f"--replicas={replicas}")
    fleet.wait_settled(replicas, entities=CROWD, timeout_s=PATIENCE_S)


def test_four_six_two(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "scaled", shards=4, entities=CROWD) as fleet:
        fleet.wait_handoffs(CROWD, timeout_s=60)
        scale(fleet, 6)
        fleet.wait_handoffs(CROWD, timeout_s=60)
        scale(fleet, 2)
        fleet.wait_handoffs(200, timeout_s=60)
    proved(traces, fleet, tmp_path)


def test_the_operator_restarts_in_the_middle_of_a_change(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "restarted", shards=2, entities=CROWD) as fleet:
        fleet.kubectl("scale", "sf", fleet.name, "--replicas=4")
        until("a third pod", lambda: len(fleet.pods()) > 2, timeout_s=60, tell=fleet.tell)
        before = release.operator_pod()
        release.system("delete", "pod", before, "--wait=false")
        until("another operator", lambda: release.operator_pod() not in ("", before), timeout_s=90)
        fleet.wait_settled(4, entities=CROWD, timeout_s=PATIENCE_S)
    proved(traces, fleet, tmp_path)


def test_a_pod_deleted_by_hand_hands_its_entities_over(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "deleted", shards=3, entities=CROWD) as fleet:
        uid = fleet.pods()["deleted-1"]["metadata"]["uid"]
        fleet.kubectl("delete", "pod", "deleted-1", "--wait=false")
        until("the pod is gone", lambda: uid not in uids_of(fleet), timeout_s=150, tell=fleet.tell)
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
    proved(traces, fleet, tmp_path)


def test_a_killed_shard_recovers(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "killed", shards=3, entities=CROWD) as fleet:
        pod = fleet.pods()["killed-1"]
        traces.kill(pod["spec"]["nodeName"], "killed-1")
        until(
            "another pod of that shard",
            lambda: pod["metadata"]["uid"] not in uids_of(fleet) and "killed-1" in fleet.pods(),
            timeout_s=90,
            tell=fleet.tell,
        )
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
    proved(traces, fleet, tmp_path, bound_s=60, planned=False)


def test_a_drained_node_that_holds_the_operator_too(release: Release, traces: Traces, tmp_path: Path) -> None:
    """All of the node but Redis, whose volume may be bound to it."""
    with world(release, "drained", shards=4, entities=CROWD) as fleet:
        operator = release.operator_pod()
        node = release.system.json("get", "pod", operator)["spec"]["nodeName"]
        say(f"kubectl drain {node}, which holds {operator} and {sorted(on_node(fleet, node))}")
        try:
            selector = "app.kubernetes.io/name=shardfleet,app.kubernetes.io/component notin (redis)"
            words = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=270s")
            fleet.kubectl(*words, "--pod-selector", selector, timeout_s=300)
            assert not on_node(fleet, node)
            until("another operator", lambda: release.operator_pod() not in ("", operator), timeout_s=90)
            fleet.wait_settled(4, entities=CROWD, timeout_s=PATIENCE_S)
        finally:
            fleet.kubectl("uncordon", node)
    proved(traces, fleet, tmp_path)


def test_a_changed_template_is_rolled_shard_by_shard(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "rolled", shards=3, entities=CROWD) as fleet:
        before = uids_of(fleet)
        fleet.patch({"template": {"metadata": {"labels": {"example.com/color": "green"}}}})
        until("every pod is another one", lambda: not before & uids_of(fleet), timeout_s=PATIENCE_S, tell=fleet.tell)
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
        colors = {pod["metadata"]["labels"].get("example.com/color") for pod in fleet.pods().values()}
        assert colors == {"green"}
    proved(traces, fleet, tmp_path)


def uids_of(fleet: LiveFleet) -> set[str]:
    return {pod["metadata"]["uid"] for pod in fleet.pods().values()}


def on_node(fleet: LiveFleet, node: str) -> set[str]:
    return {name for name, pod in fleet.pods().items() if pod["spec"].get("nodeName") == node}
