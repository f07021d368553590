"""The ``Shard`` service and health, from client to api and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from shardfleet_shard.core.columns import U64, Columns, Schema
from shardfleet_shard.errors import ShardfleetError, ShardUnavailable, StoreUnavailable, UsageError
from shardfleet_shard.net.api import NewEntity, RowsView
from shardfleet_shard.net.client import ShardClient
from shardfleet_shard.net.server import HEALTH_LIVE, HEALTH_READY, ShardServer

from tests.patience import PATIENCE_S

from .fleet import Node, eventually

SCHEMA = Schema(2, np.dtype([("mass", "<f4"), ("home", "<i8", (2,)), ("flags", "u1")]))


class Api:
    """A shard that holds rows and moves none."""

    def __init__(self) -> None:
        self.rows = SCHEMA.empty()
        self.error: ShardfleetError | None = None
        self.watchers = 0

    def view(self, rows: Columns) -> RowsView:
        return RowsView(
            tick=7,
            unix_us=9,
            shard="arena-0",
            epoch=3,
            rows=rows,
            states=(np.arange(len(rows)) % 3).astype(np.uint8),
            since_tick=np.arange(len(rows)) + 2**40,
            recovered_tick=2**40,
        )

    async def spawn(self, rows: Columns) -> None:
        if self.error is not None:
            raise self.error
        self.rows = Columns.concat(SCHEMA, [self.rows, rows])

    async def despawn(self, ids: U64) -> U64:
        here = self.rows.id[np.isin(self.rows.id, ids)]
        self.rows = self.rows.take(~np.isin(self.rows.id, ids))
        return here

    async def get(self, entity: int) -> RowsView:
        return self.view(self.rows.take(self.rows.id == entity))

    async def watch(self, ids: U64 | None, *, interval_us: int) -> AsyncGenerator[RowsView, None]:
        self.watchers += 1
        try:
            while True:
                yield self.view(self.rows if ids is None else self.rows.take(np.isin(self.rows.id, ids)))
                await asyncio.sleep(interval_us / 1e6)
        finally:
            self.watchers -= 1

    async def inspect(self, section: str) -> Mapping[str, Any]:
        return {"section": section, "numbers": [1, 2.5, None]}


@pytest.fixture
async def served() -> AsyncGenerator[tuple[Api, ShardServer], None]:
    api = Api()
    server = ShardServer("127.0.0.1:0", schema=SCHEMA)
    await server.bind()
    await server.start(links=Node(0).manager, api=api)
    yield api, server
    await server.stop(grace_s=0.05)


def entity(id: int, **changes: Any) -> NewEntity:
    given: dict[str, Any] = {"id": id, "position": (1.5, -2.5), "velocity": (0.5, 0.0)}
    return NewEntity(**{**given, **changes})


async def test_spawn_get_despawn(served: tuple[Api, ShardServer]) -> None:
    api, server = served
    async with ShardClient(server.address, deadline_s=PATIENCE_S) as client:
        columns = {"mass": 2.5, "home": (-(2**60), 7), "flags": 255}
        assert await client.spawn([entity(2**64 - 1, columns=columns), entity(5, velocity=())]) == 2
        view = await client.get(2**64 - 1)
        assert (view.tick, view.unix_us, view.shard, view.epoch) == (7, 9, "arena-0", 3)
        assert view.rows.to_dicts() == [
            {
                "id": 2**64 - 1,
                "version": 1,
                "position": [1.5, -2.5],
                "velocity": [0.5, 0.0],
                "mass": 2.5,
                "home": [-(2**60), 7],
                "flags": 255,
            }
        ]
        assert view.states.tolist() == [0]
        assert (view.since_tick.tolist(), view.recovered_tick) == ([2**40], 2**40)
        assert len((await client.get(6)).rows) == 0
        assert await client.despawn([5, 6]) == [5]
        assert api.rows.id.tolist() == [2**64 - 1]


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ([], "0 entities in one request"),
        ([entity(n) for n in range(4097)], "more than 4096 entities in one request"),
        ([entity(1), entity(1)], "entity 1: the id comes twice"),
        ([entity(1, position=(1.0,))], "entity 1: position has 1 numbers; this world has 2 dimensions"),
        ([entity(1, velocity=(1.0, 2.0, 3.0))], "entity 1: velocity has 3 numbers"),
        ([entity(1, position=(float("nan"), 0.0))], "entity 1: position and velocity must be finite"),
        ([entity(1, columns={"wings": 2})], "entity 1: no column 'wings'; this simulation's are: mass, home, flags"),
        ([entity(1, columns={"home": 2})], "entity 1: column 'home' takes 2 numbers"),
        ([entity(1, columns={"flags": 256})], "column 'flags' takes whole numbers from 0 to 255"),
        ([entity(1, columns={"flags": 0.5})], "column 'flags' takes whole numbers"),
        ([entity(1, columns={"mass": "heavy"})], "column 'mass': 'heavy' is not a number"),
        ([entity(-1)], "entity -1"),
    ],
)
async def test_entities_that_cannot_be_are_refused_by_name(
    served: tuple[Api, ShardServer], entities: list[NewEntity], message: str
) -> None:
    api, server = served
    async with ShardClient(server.address, deadline_s=PATIENCE_S) as client:
        with pytest.raises(UsageError, match=message):
            await client.spawn(entities)
    assert len(api.rows) == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UsageError("entity 5 is alive already"), UsageError),
        (StoreUnavailable("Redis does not answer"), ShardUnavailable),
        (ShardfleetError("the simulation failed"), ShardfleetError),
    ],
)
async def test_errors_of_the_api_arrive_as_what_they_are(
    served: tuple[Api, ShardServer], error: ShardfleetError, kind: type[ShardfleetError]
) -> None:
    api, server = served
    api.error = error
    async with ShardClient(server.address, deadline_s=PATIENCE_S) as client:
        with pytest.raises(kind, match=str(error)) as caught:
            await client.spawn([entity(1)])
    assert type(caught.value) is kind and caught.value.retryable is error.retryable


async def test_watch_brings_large_pictures_whole_and_ends_with_its_reader(served: tuple[Api, ShardServer]) -> None:
    api, server = served
    count = 150_000
    api.rows = SCHEMA.rows(id=np.arange(count), position=[1.0, 2.0], mass=np.arange(count))
    async with ShardClient(server.address, deadline_s=PATIENCE_S) as client:
        pictures = 0
        async with aclosing(client.watch(interval_us=1_000)) as views:
            async for view in views:
                assert view.rows.pack() == api.rows.pack()
                assert view.states.tolist() == (np.arange(count) % 3).tolist()
                assert view.since_tick.tolist() == (np.arange(count) + 2**40).tolist()
                pictures += 1
                if pictures == 2:
                    break
        await eventually(lambda: api.watchers == 0)
        async with aclosing(client.watch([3, 5, count], interval_us=1_000)) as views:
            async for view in views:
                assert view.rows.id.tolist() == [3, 5]
                break
        await eventually(lambda: api.watchers == 0)


async def test_inspect(served: tuple[Api, ShardServer]) -> None:
    _, server = served
    async with ShardClient(server.address, deadline_s=PATIENCE_S) as client:
        assert await client.inspect("links") == {"section": "links", "numbers": [1, 2.5, None]}
        with pytest.raises(UsageError, match="no section 'nothing'; there are transfers, links, stats, config"):
            await client.inspect("nothing")


async def test_nobody_at_an_address() -> None:
    server = ShardServer("127.0.0.1:0", schema=SCHEMA)
    await server.bind()
    await server.start(links=Node(0).manager, api=Api())
    await server.stop(grace_s=0)
    async with ShardClient(server.address) as client:
        with pytest.raises(ShardUnavailable, match=f"no answer from a shard at {server.address}"):
            await client.get(1)
        with pytest.raises(ShardUnavailable, match=server.address):
            async for _ in client.watch():
                pass


async def test_a_taken_port_is_a_usage_error_that_names_the_address(served: tuple[Api, ShardServer]) -> None:
    _, server = served
    second = ShardServer(server.address, schema=SCHEMA)
    with pytest.raises(UsageError, match=f"--listen {server.address}: cannot listen there"):
        await second.bind()
    await second.stop(grace_s=0)


@pytest.mark.parametrize("address", ["", "here", ":1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536"])
async def test_what_is_no_address_is_a_usage_error(address: str) -> None:
    server = ShardServer(address, schema=SCHEMA)
    with pytest.raises(UsageError, match="an address is HOST:PORT"):
        await server.bind()
    await server.stop(grace_s=0)


async def test_health_tells_alive_from_ready(served: tuple[Api, ShardServer]) -> None:
    _, server = served
    async with grpc.aio.insecure_channel(server.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check

        async def status(service: str) -> Any:
            return (await check(health_pb2.HealthCheckRequest(service=service))).status

        serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
        assert await status(HEALTH_LIVE) == serving
        assert await status(HEALTH_READY) == not_serving
        await server.set_ready(True)
        assert await status(HEALTH_READY) == serving
