"""The commands that need a fleet, as a person runs them: a process of their own, a real Valkey, real gRPC."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest
from shardfleet_shard.core.columns import U64, Columns
from shardfleet_shard.errors import UsageError
from shardfleet_shard.net.api import RowsView
from shardfleet_shard.net.server import ShardServer

from tests.integration.servers import RedisServer, redis_server
from tests.patience import PATIENCE_S

from .world import SCHEMA, SWITCH_TICK, S, T, World, rows, world

_numbers = itertools.count(1)
SINCE_TICK = 34_000_000_003
"""0.15 s after 1,700,000,000 s, at 20 ticks a second."""


class Shard:
    """A shard that moves nothing: what the commands ask of one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = rows({})
        self.recovered_tick = 0

    def view(self, held: Columns) -> RowsView:
        return RowsView(
            tick=7,
            unix_us=9,
            shard=self.name,
            epoch=3,
            rows=held,
            states=np.zeros(len(held), np.uint8),
            since_tick=np.full(len(held), SINCE_TICK),
            recovered_tick=self.recovered_tick,
        )

    async def spawn(self, new: Columns) -> None:
        if np.isin(new.id, self.rows.id).any():
            raise UsageError(f"entity {new.id[0]} is alive already")
        self.rows = Columns.concat(SCHEMA, [self.rows, new])

    async def despawn(self, ids: U64) -> U64:
        here = self.rows.id[np.isin(self.rows.id, ids)]
        self.rows = self.rows.take(~np.isin(self.rows.id, ids))
        return here

    async def get(self, entity: int) -> RowsView:
        return self.view(self.rows.take(self.rows.id == entity))

    async def watch(self, ids: U64 | None, *, interval_us: int) -> AsyncGenerator[RowsView, None]:
        while True:
            yield self.view(self.rows if ids is None else self.rows.take(np.isin(self.rows.id, ids)))
            await asyncio.sleep(interval_us / 1e6)

    async def inspect(self, section: str) -> Mapping[str, Any]:
        return {"tick_rate": 20} if section == "config" else {}


class Fleet:
    """The world in Redis, its shards, and the command on both."""

    def __init__(self, made: World, shards: dict[str, Shard], url: str) -> None:
        self.world = made
        self.shards = shards
        self.arguments = ("--redis", url, "--fleet", made.store.fleet)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shardfleet_operator.cli", *arguments), stdout=pipe, stderr=pipe
        )

    async def run(self, *arguments: str, elsewhere: tuple[str, ...] | None = None) -> tuple[int, str, str]:
        """(exit code, stdout, stderr)"""
        process = await self.start(*arguments, *(self.arguments if elsewhere is None else elsewhere))
        async with asyncio.timeout(PATIENCE_S):
            output, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode(), errors.decode()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server(also_allowed=["xrevrange"]) as running:
        yield running


@pytest.fixture
async def fleet(server: RedisServer) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        shards = {name: Shard(name) for name in (S, T)}
        addresses = []
        for shard in shards.values():
            grpc_server = ShardServer("127.0.0.1:0", schema=SCHEMA)
            addresses.append(await grpc_server.bind())
            await grpc_server.start(links=NoLinks(), api=shard)
            stack.push_async_callback(grpc_server.stop, grace_s=0.05)
        made = await stack.enter_async_context(
            world(server.limited_url, f"asked-{next(_numbers)}", addresses=addresses)
        )
        yield Fleet(made, shards, server.limited_url)


class NoLinks:
    async def accept(self, stream: Any) -> str | None:
        raise AssertionError("nobody dials here")


# --- transfers -------------------------------------------------------------------------------------------------


async def test_transfers(fleet: Fleet) -> None:
    assert await fleet.run("transfers") == (0, "no active transfers\n", "")
    transfer = await fleet.world.begin({1: 2, 2: 2}, 1_700_000_000_000_000)
    await fleet.world.accept(transfer, {1: 2, 2: 2})
    await fleet.world.release(transfer)
    code, output, errors = await fleet.run("transfers", "--json")
    assert (code, errors) == (0, "")
    [row] = json.loads(output)["transfers"]
    verdict = row.pop("verdict")
    assert row.pop("age_us") > 0
    assert row == {
        "transfer": str(transfer),
        "source": S,
        "target": T,
        "state": "accepted",
        "entities": 2,
        "holders": [],
        "switch_tick": SWITCH_TICK,
        "transfer_time_us": 1_700_000_000_000_000,
    }
    assert verdict["kind"] == "LIMBO"
    code, output, _ = await fleet.run("transfers")
    assert code == 0 and "LIMBO" in output and "nobody" in output and "\x1b" not in output


