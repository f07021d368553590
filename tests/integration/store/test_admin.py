"""FleetAdmin and HandoffTransferManifest on real servers."""

from __future__ import annotations

import numpy as np
import pytest
from shardfleet_shard.core.layout import INFINITY, Cell, Layout
from shardfleet_shard.core.requests import Adopted, Elect, Elected, Observe, Observed
from shardfleet_shard.core.spawn_requests import Seed
from shardfleet_shard.errors import StoreError
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.handoff_transfer_manifest import HandoffTransferManifest
from shardfleet_shard.store.redis_store import RedisStore

from tests.integration.servers import RedisServer

from .fleet import START_US, TOO_LARGE_TO_INLINE, A, B, Fleet


def layout(version: int, shard: str = A) -> Layout:
    return Layout(version, (Cell("", shard, (-INFINITY, -INFINITY), (INFINITY, INFINITY)),))


async def test_layout_versions_rise(admin: FleetAdmin) -> None:
    assert await admin.read_layout() is None
    await admin.write_layout(layout(9))
    await admin.write_layout(layout(9))  # an answer that was lost
    for stale in (layout(9, B), layout(8)):
        with pytest.raises(StoreError, match="not above the stored 9"):
            await admin.write_layout(stale)
    await admin.write_layout(layout(10, B))
    assert await admin.read_layout() == layout(10, B)


async def test_phase(store: RedisStore, admin: FleetAdmin) -> None:
    assert await admin.phase() == "run"
    await admin.set_phase("settle")
    (observed,) = await store.execute([Observe()])
    assert isinstance(observed, Observed)
    assert observed.phase == await admin.phase() == "settle"


async def test_shift_origin(store: RedisStore, admin: FleetAdmin) -> None:
    with pytest.raises(StoreError, match="no seed yet"):
        await admin.shift_origin(5, from_tick=100)
    fleet = await Fleet.start(store)
    await fleet.ask(Elect(**fleet.me(A), ttl_ms=60_000), Elected)
    await fleet.done(Seed(**fleet.me(A), origin_tick=35_800_000_000, groups=()))
    assert (await fleet.ask(Observe(), Observed)).rests == ()
    assert await admin.shift_origin(1_000, from_tick=35_800_002_000) == 35_800_001_000
    observed = await fleet.ask(Observe(), Observed)
    assert (observed.origin_tick, observed.rests) == (35_800_001_000, ((35_800_002_000, 35_800_000_000),))
    for number in range(1, 21):
        await admin.shift_origin(5, from_tick=35_800_002_000 + 10 * number)
    observed = await fleet.ask(Observe(), Observed)
    assert observed.origin_tick == 35_800_001_100
    assert len(observed.rests) == 16
    assert observed.rests[-1] == (35_800_002_200, 35_800_001_095)


async def test_counting(store: RedisStore, admin: FleetAdmin) -> None:
    assert await admin.counters() == dict.fromkeys(await admin.counters(), 0)
    assert (await admin.living_ids()).tolist() == []
    fleet = await Fleet.start(store)
    rng = np.random.default_rng(5)
    ids = np.unique(np.concatenate([rng.integers(0, 2**64, 50, np.uint64), np.arange(1000, 1400, dtype=np.uint64)]))
    await fleet.done(fleet.spawn(B, *ids.tolist()))
    living = await admin.living_ids()
    assert living.dtype == np.uint64
    assert np.array_equal(living, ids)
    assert await admin.entities_expected() == len(ids)
    assert await admin.shards() == [A, B]


async def test_commandstats(store: RedisStore, admin: FleetAdmin) -> None:
    before = (await admin.commandstats())["evalsha"]
    await store.execute([Observe(), Observe()])
    after = (await admin.commandstats())["evalsha"]
    assert after.calls - before.calls == 2
    assert (await admin.server_info()).run_id == store.generation


async def test_fleets_are_deleted_apart(server: RedisServer, store: RedisStore, admin: FleetAdmin) -> None:
    other = RedisStore(server.limited_url, f"{store.fleet}-b", timeout_s=10.0)
    await other.connect()
    await other.join()
    fleet = await Fleet.start(store)
    begin = fleet.begin()
    await store.execute(
        [begin, fleet.accept(begin), fleet.spawn(A, 4), fleet.publish(A, 1, chunks=TOO_LARGE_TO_INLINE)]
    )
    await store.call([("SET", f"{store.prefix}note:{n}", "x") for n in range(1500)])
    assert {store.fleet, other.fleet} <= set(await admin.fleets())
    assert await admin.delete_fleet() > 1500
    assert (await store.call([("KEYS", f"{store.prefix}*")]))[0] == []
    assert not await admin.exists()
    assert await FleetAdmin(other).exists()
    assert store.fleet not in await admin.fleets()
    assert await admin.delete_fleet() == 0
    await FleetAdmin(other).delete_fleet()
    await other.close()


async def test_a_shard_called_meta_is_no_fleet(store: RedisStore, admin: FleetAdmin) -> None:
    await store.call([("SET", f"{store.prefix}lease:meta", "1", "PX", 1000)])
    assert all(":" not in name for name in await admin.fleets())


async def test_transfer_manifest(store: RedisStore) -> None:
    fleet = await Fleet.start(store)
    later, first = fleet.begin(2, ids=(1, 2**63 + 5)), fleet.begin(1, ids=(9,))
    await store.execute([later, first, fleet.accept(first), Adopted(**fleet.me(B), transfer=first.transfer)])
    manifest = HandoffTransferManifest(store)
    one, two = await manifest.active()
    assert (one.id, one.source, one.target, one.state) == (first.transfer, A, B, "accepted")
    assert (one.source_epoch, one.target_epoch) == (fleet.epochs[A], fleet.epochs[B])
    assert one.holders == {A, B}
    assert (two.id, two.state, two.transfer_time_us, two.switch_tick) == (later.transfer, "started", START_US + 2, 100)
    assert (two.count, two.cell, two.ids.tolist(), two.versions.tolist()) == (2, "10", [1, 2**63 + 5], [2, 2])
    assert two.holders == {A}
    assert [t.id for t in await manifest.active(through_us=START_US + 1)] == [first.transfer]
    assert [t.id for t in await manifest.active(limit=1)] == [first.transfer]
    assert await manifest.holders(2**63 + 5) == {A}
    assert await manifest.holders(77) is None
