"""Shards without a process, for tests of the operator alone: each pod recovers, claims, hands over, drains and resigns
in a real Redis, but simulates nothing. A thousandth of the cost of real ones, and the operator sees no difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from shardfleet_operator.local.world import layout_of
from shardfleet_shard.core.columns import Columns, Schema
from shardfleet_shard.core.journal_requests import Entries, EntryKind, Publish, Tail
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.manifest import JOURNAL_START, AuthorityManifest
from shardfleet_shard.core.requests import Claim, Done, Observe, Observed, Recover, Recovered, Renew, Resign
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.system_clock import SystemClock

from .fake_cluster import FakeCluster, KubeObject, _merged, now

CLOCK = SystemClock()
TURN_S = 0.05
LEASE_MS = 3_000
SEEDED = 50
MOVED_A_TURN = 30
"""Entities that a shard without a cell hands over in one turn."""


@dataclass
class Hollow:
    pod: KubeObject
    ordinal: int
    epoch: int = 0
    cells: tuple[str, ...] = ()
    tick: int = 0
    told: bool = False
    gone: bool = False


class HollowKubelet:
    """Runs the pods of one fleet. ``owned`` counts entities by shard, as published; together always ``SEEDED``.

    Attributes:
        full: nodes that take no pod; where all are, pods wait as unschedulable.
        down: nodes whose shards do nothing any more, and of whose pods nobody hears anything.
        removed_owners: shards that were told to end by the operator though they owned something.
    """

    def __init__(self, cluster: FakeCluster, url: str, *, fleet: str = "play.arena") -> None:
        self.cluster = cluster
        self.store = RedisStore(url, fleet, timeout_s=10.0, connections=1)
        self.shards: dict[str, Hollow] = {}
        self.owned: dict[str, int] = {}
        self.nodes = ["node-a", "node-b"]
        self.full: set[str] = set()
        self.down: set[str] = set()
        self.waiting: list[KubeObject] = []
        self.removed_owners: list[str] = []
        self.fewest_claimed: int | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    # --- what a kubelet is told --------------------------------------------------------------------------------

    def take(self, pod: KubeObject) -> None:
        self.waiting.append(pod)

    def stop(self, pod: KubeObject) -> None:
        name = pod["metadata"]["name"]
        hollow = self.shards.get(name)
        if hollow is None or hollow.pod["metadata"]["uid"] != pod["metadata"]["uid"]:
            self.waiting = [one for one in self.waiting if one["metadata"]["uid"] != pod["metadata"]["uid"]]
            self.cluster.remove(pod)
        elif self.node_of(name) not in self.down:
            hollow.told = True
            if hollow.cells or self.owned.get(name):
                self.removed_owners.append(name)

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task  # raises what ended it early
        await self.store.close()

    def node_of(self, shard: str) -> str:
        return str(self.cluster.objects["Pod", "play", shard]["spec"]["nodeName"])

    # --- their lives -------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        await self.store.connect()
        await self.store.join()
        while True:
            self._schedule()
            (seen,) = await self.store.execute([Observe()])
            if isinstance(seen, Observed):
                layout = layout_of(seen)
                for name, hollow in list(self.shards.items()):
                    if self.node_of(name) in self.down:
                        continue
                    await self._turn(name, hollow, layout, seen.phase)
                claimed = sum(len(hollow.cells) for hollow in self.shards.values())
                if self.fewest_claimed is not None:
                    self.fewest_claimed = min(self.fewest_claimed, claimed)
            await asyncio.sleep(TURN_S)

    def _schedule(self) -> None:
        for pod in list(self.waiting):
            key = FakeCluster._key(pod)
            current = self.cluster.objects.get(key)
            if current is None or current["metadata"]["uid"] != pod["metadata"]["uid"]:
                self.waiting.remove(pod)
                continue
            free = [node for node in self.nodes if node not in self.full]
            if not free:
                message = f"0/{len(self.nodes)} nodes are available: {len(self.nodes)} node(s) were unschedulable."
                condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
                self.cluster.patch_status(pod, {"phase": "Pending", "conditions": [condition]})
                continue
            self.waiting.remove(pod)
            ordinal = int(pod["metadata"]["labels"]["shardfleet.dev/ordinal"])
            node = free[ordinal % len(free)]
            self.cluster._changed(current, _merged(current, {"spec": {"nodeName": node}}))
            self.shards[pod["metadata"]["name"]] = Hollow(pod, ordinal)
            state = {"running": {"startedAt": now()}}
            self._status(pod, "Running", state, ordinal, ready=True)

    async def _turn(self, name: str, hollow: Hollow, layout: Layout | None, phase: str) -> None:
        if not hollow.epoch:
            address = f"{_address(hollow.ordinal)}:7000"
            now_us = CLOCK.now_unix_us()
            recover = Recover(shard=name, ordinal=hollow.ordinal, address=address, unix_us=now_us)
            (recovered,) = await self.store.execute([recover])
            if isinstance(recovered, Recovered) and not recovered.lease_left_ms:
                hollow.epoch = recovered.epoch
            return
        await self.store.execute([Renew(shard=name, epoch=hollow.epoch, ttl_ms=LEASE_MS)])
        wanted = tuple(cell.path for cell in layout.cells_of(name)) if layout is not None and phase == "run" else ()
        if wanted != hollow.cells and layout is not None:
            claim = Claim(shard=name, epoch=hollow.epoch, layout_version=layout.version, cells=wanted)
            (reply,) = await self.store.execute([claim])
            if isinstance(reply, Done):
                hollow.cells = wanted
        if hollow.cells and not self.owned:
            self.owned[name] = SEEDED
        largest = max(self.owned, key=lambda shard: self.owned[shard], default=name)
        if hollow.cells and not self.owned.get(name):  # entities fly into a cell that was cut off another's
            self.owned[name] = self.owned[largest] // 2
            self.owned[largest] -= self.owned[name]
        claimants = [shard for shard, other in sorted(self.shards.items()) if other.cells]
        if not hollow.cells and self.owned.get(name) and claimants:
            moved = min(MOVED_A_TURN, self.owned[name])
            self.owned[name] -= moved
            self.owned[claimants[0]] = self.owned.get(claimants[0], 0) + moved
        await self._publish(name, hollow)
        drained = not self.owned.get(name) and not hollow.cells and not wanted
        if (hollow.told and drained) or phase != "run":
            await self._end(name, hollow)

    async def _take_over(self, name: str, hollow: Hollow) -> str:
        """What its journal says that it has now. Returns the position through which that is so."""
        (tail,) = await self.store.execute([Tail(shard=name, epoch=hollow.epoch, read_after=JOURNAL_START)])
        position = JOURNAL_START
        for entry in tail.entries if isinstance(tail, Entries) else ():
            position = entry.id
            if entry.kind is EntryKind.TAKEOVER:  # the others are a census', whose rows here have all one id
                gone = entry.peer.partition("@")[0]
                self.shards.pop(gone, None)
                self.owned[name] = self.owned.get(name, 0) + self.owned.pop(gone, 0)
        return position

    async def _publish(self, name: str, hollow: Hollow) -> None:
        hollow.tick += 1
        position = await self._take_over(name, hollow) if self.down else JOURNAL_START
        schema = Schema(2)
        rows: Columns = schema.empty(self.owned.get(name, 0))
        manifest = AuthorityManifest(
            shard=name, epoch=hollow.epoch, tick=hollow.tick, unix_us=CLOCK.now_unix_us(), position=position,
            rows=rows, states=np.zeros(len(rows), np.uint8), stats={"entities": len(rows), "state": "active"},
        )  # fmt: skip
        header, chunks = manifest.to_chunks()
        await self.store.execute(
            [Publish(shard=name, epoch=hollow.epoch, tick=hollow.tick, position=position,
                     header=json.dumps(header), chunks=tuple(chunks), read_after=JOURNAL_START)]
        )  # fmt: skip

    async def _end(self, name: str, hollow: Hollow) -> None:
        (reply,) = await self.store.execute([Resign(shard=name, epoch=hollow.epoch)])
        if not isinstance(reply, Done):
            return
        del self.shards[name]
        current = self.cluster.objects.get(("Pod", "play", name))
        if current is None or current["metadata"]["uid"] != hollow.pod["metadata"]["uid"]:
            return
        ended = {"exitCode": 0, "startedAt": now(), "finishedAt": now(), "reason": "Completed"}
        self._status(hollow.pod, "Succeeded", {"terminated": ended}, hollow.ordinal, ready=False)
        current = self.cluster.objects.get(("Pod", "play", name))
        if current is not None and "deletionTimestamp" in current["metadata"]:
            self.cluster.remove(current)

    def _status(self, pod: KubeObject, phase: str, state: dict[str, Any], ordinal: int, *, ready: bool) -> None:
        self.cluster.patch_status(
            pod,
            {
                "phase": phase,
                "podIP": _address(ordinal),
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                "containerStatuses": [{"name": "shard", "state": state}],
            },
        )


def _address(ordinal: int) -> str:
    return f"127.2.0.{2 + ordinal}"
