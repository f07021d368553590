"""The fleet's status as it is written, and when it is worth writing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shardfleet_shard.config import format_duration_us
from shardfleet_shard.core.layout import Layout, path_text
from shardfleet_shard.core.stats import ShardStats

from ..census import Census
from . import names
from .conditions import Condition, merge_conditions
from .copies import Copy
from .events import api_time
from .pods import PodFacts

FIGURES_INTERVAL_US = 5_000_000
"""Figures that only count on are written this often; a condition or a shard's coming and going at once."""

_FIGURES = ("entities", "transfers", "telemetryInterval", "copy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a status is made from. ``stats``: by shard, with the epoch that published them."""

    generation: int
    fleet: str
    pods: Sequence[PodFacts] = ()
    layout: Layout | None = None
    claims: Mapping[str, tuple[str, int]] | None = None
    stats: Mapping[str, tuple[int, ShardStats]] | None = None
    counters: Mapping[str, int] | None = None
    handoffs_per_second: float = 0.0
    active_transfers: int = 0
    census: Census | None = None
    copy: Copy | None = None


def build_status(picture: Picture, now: Sequence[Condition], before: Mapping[str, Any], *, time: str) -> dict[str, Any]:
    """The whole status. Every field is always there, so that a merge leaves nothing old behind.

    Args:
        before: the status as it was written last.
        time: now, as the API writes times.
    """
    running = [pod for pod in picture.pods if pod.began and not pod.ended]
    status: dict[str, Any] = {
        "observedGeneration": picture.generation,
        "replicas": len(running),
        "readyReplicas": sum(pod.ready for pod in running),
        "selector": names.selector(picture.fleet),
        "layoutVersion": picture.layout.version if picture.layout is not None else 0,
        "telemetryInterval": None,
        "entities": _entities(picture),
        "transfers": _transfers(picture),
        "copy": _copy(picture.copy),
        "shards": _shards(picture),
    }
    intervals = [stats.publish_interval_us for _, stats in (picture.stats or {}).values()]
    if longest := max(intervals, default=0):
        status["telemetryInterval"] = format_duration_us(longest)
    old = before.get("conditions") or ()
    status["conditions"] = merge_conditions(old, now, generation=picture.generation, time=time)
    return status


def is_due(status: Mapping[str, Any], written: Mapping[str, Any], *, since_us: int) -> bool:
    """Whether ``status`` is worth a write ``since_us`` after ``written`` was."""
    if _without_figures(status) != _without_figures(written):
        return True
    return since_us >= FIGURES_INTERVAL_US and dict(status) != dict(written)


def _without_figures(status: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in status.items() if name not in _FIGURES}
    kept["shards"] = [
        {name: value for name, value in shard.items() if name not in ("entities", "tickP99")}
        for shard in status.get("shards") or ()
    ]
    return kept


def _entities(picture: Picture) -> dict[str, int] | None:
    return picture.census.to_dict() if picture.census is not None else None


def _copy(copy: Copy | None) -> dict[str, Any] | None:
    if copy is None:
        return None
    return {
        "time": api_time(copy.unix_us),
        "entities": copy.entities,
        "bytes": copy.size_bytes,
        "file": copy.file.name,
    }


def _transfers(picture: Picture) -> dict[str, int] | None:
    counters = picture.counters
    if counters is None:
        return None
    return {
        "active": picture.active_transfers,
        "completed": counters.get("completed_entities", 0),
        "canceled": counters.get("canceled_entities", 0),
        "repaired": counters.get("repaired_entities", 0),
        "perSecond": round(picture.handoffs_per_second),
    }


def _shards(picture: Picture) -> list[dict[str, Any]]:
    cells: dict[str, list[str]] = {}
    for path, (shard, _) in (picture.claims or {}).items():
        cells.setdefault(shard, []).append(path)
    result = []
    for pod in sorted(picture.pods, key=lambda pod: pod.ordinal):
        epoch, stats = (picture.stats or {}).get(pod.name, (0, ShardStats()))
        is_its_own = epoch >= pod.started_us > 0  # epochs are Unix microseconds or more
        p99_us = stats.tick_us.quantile(0.99) if is_its_own else None
        result.append(
            {
                "name": pod.name,
                "cell": ",".join(map(path_text, sorted(cells.get(pod.name, ())))),
                "entities": stats.entities if is_its_own else 0,
                **({"tickP99": format_duration_us(p99_us)} if p99_us is not None else {}),
                **({"epoch": epoch} if is_its_own else {}),
                "state": _state(pod, stats, is_its_own=is_its_own),
            }
        )
    return result


def _state(pod: PodFacts, stats: ShardStats, *, is_its_own: bool) -> str:
    if pod.ended:
        return "ended"
    if not pod.began:
        return (pod.waiting or "pending")[:32]
    return stats.state if is_its_own else "starting"
