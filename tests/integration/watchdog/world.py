"""A fleet of two shards that exists in Redis alone: epochs, leases, claims, rows and transfers, by the real scripts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from shardfleet_shard.core.columns import Columns, Schema
from shardfleet_shard.core.journal_requests import Entries, Publish
from shardfleet_shard.core.layout import INFINITY, Cell, Layout
from shardfleet_shard.core.manifest import AUTHORITATIVE, JOURNAL_START, AuthorityManifest
from shardfleet_shard.core.requests import (
    Accept,
    Adopted,
    Begin,
    Cancel,
    Claim,
    Done,
    Outcome,
    Recover,
    Recovered,
    Released,
    Renew,
)
from shardfleet_shard.core.spawn_requests import Spawn, SpawnGroup
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.redis_store import RedisStore

S, T = "arena-0", "arena-1"
CELL_OF = {S: "0", T: "1"}
SCHEMA = Schema(2, np.dtype([("mass", "<f4")]))
LEASE_MS = 600_000
SWITCH_TICK = 100
NOBODY = "127.0.0.1:1"


def rows(entities: Mapping[int, int]) -> Columns:
    """id -> version, each at (id, -id)."""
    ids = list(entities)
    position = np.array([(i, -i) for i in ids], float) if ids else 0.0
    return SCHEMA.rows(id=ids, version=list(entities.values()), position=position, velocity=(1.5, 0.0), mass=2.5)


@dataclass
class World:
    """Both shards under their epochs; ``tick`` rises with each publish."""

    store: RedisStore
    epochs: dict[str, int]
    sequence: int = 0
    tick: int = 10

    async def done(self, request: object) -> Outcome:
        (reply,) = await self.store.execute([request])  # type: ignore[list-item]
        assert isinstance(reply, Done), (request, reply)
        return reply.outcome

    async def spawn(self, shard: str, entities: Mapping[int, int]) -> None:
        packed = rows(entities)
        group = SpawnGroup(
            cell=CELL_OF[shard], count=len(packed), ids=packed.id.tobytes(), rows=packed.pack(), tick=self.tick
        )
        await self.done(Spawn(shard=shard, epoch=self.epochs[shard], groups=(group,)))

    async def begin(self, entities: Mapping[int, int], transfer_time_us: int) -> TransferId:
        """From S to T; ``entities`` under T's versions."""
        self.sequence += 1
        transfer = TransferId(S, self.epochs[S], self.sequence)
        packed = rows(entities)
        begin = Begin(
            shard=S,
            epoch=self.epochs[S],
            transfer=transfer,
            target=T,
            target_epoch=self.epochs[T],
            cell=CELL_OF[T],
            transfer_time_us=transfer_time_us,
            switch_tick=SWITCH_TICK,
            count=len(packed),
            ids=packed.id.tobytes(),
            versions=packed.version.tobytes(),
        )
        assert await self.done(begin) is Outcome.STARTED
        return transfer

    async def accept(self, transfer: TransferId, entities: Mapping[int, int]) -> None:
        accept = Accept(
            shard=T,
            epoch=self.epochs[T],
            transfer=transfer,
            cell=CELL_OF[T],
            switch_tick=SWITCH_TICK,
            offer_tick=SWITCH_TICK - 2,
            count=len(entities),
            rows=rows(entities).pack(),
        )
        assert await self.done(accept) is Outcome.ACCEPTED

    async def release(self, transfer: TransferId) -> Outcome:
        return await self.done(Released(shard=S, epoch=self.epochs[S], transfer=transfer))

    async def adopt(self, transfer: TransferId) -> Outcome:
        return await self.done(Adopted(shard=T, epoch=self.epochs[T], transfer=transfer))

    async def cancel(self, transfer: TransferId) -> Outcome:
        return await self.done(Cancel(shard=S, epoch=self.epochs[S], transfer=transfer))

    async def publish(self, shard: str, entities: Mapping[int, int], *, position: str | None = None) -> None:
        """A manifest that contains the whole journal, or only what is up to ``position``."""
        self.tick += 1
        if position is None:
            newest = await self.store.call([("XREVRANGE", f"{self.store.prefix}journal:{shard}", "+", "-", "COUNT", 1)])
            position = newest[0][0][0].decode() if newest[0] else JOURNAL_START
        packed = rows(entities)
        header, chunks = AuthorityManifest(
            shard=shard,
            epoch=self.epochs[shard],
            tick=self.tick,
            unix_us=1_700_000_000_000_000,
            position=position,
            rows=packed,
            states=np.full(len(packed), AUTHORITATIVE, np.uint8),
        ).to_chunks()
        publish = Publish(
            shard=shard,
            epoch=self.epochs[shard],
            tick=self.tick,
            position=position,
            header=json.dumps(header),
            chunks=tuple(chunks),
            read_after=position,
        )
        (reply,) = await self.store.execute([publish])
        assert isinstance(reply, Entries), reply


@asynccontextmanager
async def world(url: str, fleet: str, *, addresses: Sequence[str] = (NOBODY, NOBODY)) -> AsyncIterator[World]:
    """A new world in the Redis at ``url``; ``addresses``: where S and T say that they listen."""
    store = RedisStore(url, fleet, timeout_s=10.0)
    await store.connect()
    await store.join()
    low, high = (-INFINITY, -INFINITY), (INFINITY, INFINITY)
    cells = (Cell("0", S, low, (0.0, INFINITY)), Cell("1", T, (0.0, -INFINITY), high))
    await FleetAdmin(store).write_layout(Layout(1, cells))
    made = World(store, {})
    for ordinal, shard in enumerate((S, T)):
        recover = Recover(shard=shard, ordinal=ordinal, address=addresses[ordinal], unix_us=1000)
        (reply,) = await store.execute([recover])
        assert isinstance(reply, Recovered)
        made.epochs[shard] = reply.epoch
        await made.done(Renew(shard=shard, epoch=reply.epoch, ttl_ms=LEASE_MS))
        await made.done(Claim(shard=shard, epoch=reply.epoch, layout_version=1, cells=(CELL_OF[shard],)))
    try:
        yield made
    finally:
        await store.close()
