"""What the watchdog finds, repairs and waits for is written as Events about its fleet."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from shardfleet_operator.kube import EVENTS, KubeObject
from shardfleet_shard.core.requests import Outcome
from shardfleet_shard.core.transfer import TransferId

from ..servers import RedisServer
from ..watchdog.world import S, T, World
from .bench import CLOCK, HollowBench
from .fake_cluster import fleet

SOON_US = 3_000_000
"""Until the switch: by then a test has written what the watchdog is to find, also on a busy machine."""
ENTITY = {7: 2}


@pytest.fixture
async def bench() -> AsyncIterator[HollowBench]:
    """Two shards, ``S`` on ``node-a`` and ``T`` on ``node-b``."""
    with RedisServer(tcp=True) as server:
        bench = HollowBench(server)
        try:
            bench.cluster.put(fleet())
            await bench.until(lambda: bench.is_settled(2))
            yield bench
        finally:
            await bench.fleets.close()
            await bench.hollow.close()
        assert not bench.failures


@pytest.fixture
async def world(bench: HollowBench) -> AsyncIterator[World]:
    """Writes transfers of these shards, which know nothing of them."""
    store = bench.store()
    await store.connect()
    await store.join()
    yield World(store, {name: hollow.epoch for name, hollow in bench.hollow.shards.items()})
    await store.close()


def events(bench: HollowBench, words: object) -> list[KubeObject]:
    return [body for body in bench.cluster.of_kind(EVENTS).values() if str(words) in body["message"]]


async def both_events(bench: HollowBench, transfer: TransferId) -> tuple[KubeObject, KubeObject]:
    """The verdict's and its end's."""
    await bench.until(lambda: len(events(bench, transfer)) == 2)
    verdict, end = sorted(events(bench, transfer), key=lambda body: body["type"], reverse=True)
    for body in (verdict, end):
        assert body["involvedObject"]["name"] == "arena" and body["metadata"]["namespace"] == "play"
        assert body["involvedObject"]["uid"] == bench.fleet()["metadata"]["uid"]
    assert (verdict["type"], end["type"]) == ("Warning", "Normal")
    return verdict, end


async def test_what_the_watchdog_repairs(bench: HollowBench, world: World) -> None:
    stalled = await world.begin(ENTITY, CLOCK.now_unix_us())
    verdict, end = await both_events(bench, stalled)
    assert (verdict["reason"], end["reason"]) == ("StalledTransfer", "TransferRepaired")
    assert "repaired (canceled)" in end["message"]

    left = await world.begin(ENTITY, CLOCK.now_unix_us() + SOON_US)
    await world.accept(left, ENTITY)
    await world.adopt(left)
    # By hand, for a script that takes the source out clears the record itself.
    await world.store.call([("SREM", f"{world.store.prefix}holders:{left}", S)])
    verdict, end = await both_events(bench, left)
    assert (verdict["reason"], end["reason"]) == ("ClearDue", "TransferRepaired")
    assert "repaired (cleared)" in end["message"]


async def test_what_the_watchdog_may_not_repair(bench: HollowBench, world: World) -> None:
    limbo, doubled = [await world.begin(ENTITY, CLOCK.now_unix_us() + SOON_US) for _ in range(2)]
    for transfer in (limbo, doubled):
        await world.accept(transfer, ENTITY)
    await world.release(limbo)
    await world.adopt(doubled)
    await bench.until(lambda: events(bench, limbo) and events(bench, doubled))
    assert await world.adopt(limbo) is await world.release(doubled) is Outcome.CLEARED
    verdict, end = await both_events(bench, limbo)
    assert (verdict["reason"], end["reason"]) == ("Limbo", "TransferResolved")
    verdict, end = await both_events(bench, doubled)
    assert (verdict["reason"], end["reason"]) == ("DualAuthority", "TransferResolved")


async def test_whose_recovery_the_watchdog_waits_for(bench: HollowBench, world: World) -> None:
    transfer = await world.begin(ENTITY, CLOCK.now_unix_us() + SOON_US)
    await world.accept(transfer, ENTITY)
    await world.release(transfer)
    bench.hollow.down.add("node-b")
    words = f"{T} has no lease, and transfers wait for its recovery"
    await bench.until(lambda: events(bench, words))
    (said,) = events(bench, words)
    assert (said["type"], said["reason"]) == ("Warning", "Watchdog")
