"""A fleet's copy, out of one Redis and into another."""

from __future__ import annotations

import pytest
from shardfleet_shard.core.requests import Joined, Recover, Recovered
from shardfleet_shard.errors import StoreError, UsageError
from shardfleet_shard.store.fleet_copy import put_copy, refuse_to_overwrite, take_copy
from shardfleet_shard.store.redis_store import RedisStore

from tests.integration.servers import RedisServer
from tests.integration.watchdog.world import S, T, world

from .dump import dump_redis

PROCESSES = ("lease", "claims", "members", "schema_of", "election", "link")
"""What belongs to the processes that ran, and does not come back."""


async def test_all_but_the_processes_comes_back(server: RedisServer) -> None:
    async with world(server.url, "arena") as fleet:
        await fleet.spawn(S, {1: 1, 2: 1, 2**64 - 1: 1})
        await fleet.publish(S, {1: 1, 2: 1, 2**64 - 1: 1})
        await fleet.publish(T, {})
        accepted = await fleet.begin({1: 2}, 1_000)
        await fleet.accept(accepted, {1: 2})
        await fleet.begin({2: 2}, 2_000)
        before = await dump_redis(fleet.store, {S: {}, T: {}})
        copy = await take_copy(fleet.store)
        with pytest.raises(UsageError, match="lives: arena-0 holds its lease"):
            await refuse_to_overwrite(fleet.store, replace=True)
        await fleet.store.call([("DEL", *(f"{fleet.store.prefix}lease:{shard}" for shard in (S, T)))])
        with pytest.raises(UsageError, match="--replace gives it up"):
            await refuse_to_overwrite(fleet.store, replace=False)
        await refuse_to_overwrite(fleet.store, replace=True)

        await put_copy(fleet.store, copy)
        after = await dump_redis(fleet.store, {S: {}, T: {}})
        kept = {name: value for name, value in before.items() if name.split(":")[0] not in PROCESSES}
        assert {name: value for name, value in after.items() if name != "meta"} == {
            name: value for name, value in kept.items() if name != "meta"
        }
        assert after["meta"] == {**before["meta"], "phase": "run", "generation": fleet.store.generation}


async def test_a_restored_fleet_is_recovered_as_after_a_crash(server: RedisServer) -> None:
    async with world(server.url, "castle") as fleet:
        await fleet.spawn(S, {1: 1})
        transfer = await fleet.begin({1: 2}, 1_000)
        await fleet.accept(transfer, {1: 2})
        copy = await take_copy(fleet.store)
        await fleet.store.call([("HSET", f"{fleet.store.prefix}meta", "generation", "another")])
        await put_copy(fleet.store, copy)
        store = RedisStore(server.url, "castle", timeout_s=10.0)
        await store.connect()
        joined = await store.join()
        assert isinstance(joined, Joined) and joined.stored == joined.generation  # no roll-call, no reopening
        (reply,) = await store.execute([Recover(shard=T, ordinal=1, address="", unix_us=5)])
        await store.close()
    assert isinstance(reply, Recovered)
    assert reply.epoch > fleet.epochs[T] and reply.accepted_incoming == (transfer,)


async def test_what_the_server_does_not_take_changes_nothing(server: RedisServer) -> None:
    async with world(server.url, "keep") as fleet:
        copy = await take_copy(fleet.store)
        with pytest.raises(StoreError, match=r"key probe: .* a newer one"):
            await put_copy(fleet.store, (("meta", b"nonsense"), ("epoch", b"nonsense")))
        limited = RedisStore(server.limited_url, "keep", timeout_s=10.0)
        with pytest.raises(StoreError, match="a user that may RESTORE"):
            await put_copy(limited, copy)
        assert sorted(name for name, _ in await take_copy(limited)) == sorted(name for name, _ in copy)
        await limited.close()
