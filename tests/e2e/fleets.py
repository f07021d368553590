"""One fleet as its users see it: its resource, its status, its pods."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .kubectl import Kubectl, say, until

FLEET_LABEL = "shardfleet.dev/fleet"


def fleet(name: str, **spec: Any) -> dict[str, Any]:
    """The resource, in the terms of its own fields."""
    return {"apiVersion": "shardfleet.dev/v1alpha1", "kind": "ShardFleet", "metadata": {"name": name}, "spec": spec}


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFleet:
    """A fleet in the cluster."""

    kubectl: Kubectl
    name: str

    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kubectl.json("get", "sf", self.name)
        return found

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body().get("status") or {}
        return found

    def condition(self, kind: str) -> Mapping[str, Any]:
        return condition(self.status(), kind)

    def pods(self) -> dict[str, dict[str, Any]]:
        found = self.kubectl.items("pods", "-l", f"{FLEET_LABEL}={self.name}")
        return {pod["metadata"]["name"]: pod for pod in found}

    def uids(self) -> set[str]:
        """Of its pods."""
        return {pod["metadata"]["uid"] for pod in self.pods().values()}

    def on_node(self, node: str) -> set[str]:
        """Names of its pods there."""
        return {name for name, pod in self.pods().items() if pod["spec"].get("nodeName") == node}

    def scale(self, replicas: int, *, entities: int, timeout_s: float) -> None:
        """``kubectl scale``, and until that is done."""
        say(f"kubectl scale sf {self.name} --replicas={replicas}")
        self.kubectl("scale", "sf", self.name, f"--replicas={replicas}")
        self.wait_settled(replicas, entities=entities, timeout_s=timeout_s)

    def patch(self, spec: Mapping[str, Any]) -> None:
        self.kubectl("patch", "sf", self.name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def tell(self) -> str:
        """One line of where it stands, for a test that waits."""
        status = self.status()
        said = {
            one["type"]: f"{one['status']}/{one['reason']}: {one['message'][:120]}"
            for one in status.get("conditions") or ()
            if one["type"] in ("Available", "Progressing", "Degraded", "TransfersHealthy")
        }
        shards = " ".join(f"{one['name']}={one['entities']}{one['state'][:5]}" for one in status.get("shards") or ())
        return f"{shards}; {status.get('entities')}; {said}"

    def wait(self, what: str, is_so: Callable[[dict[str, Any]], bool], *, timeout_s: float) -> dict[str, Any]:
        """The first status that fits."""

        def look() -> dict[str, Any] | None:
            status = self.status()
            return status if is_so(status) else None

        return until(f"{self.name} {what}", look, timeout_s=timeout_s, tell=self.tell)

    def wait_settled(self, shards: int, *, entities: int, timeout_s: float) -> dict[str, Any]:
        """Available at that size, its change finished, no entity missing or doubled, and no pod on its way.

        Not that each is owned at this very moment: of thousands some are always between two shards' manifests.
        """
        generation = self.body()["metadata"]["generation"]

        def is_settled(status: dict[str, Any]) -> bool:
            census = status.get("entities") or {}
            return (
                status.get("observedGeneration") == generation
                and condition(status, "Available")["status"] == "True"
                and condition(status, "Progressing")["status"] == "False"
                and len(status["shards"]) == shards
                and all(one["cell"] for one in status["shards"])
                and status["readyReplicas"] == shards
                and (census.get("expected"), census.get("missing"), census.get("doubled")) == (entities, 0, 0)
            )

        return self.wait(f"settled with {shards} shards", is_settled, timeout_s=timeout_s)

    def wait_handoffs(self, count: int, *, timeout_s: float) -> None:
        """Until so many entities more were handed over."""
        before = (self.status().get("transfers") or {}).get("completed", 0)
        self.wait(
            f"handed {count} entities over",
            lambda status: (status.get("transfers") or {}).get("completed", 0) >= before + count,
            timeout_s=timeout_s,
        )

    def delete(self, *, timeout_s: float) -> float:
        """The seconds that it took."""
        began = time.monotonic()
        words = ("delete", "sf", self.name, "--ignore-not-found", f"--timeout={timeout_s:.0f}s")
        self.kubectl(*words, timeout_s=timeout_s + 10)
        return time.monotonic() - began


def condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """An empty one while the operator has not said anything."""
    for one in status.get("conditions") or ():
        if one["type"] == kind:
            return dict(one)
    return {"type": kind, "status": "", "reason": "", "message": ""}
