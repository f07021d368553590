"""Nodes that are about to go: their shards are moved while there is time, a surge at a time, or stay and say why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ..servers import RedisServer
from .bench import HollowBench
from .fake_cluster import fleet


class Nodes(HollowBench):
    """On ``node-a`` are the shards with even ordinals, on ``node-b`` the others."""

    def set_node(self, name: str, **spec: Any) -> None:
        """As ``kubectl cordon`` does, or an autoscaler."""
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}
        self.fleets.take_node(body, gone=False)
        self.hollow.full.add(name) if spec else self.hollow.full.discard(name)

    def nodes(self) -> dict[str, str]:
        return {name: body["spec"].get("nodeName", "") for name, body in self.pods.items()}


@pytest.fixture
async def bench() -> AsyncIterator[Nodes]:
    with RedisServer(tcp=True) as server:
        bench = Nodes(server)
        try:
            yield bench
        finally:
            await bench.fleets.close()
            await bench.hollow.close()
        assert not bench.failures and not bench.hollow.removed_owners


async def test_a_cordoned_nodes_shards_move_one_by_one_and_no_cell_is_ever_without_a_shard(bench: Nodes) -> None:
    bench.cluster.put(fleet(replicas=4))
    await bench.until(lambda: bench.is_settled(4))
    assert sorted(bench.nodes().values()) == ["node-a", "node-a", "node-b", "node-b"]
    most: list[int] = []
    bench.cluster.listeners.append(lambda event, body: most.append(len(bench.pods)))
    bench.hollow.fewest_claimed = 4
    bench.set_node("node-a", unschedulable=True)
    await bench.until(lambda: bench.has_said("Progressing", "node-a is cordoned"))
    await bench.until(lambda: set(bench.nodes().values()) == {"node-b"} and bench.is_settled(4))
    assert max(most) == 5, "more than maxSurge at once"
    assert bench.hollow.fewest_claimed >= 3, "more than the cell under way was without a shard"
    assert sum(bench.hollow.owned.values()) == 50


@pytest.mark.parametrize(
    ("spec", "moves"),
    [
        ({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}, True),
        ({"taints": [{"key": "dedicated", "value": "us", "effect": "NoSchedule"}]}, False),
    ],
)
async def test_a_shard_alone_leaves_a_node_that_is_marked_for_removal_alone(
    bench: Nodes, spec: dict[str, Any], moves: bool
) -> None:
    bench.cluster.put(fleet(replicas=1))
    await bench.until(lambda: bench.is_settled(1))
    bench.set_node("node-a", **spec)
    if moves:
        await bench.until(lambda: bench.nodes() == {"arena-1": "node-b"} and bench.is_settled(1))
    else:
        await asyncio.sleep(1.0)
        assert bench.nodes() == {"arena-0": "node-a"}
        await bench.until(lambda: bench.is_settled(1))


async def test_where_no_node_takes_the_newcomer_the_shard_goes_on_and_a_condition_says_what_to_do(
    bench: Nodes,
) -> None:
    bench.cluster.put(fleet(replicas=2))
    await bench.until(lambda: bench.is_settled(2))
    before = {name: body["metadata"]["uid"] for name, body in bench.pods.items()}
    bench.hollow.full = {"node-a", "node-b"}
    bench.set_node("node-a", unschedulable=True)
    await bench.until(lambda: bench.reason("Degraded") == "NoNodeForSurge")
    message = bench.condition("Degraded")["message"]
    assert "arena-2" in message and "arena-0 (node node-a is cordoned)" in message and "uncordon" in message
    assert "0/2 nodes are available" in message
    await asyncio.sleep(1.0)
    assert set(before) | {"arena-2"} == set(bench.pods)
    await bench.until(bench.is_available)

    bench.hollow.full.discard("node-b")
    bench.set_node("node-a")
    await bench.until(lambda: bench.is_settled(2) and bench.reason("Degraded") == "AsExpected")
    assert {name: body["metadata"]["uid"] for name, body in bench.pods.items()} == before
    assert bench.fleet()["status"]["layoutVersion"] == 1, "a cell was given away for nothing"
