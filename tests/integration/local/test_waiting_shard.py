"""A shard process that starts while Redis is away."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.environment import REDIS_URL_VARIABLE
from shardfleet_shard.store.redis_store import RedisStore

from tests.integration.servers import RedisServer

LINES = 50


def test_it_waits_and_serves_once_redis_is_there(tmp_path: Path) -> None:
    """Nothing but waiting would come of starting it again, and on a cluster each new start comes later."""
    config = FleetConfig(name="arena", replicas=1, seed_entities=0)
    (tmp_path / "arena.json").write_text(config.to_json())
    server = RedisServer(tcp=True)
    shard = subprocess.Popen(
        [sys.executable, "-m", "shardfleet_shard.process", "--shard", "arena-0", "--ordinal", "0", "--config",
         str(tmp_path / "arena.json"), "--parent-pid", str(os.getpid())],
        env={**os.environ, REDIS_URL_VARIABLE: server.url}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert shard.stderr is not None
    try:
        assert "waiting for Redis: no answer from Redis at 127.0.0.1" in shard.stderr.readline()
        with server:
            asyncio.run(_found(server.url, config))
            assert any("serving on" in shard.stderr.readline() for _ in range(LINES))
    finally:
        shard.kill()
        shard.wait()
        shard.stderr.close()


async def _found(url: str, config: FleetConfig) -> None:
    store = RedisStore(url, config.identity)
    await store.connect()
    await store.join()
    await store.close()
