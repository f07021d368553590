"""What the map says of each shard: tick time and load as of late, state, entities. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from shardfleet_shard.core.histogram import Histogram
from shardfleet_shard.core.manifest import AuthorityManifest

from .snapshot import Snapshot

WINDOW_US = 5_000_000
"""Tick times are of this much of the past, and not of the process' whole life."""
LOOK_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    unix_us: int
    tick_us: Histogram


@dataclass(slots=True)
class _Shard:
    epoch: int
    looks: deque[_Look] = field(default_factory=deque)


class ShardFigures:
    """Remembers for each shard's newest process what it had counted some seconds ago."""

    def __init__(self) -> None:
        self._shards: dict[str, _Shard] = {}

    def lines(self, snapshot: Snapshot) -> dict[str, dict[str, Any]]:
        """A line for each shard that is there or is meant to be, as the page gets it."""
        members = {member.shard: member for member in snapshot.members}
        names, rate = snapshot.shards, rate_of(snapshot)
        for gone in self._shards.keys() - set(names):
            del self._shards[gone]
        lines = {}
        for name in names:
            manifest, member = snapshot.manifests.get(name), members.get(name)
            stats = manifest.stats if manifest is not None else {}
            living = member is not None and member.living
            current = manifest is not None and member is not None and manifest.epoch == member.epoch
            state = str(stats.get("state", "starting")) if current else "starting"
            lines[name] = {
                "name": name,
                "state": state if living else "away",
                "living": living,
                "leader": name == snapshot.leader,
                "entities": int(stats.get("entities", 0)),
                "passing": int(stats.get("passing", 0)),
                "frozen": int(stats.get("frozen", 0)),
                "skipped": int(stats.get("ticks_skipped", 0)),
                "interval_us": int(stats.get("publish_interval_us", 0)),
                "error": str(stats.get("last_error", "")) if state == "simulation-error" else "",
                "unix_us": _as_of_us(manifest, rate) if manifest is not None else 0,
                "epoch": member.epoch if member is not None else 0,
                **self._ticks(name, manifest, rate),
            }
        return lines

    def _ticks(self, name: str, manifest: AuthorityManifest | None, tick_rate: int) -> dict[str, Any]:
        if manifest is None:
            return {"tick_p50_ms": None, "tick_p99_ms": None, "load": None}
        shard = self._shards.get(name)
        if shard is None or shard.epoch != manifest.epoch:
            shard = self._shards[name] = _Shard(manifest.epoch)
        looks = shard.looks
        if not looks or manifest.unix_us - looks[-1].unix_us >= LOOK_US:
            histogram = manifest.stats.get("tick_us")
            looks.append(_Look(unix_us=manifest.unix_us, tick_us=_read(histogram)))
            while len(looks) > 2 and looks[1].unix_us <= manifest.unix_us - WINDOW_US:
                looks.popleft()
        recent = since(looks[0].tick_us, looks[-1].tick_us) if len(looks) > 1 else looks[-1].tick_us
        mean_us = recent.total / recent.count if recent.count else None
        return {
            "tick_p50_ms": _ms(recent.quantile(0.5)),
            "tick_p99_ms": _ms(recent.quantile(0.99)),
            "load": round(mean_us * tick_rate / 1_000_000, 4) if mean_us is not None and tick_rate else None,
        }


def since(before: Histogram, after: Histogram) -> Histogram:
    """What was added to ``before`` until it became ``after``; lowest and highest stay those of all."""
    difference = Histogram()
    counts = {bucket: count - before.buckets.get(bucket, 0) for bucket, count in after.buckets.items()}
    difference.buckets = {bucket: count for bucket, count in counts.items() if count > 0}
    difference.count, difference.total = after.count - before.count, after.total - before.total
    difference.lowest, difference.highest = after.lowest, after.highest
    return difference


def rate_of(snapshot: Snapshot) -> int:
    """Ticks a second, 0 before the first manifest: ticks lie on a grid that begins at Unix time 0."""
    newest = max(snapshot.manifests.values(), key=lambda one: one.tick, default=None)
    if newest is None or newest.unix_us <= 0:
        return 0
    return round(newest.tick * 1_000_000 / newest.unix_us)


def _as_of_us(manifest: AuthorityManifest, tick_rate: int) -> int:
    """When the tick ended after which its rows are; it was published some milliseconds later."""
    return (manifest.tick + 1) * 1_000_000 // tick_rate if tick_rate else manifest.unix_us


def _read(stored: Any) -> Histogram:
    try:
        return Histogram.from_dict(stored)
    except (KeyError, TypeError, ValueError, AttributeError):
        return Histogram()


def _ms(value_us: int | None) -> float | None:
    return None if value_us is None else value_us / 1000
