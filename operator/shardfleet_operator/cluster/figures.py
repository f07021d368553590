"""What the shards of a fleet publish about themselves, gathered from Redis now and then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shardfleet_shard.core.stats import ShardStats

from ..handoff_rate import HandoffRate
from ..local.world import World

GATHER_US = 2_000_000
RATE_WINDOW_US = 10_000_000
"""Handoffs a second are counted over this much of the past."""


class FleetFigures:
    """The newest only: a fleet that lives for months leaves nothing behind here.

    Attributes:
        stats: by shard, with the epoch that published them.
    """

    def __init__(self) -> None:
        self.stats: dict[str, tuple[int, ShardStats]] = {}
        self.counters: Mapping[str, int] | None = None
        self.active_transfers = 0
        self._gathered_us = 0
        self._rate = HandoffRate(window_us=RATE_WINDOW_US)

    async def gather(self, world: World, now_us: int, shards: Sequence[str]) -> None:
        """Reads, unless that was done a moment ago. Raises ``StoreError``."""
        if now_us - self._gathered_us < GATHER_US:
            return
        self._gathered_us = now_us
        headers = await world.headers(shards)
        self.stats = {
            str(header["shard"]): (int(header["epoch"]), ShardStats.from_dict(header.get("stats", {})))
            for header in headers
        }
        self.counters = await world.admin.counters()
        (self.active_transfers,) = await world.store.call([("ZCARD", f"{world.store.prefix}active")])
        self._rate.read(self.counters["completed_entities"], now_us)

    @property
    def handoffs_per_second(self) -> float:
        return self._rate.per_second

    @property
    def skewed(self) -> list[str]:
        """'arena-0 (to arena-2)' for each shard whose clock is out of the limit of others."""
        return [
            f"{shard} (to {one.skewed_peers})" for shard, (_, one) in sorted(self.stats.items()) if one.skewed_peers
        ]
