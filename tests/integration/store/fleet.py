"""A small fleet for pointed tests: shards that recover, renew, claim, and short forms of their requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from shardfleet_shard.core.journal_requests import Entries, Publish, Tail
from shardfleet_shard.core.requests import Accept, Begin, Claim, Done, Recover, Recovered, Renew, Reply, Request
from shardfleet_shard.core.spawn_requests import Spawn, SpawnGroup
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.store.redis_store import RedisStore

A, B, C = "arena-0", "arena-1", "arena-2"
CELL_OF = {A: "0", B: "10", C: "11"}
TOO_LARGE_TO_INLINE = (bytes(200_000), bytes(200_000))
LEASE_MS = 600_000
"""Longer than any test takes."""
START_US = 1_790_000_000_000_000
_R = TypeVar("_R", bound=Reply)


def ids_of(*ids: int) -> bytes:
    return np.array(ids, "<u8").tobytes()


def versions_of(*versions: int) -> bytes:
    return np.array(versions, "<u4").tobytes()


@dataclass
class Fleet:
    """``epochs`` are the current ones; every shard lives and claims its cell."""

    store: RedisStore
    epochs: dict[str, int] = field(default_factory=dict)

    @classmethod
    async def start(cls, store: RedisStore, *shards: str) -> Fleet:
        fleet = cls(store)
        await store.run_script("write_layout", 1, "{}")
        for shard in shards or (A, B):
            await fleet.recover(shard)
            await fleet.live(shard)
        return fleet

    async def recover(self, shard: str, unix_us: int = START_US) -> Recovered:
        ordinal = list(CELL_OF).index(shard)
        reply = await self.ask(Recover(shard=shard, ordinal=ordinal, address="h:1", unix_us=unix_us), Recovered)
        self.epochs[shard] = reply.epoch
        return reply

    async def live(self, shard: str) -> None:
        await self.done(Renew(**self.me(shard), ttl_ms=LEASE_MS))
        await self.done(Claim(**self.me(shard), layout_version=1, cells=(CELL_OF[shard],)))

    def me(self, shard: str) -> dict[str, Any]:
        return {"shard": shard, "epoch": self.epochs[shard]}

    async def reply(self, request: Request) -> Reply:
        (reply,) = await self.store.execute([request])
        assert reply is not None, self.store.last_error
        return reply

    async def ask(self, request: Request, kind: type[_R]) -> _R:
        reply = await self.reply(request)
        assert isinstance(reply, kind), reply
        return reply

    async def done(self, request: Request) -> str:
        """The outcome."""
        return (await self.ask(request, Done)).outcome.value

    async def journal(self, shard: str, after: str = "0-0") -> Entries:
        return await self.ask(Tail(**self.me(shard), read_after=after), Entries)

    def begin(self, sequence: int = 1, *, source: str = A, target: str = B, ids: tuple[int, ...] = (5, 6)) -> Begin:
        return Begin(
            **self.me(source),
            transfer=TransferId(source, self.epochs[source], sequence),
            target=target,
            target_epoch=self.epochs[target],
            cell=CELL_OF[target],
            transfer_time_us=START_US + sequence,
            switch_tick=100,
            count=len(ids),
            ids=ids_of(*ids),
            versions=versions_of(*[2] * len(ids)),
        )

    def accept(self, begin: Begin, rows: bytes = b"the rows \r\n\0\xff") -> Accept:
        return Accept(
            **self.me(begin.target),
            transfer=begin.transfer,
            cell=begin.cell,
            switch_tick=begin.switch_tick,
            offer_tick=98,
            count=begin.count,
            rows=rows,
        )

    def publish(self, shard: str, tick: int, **values: Any) -> Publish:
        defaults = {"position": "0-0", "read_after": "0-0", "header": f'{{"tick":{tick}}}', "chunks": (b"rows",)}
        return Publish(**self.me(shard), tick=tick, **(defaults | values))

    def spawn(self, shard: str, *ids: int, cell: str = CELL_OF[A]) -> Spawn:
        group = SpawnGroup(cell=cell, count=len(ids), ids=ids_of(*ids), rows=b"r" * len(ids), tick=50)
        return Spawn(**self.me(shard), groups=(group,))


async def keys_of(store: RedisStore, part: str) -> list[str]:
    (keys,) = await store.call([("KEYS", f"{store.prefix}{part}*")])
    return sorted(key.decode().removeprefix(store.prefix) for key in keys)
