"""The operator's benchmark without a cluster: its stand-in shards are a fleet to Redis, and it counts right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from shardfleet_operator.cluster.pods import PodFacts
from shardfleet_operator.local.world import World, all_claimed
from shardfleet_operator.plan import first_layout
from shardfleet_operator.surroundings import claims_of
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.requests import Ended
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.system_clock import SystemClock

from tests.integration.servers import RedisServer
from tests.patience import PATIENCE_S
from tests.performance.operator_bench import observer
from tests.performance.operator_bench.driver import FleetOfShards
from tests.performance.operator_bench.shards import Pace

CONFIG = FleetConfig(name="arena", replicas=4)
PACE = Pace(lease_us=20_000_000, publish_us=50_000)
CLOCK = SystemClock()


def pod(ordinal: int, *, life: int = 1, **changes: Any) -> PodFacts:
    return PodFacts(
        name=f"arena-{ordinal}", namespace="", fleet="arena", ordinal=ordinal, uid=f"{ordinal}-{life}", version=life,
        address=f"198.18.0.{ordinal + 1}", started_us=CLOCK.now_unix_us(), **changes,
    )  # fmt: skip


@pytest.fixture
def url() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


@pytest.fixture
async def world(url: str) -> AsyncIterator[World]:
    """As the operator sees it; its layout is written."""
    store = RedisStore(url, "arena", timeout_s=10.0)
    await store.connect()
    await store.join()
    world = World(store, CONFIG, CLOCK, owned=False)
    await world.admin.write_layout(first_layout(CONFIG))
    yield world
    await store.close()


@pytest.fixture
async def shards(url: str) -> AsyncIterator[FleetOfShards]:
    store = RedisStore(url, "arena", timeout_s=10.0, connections=1)
    yield FleetOfShards(store, CLOCK, PACE, entities_per_cell=3)
    await store.close()


async def turn_until_counted(shards: FleetOfShards, world: World) -> None:
    """Until every entity is in the manifest of one shard."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await shards.turn()
            census = await world.count()
            if census.expected and census.owned == census.expected:
                return
            await asyncio.sleep(0.05)


async def test_stand_in_shards_are_a_fleet_to_the_operator(world: World, shards: FleetOfShards) -> None:
    for ordinal in range(4):
        shards.take_pod(pod(ordinal), gone=False)
    await turn_until_counted(shards, world)
    observed = await world.observe()
    assert all_claimed(observed)
    world_shards = [member.shard for member in observed.members]
    assert sorted(claims_of(observed).values()) == [f"arena-{ordinal}" for ordinal in range(4)]
    assert (await world.count()).expected == 12
    async with asyncio.timeout(PATIENCE_S):
        while {header["stats"]["state"] for header in await world.headers(world_shards)} != {"active"}:
            await shards.turn()
            await asyncio.sleep(0.05)
    assert next(member.address for member in observed.members) == "198.18.0.1:7000"


async def test_a_stand_in_that_was_killed_recovers_what_it_had(world: World, shards: FleetOfShards) -> None:
    for ordinal in range(4):
        shards.take_pod(pod(ordinal), gone=False)
    await turn_until_counted(shards, world)
    before = next(one for one in (await world.observe()).members if one.shard == "arena-2")
    shards.take_pod(pod(2, ended=True), gone=False)
    assert "arena-2" not in shards.shards
    await world.store.execute([Ended(shard="arena-2", epoch=before.epoch)])  # as the operator does
    shards.take_pod(pod(2, life=2), gone=False)
    async with asyncio.timeout(PATIENCE_S):
        while not all_claimed(await world.observe()):
            await shards.turn()
            await asyncio.sleep(0.05)
    after = next(one for one in (await world.observe()).members if one.shard == "arena-2")
    assert after.epoch > before.epoch
    await turn_until_counted(shards, world)
    assert (await world.count()).expected == 12


async def test_stand_ins_that_are_told_to_end_resign(world: World, shards: FleetOfShards) -> None:
    for ordinal in range(4):
        shards.take_pod(pod(ordinal), gone=False)
    await turn_until_counted(shards, world)
    await world.admin.set_phase("settle")
    async with asyncio.timeout(PATIENCE_S):
        while (await world.observe()).members:
            await shards.turn()
            await asyncio.sleep(0.05)
    assert not (await world.observe()).claims
    census = await world.count()
    assert (census.owned, len(census.missing)) == (12, 0)


def test_writes_are_counted_from_the_apiservers_metrics() -> None:
    text = """# TYPE apiserver_request_total counter
apiserver_request_total{code="201",group="",resource="pods",scope="resource",subresource="",verb="APPLY"} 40
apiserver_request_total{code="409",group="",resource="pods",scope="resource",subresource="",verb="APPLY"} 2
apiserver_request_total{code="200",group="",resource="pods",scope="resource",subresource="status",verb="PATCH"} 80
apiserver_request_total{code="200",group="",resource="pods",scope="cluster",subresource="",verb="LIST",version="v1"} 7
"""
    counts = observer.request_counts(text)
    assert counts == {("apply", "pods"): 42, ("patch", "pods/status"): 80, ("list", "pods"): 7}
    assert observer.writes(counts) == 122


def audit_line(second: float, verb: str, uri: str) -> str:
    return json.dumps(
        {
            "verb": verb,
            "requestURI": uri,
            "requestReceivedTimestamp": f"2026-01-01T00:{int(second) // 60:02}:{second % 60:09.6f}Z",
            "objectRef": {"resource": "pods"},
            "responseStatus": {"code": 200},
        }
    )


def test_a_list_that_no_resync_explains_is_an_events(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    arena, other = "/api/v1/namespaces/a/pods?labelSelector=arena", "/api/v1/namespaces/a/pods?labelSelector=other"
    seconds = [
        ("list", 1, arena),
        ("list", 130, arena),
        ("list", 140, other),
        ("list", 200, arena),
        ("get", 201, arena),
    ]
    log.write_text("\n".join(audit_line(second, verb, uri) for verb, second, uri in seconds) + "\n")
    calls = list(observer.read_calls(log))
    born_s = calls[0].at_s - 1
    lists = observer.lists_between(calls, born_s, born_s + 1_000, born_s)
    # At 1 s nothing was due yet, at 200 s not again.
    assert lists == observer.Lists(resyncs=2, others=2)
    assert observer.lists_between(calls, born_s + 100, born_s + 150, born_s) == observer.Lists(resyncs=2, others=0)
    assert observer.by_kind(calls, born_s, born_s + 1_000)["list", "pods"] == 4
