"""The fleet at one moment, as Redis has it: who holds what, and which transfers are open.

All of a snapshot is read in one MULTI, so nothing moves meanwhile, and every count in it is exact: an entity that no
shard holds by its manifest and journal is lost, one that two hold is doubled, at whatever moment it is taken.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from shardfleet_shard.core.columns import U32, U64
from shardfleet_shard.core.ledger import ShardEvidence, holdings
from shardfleet_shard.core.manifest import FROZEN, AuthorityManifest
from shardfleet_shard.core.stats import ShardStats
from shardfleet_shard.store.journal import entries_from_flat
from shardfleet_shard.store.keys import fleet_prefix
from shardfleet_shard.store.scripts import load_lua

STILL_TO_GO_US = 15_000
"""An accepted transfer whose switch is less than this away might be cleared before the fault strikes: not chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """An accepted transfer: at any time before ``switch_us`` (Unix microseconds) it is accepted and not cleared."""

    source: str
    target: str
    switch_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What one shard holds. ``moving``: those of ``ids`` that its newest manifest does not show as frozen."""

    shard: str
    epoch: int
    unix_us: int
    state: str
    ids: U64
    versions: U32
    moving: U64


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    holdings: tuple[Holding, ...]
    living: frozenset[str]
    """Shards with a lease."""

    def lost(self, expected: U64) -> U64:
        return np.setdiff1d(expected, np.concatenate([holding.ids for holding in self.holdings]))

    def doubled(self) -> U64:
        ids, counts = np.unique(np.concatenate([holding.ids for holding in self.holdings]), return_counts=True)
        return ids[counts > 1]

    def strays(self, expected: U64) -> U64:
        """Held, and never spawned."""
        return np.setdiff1d(np.concatenate([holding.ids for holding in self.holdings]), expected)

    def owned_since(self, unix_us: int) -> int:
        """How many entities an active shard simulates, by a manifest later than ``unix_us``."""
        fresh = [
            h.moving for h in self.holdings if h.unix_us > unix_us and h.state == "active" and h.shard in self.living
        ]
        return len(np.unique(np.concatenate(fresh))) if fresh else 0

    def versions(self) -> tuple[U64, U32]:
        """(ids, sorted; the version that each is held under, the highest where several hold it)."""
        ids = np.concatenate([holding.ids for holding in self.holdings])
        versions = np.concatenate([holding.versions for holding in self.holdings])
        order = np.lexsort((versions, ids))
        ids, versions = ids[order], versions[order]
        last = np.append(ids[1:] != ids[:-1], True) if len(ids) else np.zeros(0, bool)
        return ids[last], versions[last]


class Reader:
    """Reads on a client of its own; every method raises ``redis.RedisError`` where Redis does not answer."""

    def __init__(self, client: Any, fleet: str, shards: Sequence[str]) -> None:
        self._client = client
        self._prefix = fleet_prefix(fleet)
        self.shards = tuple(shards)

    def close(self) -> None:
        self._client.close()

    def snapshot(self) -> Snapshot:
        text = load_lua("read_shard").text
        with self._client.pipeline(transaction=True) as pipeline:
            for shard in self.shards:
                pipeline.eval(text, 0, self._prefix, "", "", 0, shard)
            for shard in self.shards:
                pipeline.exists(f"{self._prefix}lease:{shard}")
            answers = pipeline.execute()
        count = len(self.shards)
        found = [_holding(shard, *answer) for shard, answer in zip(self.shards, answers[:count], strict=True)]
        living = frozenset(shard for shard, lease in zip(self.shards, answers[count:], strict=True) if lease)
        return Snapshot(holdings=tuple(found), living=living)

    def open_transfers(self) -> list[Open]:
        """Accepted ones whose switch is still some time away."""
        soon = time.time_ns() // 1000 + STILL_TO_GO_US
        ids = self._client.zrangebyscore(f"{self._prefix}active", soon, "+inf", start=0, num=256)
        with self._client.pipeline(transaction=False) as pipeline:
            for name in ids:
                pipeline.hmget(
                    self._prefix + "record:" + name.decode(), "state", "source", "target", "transfer_time_us"
                )
            records = pipeline.execute()
        return [
            Open(source=source.decode(), target=target.decode(), switch_us=int(switch_us))
            for state, source, target, switch_us in records
            if state == b"accepted"
        ]

    def stats(self) -> dict[tuple[str, int], ShardStats]:
        """What each shard says of itself in its last manifest, by shard and epoch."""
        with self._client.pipeline(transaction=False) as pipeline:
            for shard in self.shards:
                pipeline.hget(f"{self._prefix}manifest:{shard}", "header")
            headers = [json.loads(text) for text in pipeline.execute() if text]
        return {(header["shard"], header["epoch"]): ShardStats.from_dict(header["stats"]) for header in headers}

    def leases(self) -> frozenset[str]:
        with self._client.pipeline(transaction=False) as pipeline:
            for shard in self.shards:
                pipeline.exists(f"{self._prefix}lease:{shard}")
            return frozenset(shard for shard, lease in zip(self.shards, pipeline.execute(), strict=True) if lease)

    def oldest_switch_us(self) -> float:
        """Switch time of the oldest transfer that is not cleared, Unix microseconds; infinite where there is none."""
        oldest = self._client.zrange(f"{self._prefix}active", 0, 0, withscores=True)
        return float(oldest[0][1]) if oldest else math.inf

    def completed(self) -> int:
        """Entities whose transfer was cleared, as the scripts count them."""
        return int(self._client.hget(f"{self._prefix}counters", "completed_entities") or 0)


def _holding(shard: str, header: bytes, chunks: Sequence[bytes], flat: Sequence[bytes]) -> Holding:
    entries = entries_from_flat(flat, 6)
    if not header:
        ids, versions = holdings(ShardEvidence(shard, np.zeros(0, np.uint64), np.zeros(0, np.uint32), entries))
        return Holding(shard=shard, epoch=0, unix_us=0, state="", ids=ids, versions=versions, moving=ids[:0])
    manifest = AuthorityManifest.from_chunks(json.loads(header), chunks)
    rows = manifest.rows
    ids, versions = holdings(ShardEvidence(shard, rows.id, rows.version, entries))
    still = rows.id[manifest.states == FROZEN]
    return Holding(
        shard=shard,
        epoch=manifest.epoch,
        unix_us=manifest.unix_us,
        state=str(manifest.stats["state"]),
        ids=ids,
        versions=versions,
        moving=ids[~np.isin(ids, still)],
    )
