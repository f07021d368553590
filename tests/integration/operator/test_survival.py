"""What the operator lives through: an API server that goes away in the middle of something, refuses for a while, or is
asked by another operator after each single write. The end is the same, and no shard is ended that owns something.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from shardfleet_operator.kube import EVENTS, PODS, SHARD_FLEETS, ApiError, Kind, KubeObject

from ..servers import RedisServer
from .bench import HollowBench
from .fake_cluster import fleet

AWAY_S = 2.5


@pytest.fixture
async def bench() -> AsyncIterator[HollowBench]:
    with RedisServer(tcp=True) as server:
        bench = HollowBench(server)
        try:
            yield bench
        finally:
            await bench.fleets.close()
            await bench.hollow.close()
        assert not bench.failures


def false_alarms(bench: HollowBench) -> set[str]:
    """What the condition Degraded ever said of the API server, by all statuses that were written."""
    said = {
        one["reason"]
        for body in bench.written
        for one in body.get("status", {}).get("conditions", ())
        if one["type"] == "Degraded"
    }
    assert "AsExpected" in said
    return said - {"AsExpected", "RedisUnavailable"}  # a busy machine's Redis needs longer than a second at times


@pytest.mark.parametrize("change", ["scale", "roll", "delete"])
async def test_the_api_server_goes_away_in_the_middle_of_a_change(bench: HollowBench, change: str) -> None:
    bench.cluster.put(fleet(replicas=3))
    await bench.until(lambda: bench.is_settled(3))
    match change:
        case "scale":
            bench.cluster.put(fleet(replicas=5))
            await bench.until(lambda: len(bench.cluster.of_kind(PODS)) > 3)
        case "roll":
            bench.cluster.put(fleet(replicas=3, template={"metadata": {"labels": {"team": "blue"}}}))
            await bench.until(lambda: len(bench.cluster.of_kind(PODS)) > 3)
        case "delete":
            bench.cluster.delete_now(bench.fleet())
            # A pod that ends may be gone between two looks.
            await bench.until(
                lambda: (
                    len(bench.pods) < 3 or any("deletionTimestamp" in pod["metadata"] for pod in bench.pods.values())
                )
            )
    bench.cluster.away = True
    # A shard that is just beginning has no epoch yet, and gets one while the API server is away.
    epochs = {name: hollow.epoch for name, hollow in bench.hollow.shards.items() if hollow.epoch}
    assert len(epochs) >= 3 or change == "delete"
    await asyncio.sleep(AWAY_S)
    if change != "delete":
        assert epochs.items() <= {name: hollow.epoch for name, hollow in bench.hollow.shards.items()}.items()
        assert sum(bench.hollow.owned.values()) == 50
    if change == "roll":  # whose next steps are calls, which tell the operator that it lost touch
        gone = bench.cluster.objects["ConfigMap", "play", "arena-config"]
        bench.cluster.remove(gone)  # and no event tells of it
    bench.cluster.come_back()
    match change:
        case "scale":
            await bench.until(lambda: bench.is_settled(5))
        case "roll":
            await bench.until(
                lambda: bench.is_settled(3) and all("team" in pod["metadata"]["labels"] for pod in bench.pods.values())
            )
        case "delete":
            await bench.until(lambda: not bench.cluster.of_kind(SHARD_FLEETS) and not bench.pods)
    assert not false_alarms(bench)
    if change != "delete":
        assert ("ConfigMap", "play", "arena-config") in bench.cluster.objects
        assert not bench.hollow.removed_owners


@pytest.mark.parametrize(("status", "reason"), [(409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError")])
async def test_what_the_api_server_asks_to_try_again_is_tried_again_and_is_no_trouble(
    bench: HollowBench, status: int, reason: str
) -> None:
    turns = itertools.count()

    def refuse(verb: str, kind: Kind) -> None:
        if kind is not EVENTS and next(turns) % 5 == 1:
            raise ApiError(verb, status=status, reason=reason, message="not now")

    bench.cluster.before_call = refuse
    bench.cluster.put(fleet(replicas=2))
    await bench.until(lambda: bench.is_settled(2))
    bench.cluster.put(fleet(replicas=3))
    await bench.until(lambda: bench.is_settled(3))
    assert not false_alarms(bench) and not bench.hollow.removed_owners


class OneWrite:
    """An API server to an operator that dies with its first write: it is carried out, and no answer comes back.

    A write that changes nothing does not count: a new operator begins with some of those.
    """

    def __init__(self, bench: HollowBench) -> None:
        self._cluster = bench.cluster
        self.written = asyncio.Event()
        self.what = ""

    async def get(self, kind: Kind, namespace: str, name: str) -> KubeObject | None:
        await self._die()
        return await self._cluster.get(kind, namespace, name)

    async def list(self, kind: Kind, namespace: str, *, labels: str = "") -> list[KubeObject]:
        await self._die()
        return await self._cluster.list(kind, namespace, labels=labels)

    async def create(self, body: KubeObject) -> KubeObject:
        return await self._write("create", self._cluster.create(body), body["kind"])

    async def apply(self, body: KubeObject) -> KubeObject:
        return await self._write("apply", self._cluster.apply(body), body["kind"])

    async def merge(
        self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str = ""
    ) -> KubeObject:
        call = self._cluster.merge(kind, namespace, name, patch, subresource=subresource)
        return await self._write(f"merge {subresource}", call, kind.kind)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str = "") -> KubeObject | None:
        return await self._write("delete", self._cluster.delete(kind, namespace, name, uid=uid), kind.kind)

    async def _write(self, verb: str, call: Any, kind: str) -> Any:
        if self.written.is_set():
            call.close()
            await self._die()
        before = self._cluster.changes
        answer = await call
        if self._cluster.changes != before:
            self.written.set()
            self.what = f"{verb} {kind}"
            await self._die()
        return answer

    async def _die(self) -> None:
        if self.written.is_set():
            await asyncio.Event().wait()


async def test_an_operator_that_dies_after_each_single_write_comes_to_the_same_end(bench: HollowBench) -> None:
    lives: list[str] = []

    async def live_until(true: Any) -> None:
        """Operators follow one another, a write each."""
        while not true():
            await bench.fleets.close()
            api = OneWrite(bench)
            bench.fleets = bench.operator(api)
            for _ in range(400):
                await asyncio.sleep(0.02)
                if api.written.is_set() or true():
                    break
            lives.append(api.what)
            assert len(lives) < 300, lives[-20:]
        await bench.fleets.close()

    bench.cluster.put(fleet(replicas=2))
    await live_until(lambda: bench.is_settled(2))
    bench.cluster.put(fleet(replicas=4))
    await live_until(lambda: bench.is_settled(4))
    assert sorted(bench.pods) == ["arena-0", "arena-1", "arena-2", "arena-3"]
    bench.cluster.put(fleet(replicas=2))
    await live_until(lambda: bench.is_settled(2))
    assert not bench.hollow.removed_owners and sum(bench.hollow.owned.values()) == 50
    assert {shard for shard, count in bench.hollow.owned.items() if count} == set(bench.pods)
    assert {"apply Pod", "apply Secret", "delete Pod", "merge status ShardFleet", "merge  ShardFleet"} <= set(lives)
    assert not false_alarms(bench)
    assert not [verb for verb, _ in bench.cluster.calls if verb == "list"], "an operator listed because of an event"

    bench.cluster.delete_now(bench.fleet())
    await live_until(lambda: not bench.cluster.of_kind(SHARD_FLEETS))
    assert not bench.pods