async def test_transfers_watch_ends_in_order_at_ctrl_c(fleet: Fleet) -> None:
    process = await fleet.start("transfers", "--watch", "--json", *fleet.arguments)
    assert process.stdout is not None
    for _ in range(2):
        assert json.loads(await process.stdout.readline())["transfers"] == []
    process.send_signal(signal.SIGINT)
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert all(json.loads(line)["transfers"] == [] for line in output.splitlines())


# --- entity ----------------------------------------------------------------------------------------------------


async def test_entity_through_a_handoff(fleet: Fleet) -> None:
    async def entity() -> dict[str, Any]:
        code, output, errors = await fleet.run("entity", "5", "--json")
        assert (code, errors) == (0, "")
        found: dict[str, Any] = json.loads(output)
        return found

    made = fleet.world
    code, output, errors = await fleet.run("entity", "5")
    assert (code, output) == (2, "") and errors.startswith("shardfleet: error: entity 5: no shard holds it")
    await made.spawn(S, {5: 1})
    found = await entity()
    assert (found["owner"], found["version"], found["state"], found["since_tick"]) == (S, 1, "incoming", made.tick)
    await made.publish(S, {5: 1})
    found = await entity()
    assert (found["state"], found["position"], found["columns"]) == ("authoritative", [5.0, -5.0], {"mass": 2.5})
    transfer = await made.begin({5: 2}, 1)
    await made.accept(transfer, {5: 2})
    found = await entity()
    assert (found["owner"], found["version"], found["state"]) == (T, 2, "incoming")
    assert (found["since_tick"], found["position"]) == (SWITCH_TICK, [5.0, -5.0])
    await made.publish(S, {})
    await made.publish(T, {5: 2})
    found = await entity()
    assert (found["owner"], found["version"], found["state"], found["journal"]) == (T, 2, "authoritative", [])
    code, output, _ = await fleet.run("entity", "5")
    assert code == 0 and output.startswith("entity 5  owned by arena-1 since before ") and "position  5, -5\n" in output


async def test_the_owner_says_since_when(fleet: Fleet) -> None:
    async def since() -> tuple[Any, ...]:
        code, output, _ = await fleet.run("entity", "5", "--json")
        found = json.loads(output)
        assert code == 0
        return found["since_tick"], found["since_unix_ms"], found["since_exact"]

    await fleet.world.spawn(S, {5: 3})
    await fleet.world.publish(S, {5: 3})
    assert await since() == (None, None, None)  # neither the journal nor the owner has it
    fleet.shards[S].rows = rows({5: 2})
    assert await since() == (None, None, None)  # not this version
    fleet.shards[S].rows = rows({5: 3})
    assert await since() == (SINCE_TICK, 1_700_000_000_150, True)
    code, output, _ = await fleet.run("entity", "5")
    assert code == 0 and output.startswith("entity 5  owned by arena-0 since 2023-11-14T22:13:20.150Z (")
    assert output.splitlines()[0].endswith(" h ago), version 3, authoritative")
    fleet.shards[S].recovered_tick = SINCE_TICK
    assert await since() == (SINCE_TICK, 1_700_000_000_150, False)
    code, output, _ = await fleet.run("entity", "5")
    assert code == 0 and " since 2023-11-14T22:13:20.150Z or before (" in output


# --- spawn, despawn, watch -------------------------------------------------------------------------------------


