"""What is kept of nodes: those that are about to go, and why."""

from __future__ import annotations

from typing import Any

import pytest
from shardfleet_operator.cluster.nodes import MAX_GONE, LeavingNodes


def node(**spec: Any) -> dict[str, Any]:
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": "worker-1", "labels": {"a": "b"}}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, ""),
        ({"unschedulable": True}, "is cordoned"),
        ({"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}, "karpenter.sh/disrupted"),
        ({"taints": [{"key": "aws-node-termination-handler/spot-itn", "effect": "NoExecute"}]}, "spot-itn"),
        # An autoscaler only considers it.
        ({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "PreferNoSchedule"}]}, ""),
        ({"taints": [{"key": "DeletionCandidateOfClusterAutoscaler", "effect": "PreferNoSchedule"}]}, ""),
        ({"taints": [{"key": "dedicated", "value": "games", "effect": "NoSchedule"}]}, ""),
    ],
)
def test_which_nodes_are_about_to_go(spec: dict[str, Any], reason: str) -> None:
    nodes = LeavingNodes()
    assert nodes.take(node(**spec), gone=False) == bool(reason)
    assert list(nodes.reasons) == (["worker-1"] if reason else [])
    assert reason in nodes.reasons.get("worker-1", "")


def test_only_news_are_news_and_nothing_is_left_of_a_node_that_stays_or_went() -> None:
    nodes = LeavingNodes()
    assert nodes.take(node(unschedulable=True), gone=False)
    assert not nodes.take(node(unschedulable=True), gone=False)
    assert nodes.take(node(), gone=False) and not nodes.reasons
    assert not nodes.take(node(), gone=False)
    nodes.take(node(unschedulable=True), gone=False)
    assert nodes.take(node(unschedulable=True), gone=True) and not nodes.reasons


def test_which_nodes_are_down() -> None:
    nodes = LeavingNodes()
    unreachable = node(taints=[{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}])
    assert nodes.take(unreachable, gone=False) and nodes.down == {"worker-1"} and not nodes.reasons
    assert not nodes.take(unreachable, gone=False)
    assert nodes.take(node(), gone=False) and not nodes.down
    assert nodes.take(node(), gone=True) and nodes.down == {"worker-1"}, "what is left of its pods is down with it"
    assert nodes.take(node(), gone=False) and not nodes.down


def test_of_deleted_nodes_only_the_newest_are_remembered() -> None:
    nodes = LeavingNodes()
    for number in range(MAX_GONE + 5):
        nodes.take({"metadata": {"name": f"n{number}"}}, gone=True)
    assert len(nodes.down) == MAX_GONE and "n4" not in nodes.down and "n5" in nodes.down
