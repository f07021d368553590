"""A fleet that is only painted: entities on circles, four to many shards, handed over as they cross a border.

The server, the page and all that is pure are the real ones; no shard and no Redis has to keep up with a busy machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from shardfleet_operator.map.feed import Feed
from shardfleet_operator.map.feeds import NoSuchFleet
from shardfleet_operator.map.guard import Guard
from shardfleet_operator.map.news import News
from shardfleet_operator.map.painter import Painter
from shardfleet_operator.map.server import MapServer
from shardfleet_operator.map.snapshot import Snapshot
from shardfleet_operator.serving import served
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.histogram import Histogram
from shardfleet_shard.core.layout import Cell, Layout
from shardfleet_shard.core.manifest import AUTHORITATIVE, PASSING, AuthorityManifest
from shardfleet_shard.core.requests import Member
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.errors import StoreUnavailable
from shardfleet_shard.store.handoff_transfer_manifest import ActiveTransfer
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.system_clock import SystemClock

Answer = TypeVar("Answer")

FLEET = "arena"
HALF = 120.0
INF = math.inf
TICK_RATE = 20
LEAD_S = 0.15
"""So long before the border an entity is passing."""
NAMES = tuple(f"{FLEET}-{number}" for number in range(4))
LAYOUT = Layout(
    3,
    (
        Cell("00", NAMES[0], (-INF, -INF), (0.0, 0.0)),
        Cell("01", NAMES[1], (-INF, 0.0), (0.0, INF)),
        Cell("10", NAMES[2], (0.0, -INF), (INF, 0.0)),
        Cell("11", NAMES[3], (0.0, 0.0), (INF, INF)),
    ),
)
SCHEMA = Schema(2)


class Circles:
    """``count`` entities with ids from 1; ``snapshot(unix_us)`` is what a reader would have read then.

    Args:
        speed: radians a second.
    """

    def __init__(self, count: int, *, speed: float = 0.35, seed: int = 7) -> None:
        rng = np.random.default_rng(seed)
        self.ids = np.arange(1, count + 1, dtype=np.uint64)
        self.radius = 45.0 + (rng.normal(0, 14, count) if count > 100 else np.zeros(count))
        self.angle = rng.uniform(0, 2 * np.pi, count)
        self.speed = speed
        self.began_us = SystemClock().now_unix_us() - 200_000_000
        self.away: frozenset[str] = frozenset()
        self.repaired = 0
        self.stalled_us = 0
        """When a transfer was begun that never ends; 0: none was."""

    def places(self, unix_us: int) -> np.ndarray:
        angle = self.turned(unix_us)
        return np.stack([self.radius * np.cos(angle), self.radius * np.sin(angle)], axis=1)

    def turned(self, unix_us: int) -> np.ndarray:
        return self.angle + self.speed * (unix_us - self.began_us) / 1_000_000

    def owners(self, unix_us: int) -> np.ndarray:
        places = self.places(unix_us)
        return 2 * (places[:, 0] >= 0) + (places[:, 1] >= 0)

    def snapshot(self, unix_us: int) -> Snapshot:
        tick = unix_us * TICK_RATE // 1_000_000
        as_of_us = (tick + 1) * 1_000_000 // TICK_RATE
        owners, next_owners = self.owners(as_of_us), self.owners(as_of_us + int(LEAD_S * 1_000_000))
        quarters = np.floor(self.turned(as_of_us) / (np.pi / 2))
        places, passing = self.places(as_of_us), owners != next_owners
        manifests = {}
        for number, name in enumerate(NAMES):
            mine = owners == number
            manifests[name] = AuthorityManifest(
                shard=name,
                epoch=1,
                tick=tick,
                unix_us=as_of_us,
                position="0-0",
                rows=SCHEMA.rows(
                    id=self.ids[mine], position=places[mine], version=1 + quarters[mine].astype(np.uint32)
                ),
                states=np.where(passing[mine], PASSING, AUTHORITATIVE).astype(np.uint8),
                stats=_stats(number, tick, int(mine.sum())),
            )
        members = tuple(
            Member(shard=name, ordinal=number, epoch=1, address="127.0.0.1:1", living=name not in self.away)
            for number, name in enumerate(NAMES)
        )
        pairs = [(one, other) for one in NAMES for other in NAMES if one < other]
        return Snapshot(
            unix_us=unix_us,
            generation="g",
            leader=NAMES[0],
            layout=LAYOUT,
            members=members,
            manifests=manifests,
            transfers=self._transfers(owners, next_owners, tick, as_of_us),
            counters={"completed_entities": int(quarters.sum()), "repaired_transfers": self.repaired,
                      "repaired_entities": self.repaired},
            links={pair: pair[0] for pair in pairs},
        )  # fmt: skip

    def _transfers(self, owners: np.ndarray, nexts: np.ndarray, tick: int, as_of_us: int) -> Sequence[ActiveTransfer]:
        found = []
        for source, target in sorted(
            {*zip(owners[owners != nexts].tolist(), nexts[owners != nexts].tolist(), strict=True)}
        ):
            ids = self.ids[(owners == source) & (nexts == target)]
            state, holders = [("started", {source}), ("accepted", {source}), ("accepted", set())][tick // 4 % 3]
            found.append(_transfer(source, target, tick, as_of_us, ids, state, holders))
        if self.stalled_us:
            found.insert(0, _transfer(0, 1, 1, self.stalled_us, self.ids[:1], "accepted", {0, 1}))
        return found


def _transfer(
    source: int, target: int, tick: int, at_us: int, ids: np.ndarray, state: str, holders: set[int]
) -> ActiveTransfer:
    return ActiveTransfer(
        id=TransferId(NAMES[source], 1, tick), target=NAMES[target], target_epoch=1, cell="", state=state,
        transfer_time_us=at_us, switch_tick=tick + 3, count=len(ids), ids=ids, versions=np.ones(len(ids), np.uint32),
        holders=frozenset(NAMES[number] for number in holders),
    )  # fmt: skip


def _stats(number: int, tick: int, entities: int) -> dict[str, object]:
    ticks = Histogram()
    ticks.add(900 + 450 * number, weight=tick % 10_000 + 1)
    ticks.add(3_000 + 2_000 * number, weight=(tick % 10_000) // 60 + 1)
    return {"state": "active", "entities": entities, "tick_us": ticks.to_dict(), "publish_interval_us": 50_000}


async def publish(store: RedisStore, circles: Circles, unix_us: int) -> None:
    """As shards do, but by nobody's script."""
    calls: list[Any] = []
    for number, manifest in enumerate(circles.snapshot(unix_us).manifests.values()):
        header, chunks = manifest.to_chunks()
        name = f"{store.prefix}chunk:{manifest.shard}:1:{manifest.tick}"
        calls += [("SET", f"{name}:{part}", chunk) for part, chunk in enumerate(chunks, 1)]
        fields = {"epoch": 1, "tick": manifest.tick, "chunks": len(chunks), "header": json.dumps(header)}
        calls.append(
            ("HSET", f"{store.prefix}manifest:{manifest.shard}", *(one for pair in fields.items() for one in pair))
        )
        calls.append(("HSET", f"{store.prefix}members", manifest.shard, f"{number} 1 127.0.0.1:1"))
        calls.append(("SET", f"{store.prefix}lease:{manifest.shard}", 1))
    await store.call(calls, timeout_s=30.0)


