"""Shards that are only their links: managers and servers in one process, over real gRPC on the loopback."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.frames import Answer, Final, Hello, Offer
from shardfleet_shard.core.ticks import TickGrid
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.net.api import ShardApi
from shardfleet_shard.net.limits import LinkLimits
from shardfleet_shard.net.links import HandoffConnectionManager
from shardfleet_shard.net.packets import HandoffPacketManager
from shardfleet_shard.net.server import ShardServer
from shardfleet_shard.net.streams import INSECURE, Credentials
from shardfleet_shard.system_clock import SystemClock

from tests.patience import PATIENCE_S

SCHEMA = Schema(2, np.dtype([("mass", "<f8")]))
GRID = TickGrid(20)
QUICK = LinkLimits(
    ping_interval_us=20_000,
    inactivity_us=150_000,
    hello_deadline_us=60_000_000,
    dial_grace_us=200_000,
    backoff_min_us=10_000,
    backoff_max_us=50_000,
    silent_pings=3_000,
)
"""Patient with those who are late, as all here are on a busy machine."""
PATIENT = replace(QUICK, dial_grace_us=60_000_000)
"""The side that should not dial does not, however long the other takes."""


async def eventually(condition: Callable[[], Any], what: str = "") -> None:
    """Waits until ``condition`` holds; the bound is generous, since it only matters when a test fails."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - conditions of many objects, which signal nothing
            await asyncio.sleep(0.005)


def offer(source: str = "arena-0", *, epoch: int = 1, sequence: int = 1, count: int = 3) -> Offer:
    transfer_time_us = 1_000_000_000_000
    return Offer(
        transfer=TransferId(source, epoch, sequence),
        target_epoch=1,
        cell="01",
        transfer_time_us=transfer_time_us,
        switch_tick=GRID.switch_tick(transfer_time_us),
        offer_tick=GRID.switch_tick(transfer_time_us) - 2,
        count=count,
        columns=SCHEMA.empty(count).pack(),
    )


def final(source: str = "arena-0", *, epoch: int = 1, sequence: int = 1, count: int = 3) -> Final:
    rows = SCHEMA.rows(id=np.arange(count), position=[1.0, 2.0], mass=5.0)
    return Final(transfer=TransferId(source, epoch, sequence), tick=5, unix_us=7, count=count, columns=rows.pack())


def answer(source: str = "arena-0", *, epoch: int = 1, sequence: int = 1) -> Answer:
    return Answer(transfer=TransferId(source, epoch, sequence), accepted=True, reason="", generation="g")


class Node:
    """One shard's links. Keeps what the callbacks said."""

    def __init__(
        self,
        ordinal: int,
        *,
        limits: LinkLimits = QUICK,
        offset_us: int = 0,
        leases: Any = None,
        credentials: Credentials = INSECURE,
        schema: Schema = SCHEMA,
    ) -> None:
        self.schema = schema
        self.name = f"arena-{ordinal}"
        self.ordinal = ordinal
        self.hello: Hello | None = Hello(
            shard=self.name,
            epoch=1,
            generation="g",
            protocol_version=1,
            fleet="arena",
            schema_hash=schema.hash,
        )
        self.limits = limits
        self.clock = SystemClock(offset_us=offset_us)
        self.frames: list[tuple[str, int, Any]] = []
        self.ups: list[tuple[str, int]] = []
        self.downs: list[tuple[str, str]] = []
        self.leases = leases
        self.credentials = credentials
        self.make_manager()
        self.server: ShardServer | None = None
        self.address = "127.0.0.1:0"

    def make_manager(self) -> None:
        self.manager = HandoffConnectionManager(
            hello=lambda: self.hello,
            ordinal=self.ordinal,
            packets=HandoffPacketManager(self.schema, GRID),
            clock=self.clock,
            generator=random.Random(self.ordinal),
            on_frame=lambda peer, epoch, frame: self.frames.append((peer, epoch, frame)),
            on_up=lambda peer, epoch, hello: self.ups.append((peer, epoch)),
            on_down=lambda peer, reason: self.downs.append((peer, reason)),
            leases=self.leases,
            limits=self.limits,
            credentials=self.credentials,
        )

    def say(self, **changes: Any) -> None:
        """Changes this shard's Hello."""
        assert self.hello is not None
        self.hello = replace(self.hello, **changes)

    async def start(self, api: ShardApi | None = None) -> None:
        self.server = ShardServer(self.address, schema=self.schema, credentials=self.credentials)
        self.address = await self.server.bind()
        await self.server.start(links=self.manager, api=api)  # type: ignore[arg-type]

    async def stop(self) -> None:
        await self.manager.close()
        if self.server is not None:
            await self.server.stop(grace_s=0.05)
            self.server = None

    @property
    def up(self) -> list[str]:
        return [row["peer"] for row in self.manager.describe() if row["up"]]


class Fleet:
    """Nodes that know each other; an asynchronous context manager."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = nodes

    async def __aenter__(self) -> Self:
        for node in self.nodes:
            await node.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for node in self.nodes:
            await node.stop()

    def observe(self, *, wanted: bool = True) -> None:
        """Every node learns of all; ``wanted``: all are neighbours."""
        peers = {
            node.name: (node.address, node.ordinal, node.hello.epoch) for node in self.nodes if node.hello is not None
        }
        for node in self.nodes:
            node.manager.set_peers(peers, set(peers) if wanted else set())
