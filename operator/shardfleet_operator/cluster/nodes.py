"""Which nodes are about to go, and which are down: all that is kept of a cluster's nodes. Pure.

A node that is cordoned, or marked for removal by whoever manages the nodes, will lose its pods soon: by an eviction,
or without a word, as a spot node does. Shards leave it while there is time. A node that is down is another matter: its
pods are known to have ended only once the cluster says so, but no shard there is waited for long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LEAVING_TAINTS = frozenset(
    {
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",
        "cloud.google.com/impending-node-termination",
        "aws-node-termination-handler/spot-itn",
        "aws-node-termination-handler/scheduled-maintenance",
        "aws-node-termination-handler/asg-lifecycle-termination",
        "aws-node-termination-handler/rebalance-recommendation",
    }
)
"""Set by autoscalers and by clouds on nodes that they are about to take away."""

DOWN_TAINTS = frozenset({"node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"})
"""Set by the cluster on nodes whose kubelet it does not hear of, or that say so themselves."""
MAX_GONE = 1_000
"""Nodes that were deleted are remembered for the pods that are left of them, the newest of them."""

_KEEPS_PODS = "PreferNoSchedule"
"""An effect that only advises; autoscalers mark with it what they merely consider."""


@dataclass(slots=True)
class LeavingNodes:
    """Nodes that are about to go, by name, with the reason for people, and those that are down or gone; no other node
    leaves anything here."""

    reasons: dict[str, str] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    _gone: dict[str, None] = field(default_factory=dict)

    def take(self, body: Mapping[str, Any], *, gone: bool) -> bool:
        """A Node as it is, or as it last was. Returns whether that says something new."""
        name, spec = str(body["metadata"]["name"]), body.get("spec") or {}
        before = self.reasons.pop(name, ""), name in self.down
        reason = "" if gone else _reason(spec)
        if reason:
            self.reasons[name] = reason
        self.down.discard(name)
        self._gone.pop(name, None)
        if gone:
            self._remember(name)
        if gone or any(taint.get("key") in DOWN_TAINTS for taint in spec.get("taints") or ()):
            self.down.add(name)
        return (reason, name in self.down) != before

    def _remember(self, name: str) -> None:
        self._gone[name] = None
        if len(self._gone) > MAX_GONE:
            oldest = next(iter(self._gone))
            del self._gone[oldest]
            self.down.discard(oldest)


def _reason(spec: Mapping[str, Any]) -> str:
    """'' for a node that stays."""
    if spec.get("unschedulable"):
        return "is cordoned"
    keys = sorted(
        str(taint.get("key"))
        for taint in spec.get("taints") or ()
        if taint.get("key") in LEAVING_TAINTS and taint.get("effect") != _KEEPS_PODS
    )
    return f"is about to go ({', '.join(keys)})" if keys else ""
