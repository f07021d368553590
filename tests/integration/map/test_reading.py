"""Reading a fleet from a real Valkey, while it is written; and which fleets are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from shardfleet_operator.map.feeds import Feeds
from shardfleet_operator.map.history import SPAN_US
from shardfleet_operator.map.reader import Reader
from shardfleet_shard.errors import ShardfleetError
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.system_clock import SystemClock

from tests.integration.servers import RedisServer, redis_server
from tests.patience import PATIENCE_S

from .stand_in import FLEET, LAYOUT, NAMES, Circles, answered, publish

ENTITIES = 200
SECOND = 1_000_000


class Interrupted(RedisStore):
    """Between a manifest's header and its chunks another one is published, ``times`` times."""

    circles: Circles
    now_us = 0
    times = 0
    sent: list[str]

    async def call(self, commands: Sequence[Any], **more: Any) -> list[Any]:
        self.sent += [command[0] for command in commands]
        if self.times and commands and commands[0][0] == "GET" and ":chunk:" in commands[0][1]:
            self.times -= 1
            await super().call([("UNLINK", *(command[1] for command in commands))])
            self.now_us += SECOND
            await publish(self, self.circles, self.now_us)
        return await super().call(commands, **more)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server("valkey") as server:
        yield server


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[Interrupted]:
    store = Interrupted(server.url, FLEET, timeout_s=PATIENCE_S)
    store.circles, store.sent = Circles(ENTITIES), []
    store.now_us = SystemClock().now_unix_us()
    try:
        await store.connect()
        await store.join()
        await FleetAdmin(store).write_layout(LAYOUT)
        await publish(store, store.circles, store.now_us)
        yield store
        await FleetAdmin(store).delete_fleet()
    finally:
        await store.close()


async def test_a_snapshot_has_every_row_once(store: Interrupted) -> None:
    snapshot = await Reader(store, SystemClock()).read()
    assert sorted(snapshot.manifests) == list(NAMES)
    assert sum(len(one.rows) for one in snapshot.manifests.values()) == ENTITIES
    assert snapshot.living == set(NAMES)
    assert snapshot.layout == LAYOUT
    assert set(snapshot.links.values()) == {""}


async def test_what_has_not_changed_is_not_read_again(store: Interrupted) -> None:
    reader = Reader(store, SystemClock())
    await reader.read()
    store.sent.clear()
    await reader.read()
    assert "GET" not in store.sent


@pytest.mark.parametrize(("times", "read"), [(1, len(NAMES)), (2, 0)])
async def test_a_manifest_that_is_replaced_while_it_is_read_is_read_again(
    store: Interrupted, times: int, read: int
) -> None:
    reader = Reader(store, SystemClock())
    store.times = times
    assert len((await reader.read()).manifests) == read
    assert len((await reader.read()).manifests) == len(NAMES)


async def test_it_only_reads(store: Interrupted) -> None:
    store.sent.clear()
    await Reader(store, SystemClock()).read()
    assert set(store.sent) <= {"GET", "HGET", "HMGET", "EVALSHA"}


async def test_of_a_damaged_manifest_what_is_whole_is_shown(store: Interrupted) -> None:
    """The census names it."""
    whole = (await Reader(store, SystemClock()).read()).manifests
    (chunk,) = [key async for keys in FleetAdmin(store)._scan(f"{store.prefix}chunk:{NAMES[1]}:*") for key in keys]
    await store.call([("SET", chunk, b"rubbish")])
    shown = (await Reader(store, SystemClock()).read()).manifests
    assert len(whole[NAMES[1]].rows) and not len(shown[NAMES[1]].rows)
    assert shown[NAMES[1]].tick == whole[NAMES[1]].tick
    assert shown[NAMES[0]].rows.pack() == whole[NAMES[0]].rows.pack()
    await store.call([("HSET", f"{store.prefix}manifest:{NAMES[1]}", "header", b"rubbish")])
    assert NAMES[1] not in (await Reader(store, SystemClock()).read()).manifests


class LaterClock(SystemClock):
    """A clock that can be put forward."""

    later_us = 0

    def now_unix_us(self) -> int:
        return super().now_unix_us() + self.later_us


async def test_only_so_many_fleets_at_a_time_and_another_once_one_is_abandoned(server: RedisServer) -> None:
    admin, clock = RedisStore(server.url, "a", timeout_s=PATIENCE_S), LaterClock()
    await admin.call([("HSET", f"sf:{name}:meta", "format", "2") for name in ("a", "b", "c")])
    feeds = Feeds(server.url, clock, max_feeds=2)
    try:
        await feeds.start()
        assert [name for name in await answered(feeds.names) if name != FLEET] == ["a", "b", "c"]
        leave = (await answered(lambda: feeds.get("a"))).look()
        first = await answered(lambda: feeds.get("b"))
        with pytest.raises(ShardfleetError, match="2 fleets are looked at already"):
            await answered(lambda: feeds.get("c"))
        await feeds.end_abandoned()  # from now on nobody looks at b
        clock.later_us = SPAN_US // 2
        await feeds.end_abandoned()
        assert await feeds.get("b") is first
        clock.later_us = SPAN_US + SECOND
        await feeds.end_abandoned()
        await answered(lambda: feeds.get("c"))
        with pytest.raises(ShardfleetError, match="2 fleets are looked at already"):
            await answered(lambda: feeds.get("b"))
        leave()
    finally:
        await feeds.close()
        await admin.call([("UNLINK", *(f"sf:{name}:meta" for name in ("a", "b", "c")))])
        await admin.close()
