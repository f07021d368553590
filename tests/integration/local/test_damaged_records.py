"""A real shard whose records in Redis are damaged while it is down: what is whole comes back, and the rest is named."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.journal_requests import EntryKind
from shardfleet_shard.core.requests import Observe, Observed
from shardfleet_shard.core.spawn_requests import Spawn, SpawnGroup
from shardfleet_shard.store.redis_store import RedisStore

from tests.patience import PATIENCE_S

from .place import Place, is_whole, wait_for_status

PREFIX = "sf:ward:"
LEFT, RIGHT = "ward-0", "ward-1"
SEEDED = [2, 4, 6, 8, 10]
"""The left ones."""
LOST, KEPT = 100, 102
"""Spawned on the left just before the shard dies: one entry is damaged, the next is not."""


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="sf-damaged-", dir="/tmp") as name:
        yield Place(Path(name))


def pid_of(data: Path, shard: str) -> int:
    stored = json.loads((data / "processes.json").read_text())["processes"]
    return int(next(one["pid"] for one in stored if one["process"]["shard"] == shard))


async def spawn_on_the_left(url: str) -> str:
    """As the right shard would; each of the two is an entry of its own. Returns the first one's id."""
    store = RedisStore(url, "ward")
    try:
        await store.connect()
        await store.join(founds=False)
        (seen,) = await store.execute([Observe()])
        assert isinstance(seen, Observed)
        (cell,) = [path for path, (shard, _) in seen.claims.items() if shard == LEFT]
        (epoch,) = [member.epoch for member in seen.members if member.shard == RIGHT]
        for entity in (LOST, KEPT):
            row = Schema(2).rows(id=entity, position=(-20.0, 20.0))
            group = SpawnGroup(cell=cell, count=1, ids=np.uint64(entity).tobytes(), rows=row.pack(), tick=1)
            (reply,) = await store.execute([Spawn(shard=RIGHT, epoch=epoch, groups=(group,))])
            assert str(getattr(reply, "outcome", reply)) == "ok", reply
        (record,) = await store.read_shards([LEFT])
        return next(entry.id for entry in record.entries if entry.kind is EntryKind.SPAWN)
    finally:
        await store.close()


def flip_a_bit(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def damage(client: redis.Redis, entry_id: str) -> str:
    """A chunk and the rows of one journal entry. Returns the chunk's key."""
    epoch, tick = client.hmget(f"{PREFIX}manifest:{LEFT}", "epoch", "tick")
    chunk = f"{PREFIX}chunk:{LEFT}:{epoch.decode()}:{tick.decode()}:1"
    client.set(chunk, flip_a_bit(client.get(chunk), 8))
    rows = f"{PREFIX}rows:{LEFT}"
    client.hset(rows, entry_id, flip_a_bit(client.hget(rows, entry_id), 1))
    return chunk


def test_a_shard_comes_back_with_what_is_whole(place: Place) -> None:
    data = place.folder / "data"
    place.write()
    fleet = place.start()
    try:
        place.wait("all there", is_whole)
        pid = pid_of(data, LEFT)
        os.kill(pid, signal.SIGSTOP)  # or its next manifest would replace the damaged one
        socket = data / "redis" / "valkey.sock"
        entry_id = asyncio.run(spawn_on_the_left(f"unix://{socket}"))
        chunk = damage(redis.Redis(unix_socket_path=str(socket)), entry_id)
        os.kill(pid, signal.SIGKILL)

        def goes_on(found: dict[str, object]) -> bool:
            shards = {one["shard"]: one for one in found.get("shards", ())}  # type: ignore[attr-defined]
            states = {name: (one["state"], one["entities"]) for name, one in shards.items()}
            return states == {LEFT: ("active", 1), RIGHT: ("active", 5)} and pid_of(data, LEFT) != pid

        wait_for_status(data, "the left shard has what is whole, the right one all of its own", goes_on)
        (line,) = [line for line in (data / "logs" / f"{LEFT}.log").read_text().splitlines() if " ERROR " in line]
        assert f"{chunk}: chunk 0 is damaged: its checksum does not match" in line
        assert f"{PREFIX}journal:{LEFT}: entry {entry_id}: spawn, the checksum of its rows does not match" in line
        assert line.endswith(": 6 entities: 2, 4, 6, 8, 10, 100")
        place.run("local", "down", "--data", "data")
        entities = json.loads(fleet.communicate(timeout=PATIENCE_S)[0])["entities"]
    finally:
        fleet.kill()
        fleet.communicate()
    assert {name: entities[name] for name in ("expected", "owned", "missing", "doubled")} == {
        "expected": 12, "owned": 6, "missing": 6, "doubled": 0,
    }  # fmt: skip
