"""What is known of one fleet at this moment: written by those who look and act, read by who makes the status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.requests import Observed
from shardfleet_shard.errors import ShardfleetError, SpecError, StoreRefused, StoreUnavailable

from ..kube import ApiError
from .conditions import Problem
from .figures import FleetFigures
from .nodes import LeavingNodes
from .ownership import ForeignObject
from .pods import FleetPods, PodFacts
from .redis_link import NoRedis
from .spec import FleetSpec


@dataclass(slots=True)
class Situation:
    """Of one fleet.

    Attributes:
        body: the ShardFleet object as it is.
        nodes: of the whole cluster.
        spec: as it was read last; a spec that cannot be read leaves the former one here.
        observed: what Redis said at the last look; None where it did not answer.
        layout: the last one that was seen.
        problems: what the last look met, worst first.
        misfits: shards that cannot join, for their simulation has other columns than the fleet's entities.
        changing: what is being changed, such as 'rolling out'; '' where nothing is.
    """

    body: Mapping[str, Any]
    nodes: LeavingNodes = field(default_factory=LeavingNodes)
    pods: FleetPods = field(default_factory=FleetPods)
    figures: FleetFigures = field(default_factory=FleetFigures)
    spec: FleetSpec | None = None
    observed: Observed | None = None
    layout: Layout | None = None
    problems: list[Problem] = field(default_factory=list)
    misfits: list[PodFacts] = field(default_factory=list)
    changing: str = ""

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @property
    def generation(self) -> int:
        return int(self.body["metadata"].get("generation", 0))

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self.body["metadata"]

    @property
    def leaving(self) -> dict[str, str]:
        """Shards on nodes that are about to go, by ordinal: 'node worker-1 is cordoned'."""
        reasons, pods = self.nodes.reasons, self.pods.pods.values()
        there = sorted((pod for pod in pods if pod.node in reasons and not pod.ended), key=lambda pod: pod.ordinal)
        return {pod.name: f"node {pod.node} {reasons[pod.node]}" for pod in there}

    @property
    def stranded(self) -> frozenset[str]:
        """Shards whose pods are on nodes that are down or gone."""
        return frozenset(pod.name for pod in self.pods.pods.values() if pod.node in self.nodes.down and not pod.ended)

    @property
    def unplaced(self) -> frozenset[str]:
        """Shards whose pods do not start, as the scheduler or the kubelet say."""
        return frozenset(pod.name for pod in self.pods.pods.values() if pod.waiting and not (pod.began or pod.ended))

    @property
    def cells(self) -> int:
        return len(self.layout.cells) if self.layout is not None else 0

    @property
    def claimed(self) -> int:
        """How many cells a living shard has claimed."""
        if self.observed is None or self.layout is None:
            return 0
        living, claims = self.living, self.observed.claims
        return sum(path in claims and claims[path][0] in living for path in self.layout.by_path)

    @property
    def living(self) -> set[str]:
        """Shards that hold their lease."""
        members = self.observed.members if self.observed is not None else ()
        return {member.shard for member in members if member.living}


def problem_of(error: ShardfleetError) -> Problem:
    """What stopped a look, for the conditions."""
    match error:
        case StoreRefused():
            return Problem(reason="RedisRefused", message=str(error))
        case StoreUnavailable():
            return Problem(reason="RedisUnavailable", message=str(error))
        case NoRedis():
            return Problem(reason="NoRedis", message=str(error))
        case ForeignObject():
            return Problem(reason="NameTaken", message=str(error))
        case ApiError():
            return Problem(reason="ApiUnavailable" if error.retryable else "ApiRefused", message=str(error))
        case SpecError():
            return Problem(reason="InvalidSpec", message=str(error))
        case _:
            return Problem(reason="Error", message=f"{error.code}: {error}")
