"""A node that is gone: its shards are taken over by their siblings, and others get their cells back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from shardfleet_operator.kube import EVENTS
from shardfleet_operator.plan import takeover

from ..servers import RedisServer
from .bench import HollowBench
from .fake_cluster import fleet
from .hollow_shards import SEEDED


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HollowBench]:
    """On ``node-a`` are the shards with even ordinals, on ``node-b`` the others."""
    monkeypatch.setattr(takeover, "TAKE_OVER_AFTER_US", 1_000_000)
    with RedisServer(tcp=True) as server:
        bench = HollowBench(server)
        try:
            yield bench
        finally:
            await bench.fleets.close()
            await bench.hollow.close()
        assert not bench.failures and not bench.hollow.removed_owners


def owned(bench: HollowBench, *ordinals: int) -> int:
    return sum(bench.hollow.owned.get(f"arena-{ordinal}", 0) for ordinal in ordinals)


async def test_shards_of_a_lost_node_are_taken_over_and_newcomers_get_cells(bench: HollowBench) -> None:
    bench.cluster.put(fleet(replicas=4))
    await bench.until(lambda: bench.is_settled(4) and owned(bench, 0) and owned(bench, 2))
    bench.hollow.down.add("node-a")
    bench.hollow.full = {"node-a", "node-b"}  # nobody can be started anew yet
    taints = [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}, "spec": {"taints": taints}}
    bench.fleets.take_node(node, gone=False)
    await bench.until(lambda: owned(bench, 1, 3) == SEEDED)

    def taken_over() -> list[str]:
        return [body["message"] for body in bench.cluster.of_kind(EVENTS).values() if body["reason"] == "TakenOver"]

    await bench.until(lambda: len(taken_over()) >= 2)
    said = taken_over()
    assert sorted(words.partition(":")[0] for words in said) == [
        "arena-1 takes over from arena-0",
        "arena-3 takes over from arena-2",
    ]
    assert all("no lease for" in words and "cannot run" in words for words in said)
    await bench.until(lambda: bench.has_said("Progressing", "scaling from 2 to 4 shards"))

    bench.hollow.full = {"node-a"}
    await bench.until(lambda: {"arena-4", "arena-5"} <= set(bench.pods))
    # Deleted, and on a node that cannot say that they ended: the cluster gives them up once the operator knows that.
    left = {"arena-0", "arena-2"} & set(bench.pods)
    await bench.until(lambda: all(name in bench.condition("Progressing").get("message", "") for name in left))
    for name in left:
        bench.cluster.remove(bench.pods[name])
    await bench.until(lambda: bench.is_settled(4))
    assert sum(bench.hollow.owned.values()) == SEEDED
