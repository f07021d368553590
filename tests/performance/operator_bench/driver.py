"""``python -m tests.performance.operator_bench.driver``: plays every shard whose pod runs, until it is told to end."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from shardfleet_operator.cluster import names
from shardfleet_operator.cluster.pods import PodFacts, pod_facts
from shardfleet_operator.local.world import layout_of
from shardfleet_shard.core.clock import Clock
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.requests import Elect, Elected, Observe, Observed, Recover, Request
from shardfleet_shard.core.spawn_requests import Seed
from shardfleet_shard.errors import StoreError
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.system_clock import SystemClock

from .access import Access
from .shards import GRID, LEAD_TICKS, PORT, Pace, Shard, seed_groups

TURN_S = 0.5
"""Between two looks at a fleet, less what the last one took."""
ELECTION_MS = 60_000
PODS = "/api/v1/pods"
LINE_BYTES = 1 << 22

log = logging.getLogger("driver")


class FleetOfShards:
    """All simulated shards of one fleet. One turn: one look, then one pipeline with what all of them ask."""

    def __init__(self, store: RedisStore, clock: Clock, pace: Pace, *, entities_per_cell: int) -> None:
        self.shards: dict[str, Shard] = {}
        self._pods: dict[str, str] = {}
        """uid by name, of pods whose shard is played or was."""
        self._store = store
        self._clock = clock
        self._pace = pace
        self._entities_per_cell = entities_per_cell
        self._layout: Layout | None = None
        self._layout_text = ""
        self._cells: dict[str, tuple[str, ...]] = {}

    def take_pod(self, facts: PodFacts, *, gone: bool) -> None:
        """A pod as it is, or as it last was."""
        if gone or facts.ended:
            if self._pods.get(facts.name) == facts.uid:
                self.shards.pop(facts.name, None)
            return
        if not (facts.began and facts.address):
            return
        if self._pods.get(facts.name) != facts.uid:
            self._pods[facts.name] = facts.uid
            address = f"{facts.address}:{PORT}"
            self.shards[facts.name] = Shard(name=facts.name, ordinal=facts.ordinal, address=address, pace=self._pace)
        if facts.deleting and facts.name in self.shards:
            self.shards[facts.name].ending = True

    async def turn(self) -> None:
        if not self.shards:
            return
        if not self._store.generation:
            await self._store.connect()
            await self._store.join()
        (observed,) = await self._store.execute([Observe()])
        if not isinstance(observed, Observed):
            return
        self._learn(observed)
        now_us = self._clock.now_unix_us()
        asked: list[tuple[Shard, Request]] = []
        for shard in self.shards.values():
            shard.ending |= observed.phase != "run"
            asked += [(shard, one) for one in shard.requests(self._layout, self._cells.get(shard.name, ()), now_us)]
        replies = await self._store.execute([request for _, request in asked])
        for (shard, request), reply in zip(asked, replies, strict=True):
            shard.take(request, reply, now_us)
        await self._take_up([shard for shard, request in asked if isinstance(request, Recover)], observed)
        if not observed.seeded and self._layout is not None:
            await self._seed(self._layout, observed)

    def _learn(self, observed: Observed) -> None:
        if observed.layout != self._layout_text:
            self._layout, self._layout_text = layout_of(observed), observed.layout
            cells: dict[str, list[str]] = {}
            for cell in self._layout.cells if self._layout is not None else ():
                cells.setdefault(cell.shard, []).append(cell.path)
            self._cells = {shard: tuple(paths) for shard, paths in cells.items()}

    async def _take_up(self, shards: list[Shard], observed: Observed) -> None:
        """Nobody left anything behind in a world without a seed."""
        records = {}
        if observed.seeded and shards:
            found = await self._store.read_shards([shard.name for shard in shards])
            records = {record.shard: record for record in found}
        for shard in shards:
            if shard.epoch:
                shard.take_up(records.get(shard.name))

    async def _seed(self, layout: Layout, observed: Observed) -> None:
        claiming = {path for shard in self.shards.values() for path in shard.cells}
        if claiming != set(layout.by_path):
            return
        first = min(self.shards.values(), key=lambda shard: shard.ordinal)
        elect = Elect(shard=first.name, epoch=first.epoch, ttl_ms=ELECTION_MS)
        (elected,) = await self._store.execute([elect])
        owner = self.shards.get(elected.shard) if isinstance(elected, Elected) else None
        if owner is not None:
            now_us = self._clock.now_unix_us()
            groups = seed_groups(layout, self._entities_per_cell, now_us)
            origin = GRID.at(now_us) + LEAD_TICKS
            await self._store.execute([Seed(shard=owner.name, epoch=owner.epoch, origin_tick=origin, groups=groups)])

    async def run(self) -> None:
        """Until it is canceled."""
        while True:
            started_us = self._clock.boottime_us()
            try:
                await self.turn()
            except StoreError as error:  # it is asked again, as a shard would
                log.warning("%s: %s", self._store.fleet, error)
            took_s = (self._clock.boottime_us() - started_us) / 1_000_000
            await asyncio.sleep(max(0.02, TURN_S - took_s))


class Driver:
    """A ``FleetOfShards`` for each fleet that has pods."""

    def __init__(self, redis_url: str, pace: Pace, *, entities_per_cell: int) -> None:
        self._redis_url = redis_url
        self._pace = pace
        self._entities_per_cell = entities_per_cell
        self._clock = SystemClock()
        self._fleets: dict[str, FleetOfShards] = {}

    async def run(self, kubeconfig: Path) -> None:
        async with asyncio.TaskGroup() as tasks:
            async for kind, body in pod_events(Access.of(kubeconfig)):
                facts = pod_facts(body)
                if facts is None:
                    continue
                identity = f"{facts.namespace}.{facts.fleet}"
                if identity not in self._fleets:
                    store = RedisStore(self._redis_url, identity, timeout_s=10.0, connections=1)
                    fleet = FleetOfShards(store, self._clock, self._pace, entities_per_cell=self._entities_per_cell)
                    self._fleets[identity] = fleet
                    tasks.create_task(fleet.run(), name=identity)
                self._fleets[identity].take_pod(facts, gone=kind == "DELETED")


async def pod_events(access: Access) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
    """All pods of fleets as they are, then every change; anew where the apiserver ends the watch, as it does with a
    watcher that is slower than what happens."""
    headers = {"Authorization": f"Bearer {access.token}"}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=None)
    query = {"labelSelector": names.FLEET_LABEL}
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, read_bufsize=LINE_BYTES) as session:
        url, context = access.server + PODS, access.context()
        known: dict[str, Mapping[str, Any]] = {}
        while True:
            async with session.get(url, params=query, ssl=context) as answer:
                listed = await answer.json()
            there = {body["metadata"]["uid"]: body for body in listed["items"]}
            for body in [body for uid, body in known.items() if uid not in there]:
                yield "DELETED", body
            for body in there.values():
                yield "ADDED", body
            known = there
            version = listed["metadata"]["resourceVersion"]
            watch = {**query, "watch": "1", "resourceVersion": version, "timeoutSeconds": "36000"}
            async with session.get(url, params=watch, ssl=context) as answer:
                async for line in answer.content:
                    event = json.loads(line)
                    kind, body = event["type"], event["object"]
                    if kind == "ERROR":  # what it was to go on from is too old
                        break
                    known[body["metadata"]["uid"]] = body
                    if kind == "DELETED":
                        del known[body["metadata"]["uid"]]
                    yield kind, body


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.operator_bench.driver", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--redis", required=True, help="its URL")
    parser.add_argument("--lease-ms", type=int, required=True, help="of all shards")
    parser.add_argument("--publish-ms", type=int, required=True, help="between two manifests of a shard")
    parser.add_argument("--entities", type=int, default=2, help="in each cell (%(default)s)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    pace = Pace(lease_us=options.lease_ms * 1_000, publish_us=options.publish_ms * 1_000)
    driver = Driver(options.redis, pace, entities_per_cell=options.entities)

    async def run() -> None:
        running = asyncio.create_task(driver.run(options.kubeconfig))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(run())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
