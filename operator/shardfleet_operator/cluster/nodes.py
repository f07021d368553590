"""Which nodes are about to go: all that is kept of a cluster's nodes. Pure.

A node that is cordoned, or marked for removal by whoever manages the nodes, will lose its pods soon: by an eviction,
or without a word, as a spot node does. Shards leave it while there is time. A node that is down is another matter: its
pods are known to have ended only once the cluster says so.
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

_KEEPS_PODS = "PreferNoSchedule"
"""An effect that only advises; autoscalers mark with it what they merely consider."""


@dataclass(slots=True)
class LeavingNodes:
    """Nodes that are about to go, by name, with the reason for people; no other node leaves anything here."""

    reasons: dict[str, str] = field(default_factory=dict)

    def take(self, body: Mapping[str, Any], *, gone: bool) -> bool:
        """A Node as it is, or as it last was. Returns whether that says something new."""
        name = str(body["metadata"]["name"])
        before = self.reasons.pop(name, "")
        reason = "" if gone else _reason(body.get("spec") or {})
        if reason:
            self.reasons[name] = reason
        return reason != before


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
