"""A fleet as Redis shows it: counters, the shards' own figures in their manifests' headers, rows and journals."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import redis
from shardfleet_shard.core.columns import U64
from shardfleet_shard.core.histogram import Histogram
from shardfleet_shard.core.journal_requests import ShardRecord
from shardfleet_shard.core.ledger import ShardEvidence, holdings
from shardfleet_shard.core.manifest import FROZEN, AuthorityManifest
from shardfleet_shard.core.stats import ShardStats
from shardfleet_shard.store.keys import fleet_prefix
from shardfleet_shard.store.redis_store import shard_record
from shardfleet_shard.store.scripts import script_command

from . import processes


class Observer:
    """Reads only, by a connection of its own; what it reads is small, but it is load all the same."""

    def __init__(self, client: redis.Redis, fleet: str) -> None:
        self._client: Any = client
        self._prefix = fleet_prefix(fleet)

    def close(self) -> None:
        self._client.close()

    def counters(self) -> dict[str, int]:
        """Counts since the world's start, kept by the scripts."""
        return {name.decode(): int(value) for name, value in self._client.hgetall(self._key("counters")).items()}

    def handoffs(self) -> int:
        """Entities whose transfer is complete: its record is cleared and the target alone holds them."""
        return int(self._client.hget(self._key("counters"), "completed_entities") or 0)

    def members(self) -> list[str]:
        return sorted(name.decode() for name in self._client.hkeys(self._key("members")))

    def claims(self) -> int:
        return int(self._client.hlen(self._key("claims")))

    def stats(self) -> dict[tuple[str, int], ShardStats]:
        """By shard and epoch: what each shard said of itself in its last manifest."""
        headers = (self._client.hget(self._key(f"manifest:{shard}"), "header") for shard in self.members())
        found = (json.loads(header) for header in headers if header)
        return {(header["shard"], header["epoch"]): ShardStats.from_dict(header["stats"]) for header in found}

    def info(self, section: str) -> dict[str, Any]:
        return dict(self._client.info(section))

    def owned_since(self, unix_us: int) -> int:
        """Entities, not frozen, that an active shard holds by a manifest later than ``unix_us`` and its journal."""
        ids: list[U64] = [np.zeros(0, np.uint64)]
        for record in self._records():
            header = json.loads(record.header or "{}")
            if not header or header["unix_us"] <= unix_us or header["stats"]["state"] != "active":
                continue
            manifest = AuthorityManifest.from_chunks(header, record.chunks)
            moving = manifest.rows.take(manifest.states != FROZEN)
            ids.append(holdings(ShardEvidence(record.shard, moving.id, moving.version, record.entries))[0])
        return len(np.unique(np.concatenate(ids)))

    def _records(self) -> list[ShardRecord]:
        """Manifests and journals of one moment: read one after another they miss who crosses a border meanwhile."""
        shards = self.members()
        with self._client.pipeline(transaction=True) as pipeline:
            for shard in shards:
                pipeline.execute_command(*script_command("read_shard", self._prefix, "", shard))
            return [shard_record(shard, reply) for shard, reply in zip(shards, pipeline.execute(), strict=True)]

    def _key(self, name: str) -> str:
        return self._prefix + name


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Counts at one moment; the difference of two is what happened between them."""

    at_s: float
    completed: int
    """Entities."""
    completed_transfers: int
    ticks_skipped: int
    requests: int
    """Requests that the shards sent to Redis."""
    commands: int
    """Commands that Redis executed, those inside scripts included."""
    bytes_moved: int
    """Sent over the shards' links, and in and out of Redis."""
    manifest_bytes: int
    """Of these: the manifests."""
    cpu_s: float
    """Of all the fleet's processes, Redis included."""
    cpu_by_pid: dict[int, float]
    publish_us: int
    tick_us: Histogram
    gap_us: Histogram

    @classmethod
    def take(cls, observer: Observer, root: int, *others: int) -> Sample:
        """``root``: the pid of ``shardfleet local up``; ``others``: of processes that it uses, and did not start."""
        counters, at_s = observer.counters(), time.monotonic()
        stats = observer.stats().values()
        traffic = observer.info("stats")
        commands = observer.info("commandstats")
        cpu_by_pid = {process.pid: process.cpu_s for pid in (root, *others) for process in processes.descendants(pid)}
        tick_us, gap_us = Histogram(), Histogram()
        for shard in stats:
            tick_us.merge(shard.tick_us)
            gap_us.merge(shard.gap_us)
        return cls(
            at_s=at_s,
            completed=counters.get("completed_entities", 0),
            completed_transfers=counters.get("completed_transfers", 0),
            ticks_skipped=sum(shard.ticks_skipped for shard in stats),
            requests=sum(shard.redis_requests for shard in stats),
            commands=sum(command["calls"] for command in commands.values()),
            bytes_moved=sum(shard.link_bytes_sent for shard in stats)
            + traffic["total_net_input_bytes"]
            + traffic["total_net_output_bytes"],
            manifest_bytes=sum(shard.publish_bytes for shard in stats),
            cpu_s=sum(cpu_by_pid.values()),
            cpu_by_pid=cpu_by_pid,
            publish_us=sum(shard.publish_us for shard in stats),
            tick_us=tick_us,
            gap_us=gap_us,
        )