async def test_spawn_and_despawn(fleet: Fleet) -> None:
    spawned = await fleet.run("spawn", "--position", "1.5,-2", "--velocity", "0,1", "--id", "7", "--column", "mass=3")
    assert spawned == (0, "spawned 7\n", "")
    held = fleet.shards[S].rows
    assert held.id.tolist() == [7] and held["mass"].tolist() == [3.0]
    assert (held.position.tolist(), held.velocity.tolist()) == ([[1.5, -2.0]], [[0.0, 1.0]])

    code, output, errors = await fleet.run("spawn", "--position", "1,2", "--id", "7")
    assert (code, output, errors) == (2, "", "shardfleet: error: entity 7 is alive already\n")
    code, _, errors = await fleet.run("spawn", "--position", "1,2", "--column", "wings=2")
    assert code == 2 and "no column 'wings'" in errors
    code, output, _ = await fleet.run("spawn", "--position", "1,2", "--json")
    drawn = json.loads(output)["spawned"]
    assert code == 0 and drawn in fleet.shards[S].rows.id.tolist()

    fleet.shards[T].rows = rows({9: 4})
    code, output, errors = await fleet.run("despawn", "7", "9", "404")
    assert (code, output) == (2, "despawned 7\ndespawned 9\n")
    assert errors.startswith("shardfleet: error: no shard holds 404;")
    assert await fleet.run("despawn", str(drawn), "--json") == (
        0,
        json.dumps({"despawned": [drawn], "not_found": []}, indent=2) + "\n",
        "",
    )


async def test_a_shard_that_does_not_answer_is_passed_over(server: RedisServer, fleet: Fleet) -> None:
    member = await fleet.world.store.call([("HGET", f"{fleet.world.store.prefix}members", S)])
    ordinal, epoch, _ = member[0].decode().split(" ")
    away = f"{ordinal} {epoch} 127.0.0.1:1"
    await fleet.world.store.call([("HSET", f"{fleet.world.store.prefix}members", S, away)])
    assert (await fleet.run("spawn", "--position", "1,2", "--id", "8"))[0] == 0
    assert fleet.shards[T].rows.id.tolist() == [8]


async def test_watch_streams_all_shards(fleet: Fleet) -> None:
    fleet.shards[S].rows, fleet.shards[T].rows = rows({1: 1, 2: 1}), rows({3: 2})
    code, output, errors = await fleet.run("watch", "--json", "--interval", "50ms", "--duration", "1s", "--ids", "1,3")
    assert (code, errors) == (0, "")
    seen = {(row["shard"], row["entity"], row["version"]) for row in map(json.loads, output.splitlines())}
    assert seen == {(S, 1, 1), (T, 3, 2)}
    code, output, _ = await fleet.run("watch", "--duration", "700ms")
    assert code == 0 and output.splitlines()[0].split() == [
        *("TICK", "SHARD", "ENTITY", "VERSION", "STATE", "POSITION", "VELOCITY")
    ]
    assert {line.split()[2] for line in output.splitlines()[1:]} == {"1", "2", "3"}


async def test_watch_ends_in_order_at_ctrl_c(fleet: Fleet) -> None:
    fleet.shards[S].rows = rows({1: 1})
    process = await fleet.start("watch", "--json", "--interval", "20ms", *fleet.arguments)
    assert process.stdout is not None
    await process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


# --- where there is nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("transfers",), ("entity", "1"), ("spawn", "--position", "1,2"), ("despawn", "1"),
                                     ("watch",)], ids=lambda command: command[0])  # fmt: skip
async def test_a_fleet_that_is_not_there(server: RedisServer, fleet: Fleet, command: tuple[str, ...]) -> None:
    code, output, errors = await fleet.run(*command, elsewhere=("--redis", server.limited_url, "--fleet", "nosuch"))
    assert (code, output) == (2, "")
    assert errors.startswith("shardfleet: error: no fleet 'nosuch' in Redis at ") and errors.count("\n") == 1
    assert await fleet.world.store.call([("EXISTS", "sf:nosuch:meta")]) == [0]  # asking has made nothing


async def test_a_fleet_whose_shards_are_gone(fleet: Fleet) -> None:
    prefix = fleet.world.store.prefix
    await fleet.world.store.call([("DEL", f"{prefix}lease:{S}", f"{prefix}lease:{T}")])
    for command in (("spawn", "--position", "1,2"), ("despawn", "1"), ("watch",)):
        code, _, errors = await fleet.run(*command)
        assert code == 2 and errors.startswith("shardfleet: error: no shard of fleet 'asked-")
