"""A cluster of this process, an operator's fleets in it, and a real Redis: what tests of the worker share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shardfleet_operator.cluster.fleets import Fleets
from shardfleet_operator.cluster.settings import OperatorSettings
from shardfleet_operator.kube import NODES, PODS, SHARD_FLEETS, KubeApi, KubeObject
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.system_clock import SystemClock

from tests.patience import PATIENCE_S

from ..servers import RedisServer
from .fake_cluster import FakeCluster
from .hollow_shards import HollowKubelet

CLOCK = SystemClock()


class Bench:
    """A cluster, an operator's fleets, and a Redis."""

    def __init__(self, folder: Path | None, server: RedisServer) -> None:
        self.cluster = FakeCluster(folder)
        self.server = server
        self.failures: list[BaseException] = []
        self.fleets = self.operator()

    def operator(self, api: KubeApi | None = None) -> Fleets:
        """Begins a (new) operator: it sees everything that is there, then what changes."""
        settings = OperatorSettings(image="shardfleet:test", redis_url=self.server.limited_url)
        fleets = Fleets(api or self.cluster, CLOCK, settings, on_failure=self.failures.append)
        self.cluster.listeners = [lambda event, body: take(fleets, event, body)]
        for body in sorted(self.cluster.objects.values(), key=lambda body: body["kind"] == SHARD_FLEETS.kind):
            take(fleets, "", body)
        return fleets

    def fleet(self, name: str = "arena") -> KubeObject:
        return self.cluster.of_kind(SHARD_FLEETS)[name]

    def condition(self, kind: str, name: str = "arena") -> dict[str, Any]:
        found = self.fleet(name).get("status", {}).get("conditions", [])
        return next((one for one in found if one["type"] == kind), {})

    def is_available(self, name: str = "arena") -> bool:
        return self.condition("Available", name).get("status") == "True"

    def reason(self, kind: str, name: str = "arena") -> str:
        return str(self.condition(kind, name).get("reason", ""))

    def is_settled(self, shards: int) -> bool:
        """All there as the spec says, and nothing on its way."""
        status = self.fleet().get("status", {})
        return (
            status.get("observedGeneration") == self.fleet()["metadata"]["generation"]
            and self.reason("Progressing") == "Settled"
            and status["readyReplicas"] == status["replicas"] == shards == len(self.cluster.of_kind(PODS))
        )

    async def until(self, true: Callable[[], Any]) -> None:
        """Waits, and says what the fleets looked like where it was in vain."""
        deadline_us = CLOCK.boottime_us() + round(PATIENCE_S * 1e6)
        while not true():
            assert not self.failures, self.failures
            assert CLOCK.boottime_us() < deadline_us, self._look()
            await asyncio.sleep(0.05)

    def _look(self) -> str:
        status = [body.get("status") for body in self.cluster.of_kind(SHARD_FLEETS).values()]
        pods = [(name, body.get("status")) for name, body in self.cluster.of_kind(PODS).items()]
        return f"in vain: {status} {pods}"

    def store(self, name: str = "arena", namespace: str = "play") -> RedisStore:
        return RedisStore(self.server.limited_url, f"{namespace}.{name}", timeout_s=10.0)


class HollowBench(Bench):
    """With shards that cost nothing, for what concerns the operator alone.

    Attributes:
        written: every ShardFleet object as it was after a change.
    """

    def __init__(self, server: RedisServer) -> None:
        self.written: list[KubeObject] = []
        super().__init__(None, server)
        self.hollow = HollowKubelet(self.cluster, server.limited_url)
        self.cluster.kubelet = self.hollow  # type: ignore[assignment]

    def operator(self, api: KubeApi | None = None) -> Fleets:
        fleets = super().operator(api)
        self.cluster.listeners.append(self._note)
        return fleets

    def has_said(self, kind: str, words: str) -> bool:
        """Whether a condition's message ever had these words: what passes may be over before one looks."""
        return any(
            one["type"] == kind and words in one["message"]
            for body in self.written
            for one in body.get("status", {}).get("conditions", ())
        )

    @property
    def pods(self) -> dict[str, KubeObject]:
        return self.cluster.of_kind(PODS)

    def _note(self, event: str, body: KubeObject) -> None:
        if body["kind"] == SHARD_FLEETS.kind and event:
            self.written.append(body)


def take(fleets: Fleets, event: str, body: KubeObject) -> None:
    if body["kind"] == SHARD_FLEETS.kind:
        fleets.take_fleet(body, gone=event == "DELETED")
    elif body["kind"] == NODES.kind:
        fleets.take_node(body, gone=event == "DELETED")
    else:
        fleets.take_object(body, gone=event == "DELETED")
