"""What is measured, a function a scenario: it runs one fleet and returns figures by name."""

from __future__ import annotations

import math
import os
import signal
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from shardfleet_shard.core.histogram import Histogram

from .fleet import POLL_S, BenchmarkError, Fleet, fleet_file
from .observe import Sample

Values = dict[str, float]

OWNER_AGAIN_TIMEOUT_S = 30.0
FLEET_SETTINGS = {"redis": "embedded Valkey, appendfsync always", "dimensions": 2, "everything_else": "defaults"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How long and how large. Windows in seconds."""

    load_entities: int = 48_000
    load_speed: float = 1000.0
    """World units a second. Random directions and a world 240 wide: 4 / pi * speed / 240 crossings a second."""

    load_ramp_s: float = 5.0
    load_window_s: float = 20.0
    tick_window_s: float = 10.0
    orbit_window_s: float = 30.0
    idle_window_s: float = 10.0
    after_kill_s: float = 3.0

    @property
    def load_offered_per_second(self) -> float:
        """Crossings a second that these entities would make if a handoff took no time."""
        return self.load_entities * self.load_speed / 240 * 4 / math.pi


FULL = Scale()
QUICK = Scale(
    load_ramp_s=1.0, load_window_s=5.0, tick_window_s=3.0, orbit_window_s=5.0, idle_window_s=3.0, after_kill_s=1.0
)


def load(folder: Path, scale: Scale) -> Values:
    """Four quadrants, entities so fast that they cross all the time: the rate, and what a handoff costs.

    The window begins after a ramp; what is divided by the handoffs in it was counted in it, too.
    """
    parameters = {"speed": scale.load_speed}
    content = fleet_file("load", shards=4, simulation="linear", entities=scale.load_entities, parameters=parameters)
    with Fleet(content, folder) as fleet:
        fleet.wait_for_handoffs(scale.load_entities)
        fleet.run_for(scale.load_ramp_s)
        first = Sample.take(fleet.observer, fleet.pid)
        marks = [(first.at_s, first.completed)]
        fleet.run_for(scale.load_window_s, lambda: marks.append((time.monotonic(), fleet.observer.handoffs())))
        last = Sample.take(fleet.observer, fleet.pid)
        shards = fleet.shard_processes()
        report = fleet.settle()
    seconds, handoffs = last.at_s - first.at_s, last.completed - first.completed
    if handoffs <= 0:
        raise BenchmarkError("no handoff within the window of the load")
    rates = [(b - a) / (at - before) for (before, a), (at, b) in pairwise(marks) if at > before]
    requests = last.requests - first.requests
    return {
        "handoffs_per_second": handoffs / seconds,
        "handoffs_per_second_lowest": min(rates),
        "ticks_skipped": last.ticks_skipped - first.ticks_skipped,
        "redis_requests_per_handoff": requests / handoffs,
        "redis_commands_per_handoff": (last.commands - first.commands) / handoffs,
        "bytes_per_handoff": (last.bytes_moved - first.bytes_moved) / handoffs,
        "cpu_us_per_handoff": (last.cpu_s - first.cpu_s) * 1e6 / handoffs,
        "shard_cpu_percent_at_load": 100
        * sum(last.cpu_by_pid[p.pid] - first.cpu_by_pid[p.pid] for p in shards.values())
        / seconds
        / len(shards),
        "gap_ms_p99_at_load": quantile_ms(first.gap_us, last.gap_us, 0.99),
        **_healthy(report),
    }


def ticks(folder: Path, scale: Scale, *, entities: int, label: str) -> Values:
    """Tick time with ``entities`` a shard: two shards, and of the entities 1% a second cross the border."""
    # One border in a world 240 wide: a random direction at this speed crosses it 0.01 times a second.
    speed = 0.01 * 240 * math.pi / 2
    shards = 2 if entities <= 10_000 else 1
    content = fleet_file(
        f"ticks-{label}",
        shards=shards,
        simulation="linear",
        entities=entities * shards,
        parameters={"speed": round(speed, 3)},
    )
    with Fleet(content, folder) as fleet:
        fleet.wait_for_entities(entities * shards)
        fleet.run_for(1.0)
        first = Sample.take(fleet.observer, fleet.pid)
        fleet.run_for(scale.tick_window_s)
        last = Sample.take(fleet.observer, fleet.pid)
        report = fleet.settle()
    return {
        f"tick_ms_p50_{label}": quantile_ms(first.tick_us, last.tick_us, 0.50),
        f"tick_ms_p99_{label}": quantile_ms(first.tick_us, last.tick_us, 0.99),
        **_healthy(report),
    }


def orbit(folder: Path, scale: Scale) -> Values:
    """The demo, fifty entities on a circle through four shards: gap, continuity, time to the first handoff."""
    with Fleet(fleet_file("orbit", shards=4, simulation="orbit", entities=50), folder) as fleet:
        first_s = fleet.wait_for_handoffs()
        fleet.run_for(scale.orbit_window_s)
        report = fleet.settle()
    if report["gap_ms"]["p99"] is None:
        raise BenchmarkError("the orbit's report has no gap: no handoff was measured")
    started = max(1, report["handoffs"]["started"])
    return {
        "first_handoff_s": first_s,
        "gap_ms_p99": report["gap_ms"]["p99"],
        "canceled_percent": 100 * report["handoffs"]["canceled"] / started,
        **_healthy(report),
    }


def kill(folder: Path, scale: Scale, *, entities: int = 2_000) -> Values:
    """``kill -9`` of one of four shards, moving entities: until each of them has an owner that simulates it."""
    with Fleet(fleet_file("kill", shards=4, simulation="linear", entities=entities), folder) as fleet:
        fleet.wait_for_entities(entities)
        fleet.run_for(2.0)
        victim = sorted(fleet.shard_processes())[1]
        pid, killed_s = fleet.shard_processes()[victim].pid, time.monotonic()
        os.kill(pid, signal.SIGKILL)
        killed_unix_us = time.time_ns() // 1000
        while fleet.observer.owned_since(killed_unix_us) < entities:
            if time.monotonic() - killed_s > OWNER_AGAIN_TIMEOUT_S:
                owned = fleet.observer.owned_since(killed_unix_us)
                raise BenchmarkError(f"{OWNER_AGAIN_TIMEOUT_S:.0f} s after the kill {owned} of {entities} are owned")
            time.sleep(POLL_S)
        again_s = time.monotonic() - killed_s
        fleet.run_for(scale.after_kill_s)
        report = fleet.settle()
    return {"owner_again_s": again_s, **_whole(report)}


def idle(folder: Path, scale: Scale) -> Values:
    """Four shards with nothing in them: what each of them takes; the largest counts."""
    with Fleet(fleet_file("idle", shards=4, simulation="orbit", entities=0), folder) as fleet:
        fleet.wait_for_claims()
        fleet.run_for(2.0)
        before, start_s = fleet.shard_processes(), time.monotonic()
        fleet.run_for(scale.idle_window_s)
        after, seconds = fleet.shard_processes(), time.monotonic() - start_s
        fleet.settle()
    return {
        "idle_shard_memory_mb": max(process.memory_mb for process in after.values()),
        "idle_shard_cpu_percent": max(
            100 * (after[shard].cpu_s - before[shard].cpu_s) / seconds for shard in after if shard in before
        ),
    }


def _whole(report: dict[str, Any]) -> Values:
    """What no run may break. ``missing`` and ``doubled`` are the census' at the end."""
    return {
        "lost": report["entities"]["missing"],
        "doubled": report["entities"]["doubled"],
        "overlap_ticks": report["overlap_ticks"],
        "continuity_error_max": report["continuity_error_max"],
    }


def _healthy(report: dict[str, Any]) -> Values:
    """The same of a fleet that nothing was done to: whatever its watchdog found is false."""
    return {"false_verdicts": len(report["verdicts"]), **_whole(report)}


def quantile_ms(first: Histogram, last: Histogram, q: float) -> float:
    """Of the samples that came between the two. Both are sums over the same processes, so counts only grow."""
    between = Histogram()
    between.buckets = {b: n for b, count in last.buckets.items() if (n := count - first.buckets.get(b, 0)) > 0}
    between.count = sum(between.buckets.values())
    between.lowest, between.highest = last.lowest, last.highest
    value = between.quantile(q)
    if value is None:
        raise BenchmarkError("no sample within the window")
    return value / 1000
