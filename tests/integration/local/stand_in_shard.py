"""A shard that owns nothing: it recovers, keeps its lease, claims its cells, publishes and resigns.

The supervisor cannot tell it from a real one. ``STAND_IN`` makes it misbehave: ``hangs`` (never ends), ``wrong-use``
(exit code 2), ``fails`` (exit code 4 instead of resigning).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys

import numpy as np
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.journal_requests import Publish
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.manifest import JOURNAL_START, AuthorityManifest
from shardfleet_shard.core.requests import (
    Claim,
    Done,
    Observe,
    Observed,
    Recover,
    Recovered,
    Refused,
    Renew,
    Reply,
    Request,
    Resign,
)
from shardfleet_shard.core.stats import ShardStats
from shardfleet_shard.core.ticks import TickGrid
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.system_clock import SystemClock


class StandIn:
    def __init__(self, shard: str, ordinal: int, config: FleetConfig, store: RedisStore) -> None:
        self.shard, self.ordinal, self.config, self.store = shard, ordinal, config, store
        self.clock, self.grid, self.schema = SystemClock(), TickGrid(config.tick_rate), Schema(config.dimensions)
        self.epoch = 0
        self.stats = ShardStats(state="active")
        self.stop = asyncio.Event()

    async def ask(self, request: Request) -> Reply:
        (reply,) = await self.store.execute([request])
        if reply is None or (isinstance(reply, Refused) and reply.reason in ("generation", "epoch")):
            sys.exit(5)
        return reply

    async def publish(self) -> None:
        now_us = self.clock.now_unix_us()
        manifest = AuthorityManifest(
            shard=self.shard,
            epoch=self.epoch,
            tick=self.grid.at(now_us),
            unix_us=now_us,
            position=JOURNAL_START,
            rows=self.schema.empty(),
            states=np.zeros(0, np.uint8),
            stats=self.stats.to_dict(),
        )
        header, chunks = manifest.to_chunks()
        await self.ask(
            Publish(
                shard=self.shard,
                epoch=self.epoch,
                tick=manifest.tick,
                position=JOURNAL_START,
                header=json.dumps(header),
                chunks=tuple(chunks),
                read_after=JOURNAL_START,
            )
        )

    async def run(self) -> int:
        recovered = await self.ask(
            Recover(shard=self.shard, ordinal=self.ordinal, address="127.0.0.1:1", unix_us=self.clock.now_unix_us())
        )
        assert isinstance(recovered, Recovered)
        self.epoch = recovered.epoch
        while not self.stop.is_set():
            await self.ask(Renew(shard=self.shard, epoch=self.epoch, ttl_ms=self.config.lease_us // 1000))
            observed = await self.ask(Observe())
            assert isinstance(observed, Observed)
            layout = Layout.from_json(observed.layout)
            cells = tuple(cell.path for cell in layout.cells_of(self.shard))
            await self.ask(Claim(shard=self.shard, epoch=self.epoch, layout_version=layout.version, cells=cells))
            self.stats.ticks += 1
            self.stats.tick_us.add(500)
            await self.publish()
            try:
                await asyncio.wait_for(self.stop.wait(), 0.1)
            except TimeoutError:
                continue
        if os.environ.get("STAND_IN") == "fails":
            return 4
        await self.ask(Claim(shard=self.shard, epoch=self.epoch, layout_version=0, cells=()))
        reply = await self.ask(Resign(shard=self.shard, epoch=self.epoch))
        return 0 if isinstance(reply, Done) else 1


async def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shard")
    parser.add_argument("--ordinal", type=int)
    parser.add_argument("--config")
    arguments, _ = parser.parse_known_args()
    kind = os.environ.get("STAND_IN", "")
    if kind == "wrong-use":
        print("spec.simulation.parameters.radius: must be a number", file=sys.stderr)
        return 2
    with open(arguments.config) as file:  # noqa: ASYNC230, PTH123 (nothing else runs yet)
        config = FleetConfig.from_json(file.read())
    store = RedisStore(os.environ["SHARDFLEET_REDIS_URL"], config.name, timeout_s=10.0)
    await store.connect()
    joined = await store.join()
    if joined.stored != joined.generation:
        return 5
    stand_in = StandIn(arguments.shard, arguments.ordinal, config, store)
    if kind != "hangs":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stand_in.stop.set)
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        return await stand_in.run()
    finally:
        await store.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