class PaintedReader:
    """A ``Reader``; ``silent`` makes it one whose Redis does not answer."""

    def __init__(self, circles: Circles) -> None:
        self.circles = circles
        self.clock = SystemClock()
        self.silent = False

    async def read(self) -> Snapshot:
        if self.silent:
            raise StoreUnavailable("no answer from Redis at nowhere")
        return self.circles.snapshot(self.clock.now_unix_us())


class PaintedFeeds:
    """``Feeds`` of one painted fleet. Args: ``name``: the fleet's in Redis."""

    def __init__(self, circles: Circles, *, name: str = FLEET) -> None:
        self.name = name
        self.reader = PaintedReader(circles)
        box = ((-HALF, -HALF), (HALF, HALF))
        self.feed = Feed(self.reader, Painter(box=box), News(), self.reader.clock)  # type: ignore[arg-type]

    async def names(self) -> Sequence[str]:
        return [self.name]

    async def get(self, name: str) -> Feed:
        if name != self.name:
            raise NoSuchFleet(f"no fleet {name!r} here")
        return self.feed

    @contextlib.asynccontextmanager
    async def served(
        self, *, token: str = "", at: str | socket.socket = "127.0.0.1:0", max_clients: int = 32
    ) -> AsyncIterator[str]:
        """The page's address."""
        server = MapServer(self, Guard(token=token), max_clients=max_clients)  # type: ignore[arg-type]
        task = asyncio.create_task(self.feed.run())
        try:
            async with served("--listen", at, server.application()) as address:
                yield f"http://{address}/"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def answered(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Asks until Redis has answered within its second, on a machine that is busy with much else."""
    while True:
        with contextlib.suppress(StoreUnavailable):
            return await call()


def past(feeds: PaintedFeeds, seconds: int) -> None:
    """Fills the history as if the map had run for so long."""
    now_us = feeds.reader.clock.now_unix_us()
    for second in range(seconds, 0, -1):
        snapshot = feeds.reader.circles.snapshot(now_us - second * 1_000_000)
        feeds.feed.news.take(snapshot)
        feeds.feed.latest = feeds.feed.painter.paint(snapshot)
        feeds.feed.history.take(feeds.feed.latest)
