"""How many entities a second are handed over, by shards, entities, and how durable Redis is: rows of one table.

``python -m tests.performance.bench.throughput``, or ``make bench-throughput``. An entity crosses as often as its speed
and the delay of a handoff let it, so with few of them the delay is the limit, and with many the machine is.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.integration.servers import RedisServer

from . import figures, processes
from .fleet import BenchmarkError, Fleet, fleet_file
from .observe import Sample
from .scenarios import quantile_ms

FLEET = "rate"
"""The fleet's name, of which its shards have theirs."""
WORLD_WIDTH = 240.0
RUNS = 3
RAMP_S = 5.0
CELLS_ACROSS = {2: (1,), 4: (1, 1)}
"""Shards -> borders that cut the world's width, an axis each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is run.

    Attributes:
        speed: world units a second, in random directions.
        fsync: of Redis' append-only file: always, everysec, or off for none.
        handoff, tick_rate: as in the fleet's file; {} and 20 are the defaults.
    """

    name: str
    shards: int
    entities: int
    speed: float
    fsync: str = "always"
    tick_rate: int = 20
    handoff: tuple[tuple[str, str], ...] = ()
    ramp_s: float = RAMP_S
    window_s: float = 20.0

    @property
    def offered_per_second(self) -> float:
        """Crossings a second if a handoff took no time."""
        axes = len(CELLS_ACROSS[self.shards])
        return self.entities * axes * self.speed / WORLD_WIDTH * 2 / math.pi

    @property
    def cap_per_second(self) -> float:
        """What the delay lets through at the most: an entity can be handed on in the tick of its switch."""
        delay_s = float(dict(self.handoff).get("delay", "60ms").removesuffix("ms")) / 1000
        ticks = math.ceil(delay_s * self.tick_rate)
        return self.entities * self.tick_rate / ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a fleet has beside its row.

    Attributes:
        simulation: its name; it takes ``speed`` as ``linear`` does.
        spec: further fields of the fleet's spec.
        options, environment: as of ``Fleet``.
    """

    simulation: str = "linear"
    spec: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


PLAIN = Variant()
AS_OFTEN_AS_IT_GOES = 4_000.0
ROWS = (
    Row(name="200 entities", shards=2, entities=200, speed=AS_OFTEN_AS_IT_GOES),
    Row(name="200 entities", shards=4, entities=200, speed=AS_OFTEN_AS_IT_GOES),
    Row(name="1,000 entities", shards=2, entities=1_000, speed=AS_OFTEN_AS_IT_GOES),
    Row(name="1,000 entities", shards=4, entities=1_000, speed=AS_OFTEN_AS_IT_GOES),
    Row(
        name="1,000 entities, tuned for rate", shards=4, entities=1_000, speed=AS_OFTEN_AS_IT_GOES, tick_rate=60,
        handoff=(("delay", "30ms"),),
    ),
    Row(name="half of the most", shards=4, entities=56_000, speed=1_000.0),
    Row(name="the most", shards=2, entities=180_000, speed=1_000.0, window_s=60.0),
    Row(name="the most", shards=4, entities=168_000, speed=1_000.0, window_s=60.0),
    Row(name="the most", shards=4, entities=168_000, speed=1_000.0, fsync="everysec", window_s=60.0),
    Row(name="the most", shards=4, entities=168_000, speed=1_000.0, fsync="off", window_s=60.0),
    Row(name="a million, 1% a second", shards=4, entities=1_000_000, speed=1.885),
)  # fmt: skip


def content_of(row: Row, variant: Variant = PLAIN) -> dict[str, Any]:
    """The fleet's file."""
    content = fleet_file(
        FLEET, shards=row.shards, simulation=variant.simulation, entities=row.entities, parameters={"speed": row.speed}
    )
    content["spec"] |= {"tickRate": row.tick_rate, **variant.spec}
    if row.handoff:
        content["spec"]["handoff"] = dict(row.handoff)
    return content


def measure(row: Row, folder: Path, variant: Variant = PLAIN) -> dict[str, float]:
    """One run of one fleet. Raises ``BenchmarkError`` where it gives no figures."""
    options = ["--appendonly", "no"] if row.fsync == "off" else ["--appendfsync", row.fsync]
    own = row.fsync != "always"
    with RedisServer(options=options) if own else nullcontext() as server:  # type: ignore[attr-defined]
        pids = [server.process.pid] if server is not None and server.process is not None else []
        with Fleet(
            content_of(row, variant),
            folder,
            redis_url=server.url if server is not None else None,
            options=variant.options,
            environment=variant.environment,
        ) as fleet:
            fleet.wait_for_handoffs(min(row.entities, round(row.offered_per_second * row.ramp_s)))
            fleet.run_for(row.ramp_s)
            first = Sample.take(fleet.observer, fleet.pid, *pids)
            marks = [(first.at_s, first.completed)]
            fleet.run_for(row.window_s, lambda: marks.append((time.monotonic(), fleet.observer.handoffs())))
            last = Sample.take(fleet.observer, fleet.pid, *pids)
            report = fleet.settle()
    seconds, handoffs = last.at_s - first.at_s, last.completed - first.completed
    if handoffs <= 0:
        raise BenchmarkError("no handoff within the window")
    return {
        "handoffs_per_second": handoffs / seconds,
        "entities_per_transfer": handoffs / max(1, last.completed_transfers - first.completed_transfers),
        "lowest_second": min((b - a) / (at - before) for (before, a), (at, b) in pairwise(marks) if at > before),
        "ticks_skipped": last.ticks_skipped - first.ticks_skipped,
        "cpu_us_per_handoff": (last.cpu_s - first.cpu_s) * 1e6 / handoffs,
        "cpu_percent": 100 * (last.cpu_s - first.cpu_s) / seconds,
        "bytes_per_handoff": (last.bytes_moved - first.bytes_moved) / handoffs,
        "manifest_bytes_per_handoff": (last.manifest_bytes - first.manifest_bytes) / handoffs,
        "redis_requests_per_handoff": (last.requests - first.requests) / handoffs,
        "gap_ms_p50": quantile_ms(first.gap_us, last.gap_us, 0.50),
        "gap_ms_p99": quantile_ms(first.gap_us, last.gap_us, 0.99),
        "tick_ms_p50": quantile_ms(first.tick_us, last.tick_us, 0.50),
        "tick_ms_p99": quantile_ms(first.tick_us, last.tick_us, 0.99),
        "publish_percent_of_tick": 100
        * (last.publish_us - first.publish_us)
        / (last.tick_us.total - first.tick_us.total),
        "canceled_percent": 100 * report["handoffs"]["canceled"] / max(1, report["handoffs"]["started"]),
        "lost": report["entities"]["missing"],
        "doubled": report["entities"]["doubled"],
    }


def summed(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {"min": min(values), "median": statistics.median(values), "max": max(values)}
        for name in (runs[0] if runs else ())
        if (values := [run[name] for run in runs])
    }


def line(row: Row, found: dict[str, dict[str, float]]) -> str:
    median = {name: value["median"] for name, value in found.items()}
    return (
        f"{row.name:<30} {row.shards} shards {row.entities:>7,} {row.fsync:<8} {median['handoffs_per_second']:>9,.0f}/s"
        f" of {min(row.offered_per_second, row.cap_per_second):>9,.0f}"
        f" skipped {median['ticks_skipped']:.0f} cpu {median['cpu_us_per_handoff']:.2f} us"
        f" {median['bytes_per_handoff']:.0f} B gap {median['gap_ms_p50']:.1f} {median['gap_ms_p99']:.1f} ms"
        f" tick {median['tick_ms_p99']:.1f} ms lost {found['lost']['max']:.0f} doubled {found['doubled']['max']:.0f}"
    )


def main(arguments: list[str] | None = None) -> int:
    """0; 1 where a run failed, or something was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m tests.performance.bench.throughput", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/throughput.json"), help="the rows (%(default)s)")
    parser.add_argument("--runs", type=int, default=RUNS, help="of each row (%(default)s)")
    parser.add_argument("--only", type=int, action="append", help="the row of this number, from 0 on")
    parser.add_argument("--window", type=float, help="seconds of every run, instead of the row's own")
    parser.add_argument("--entities", type=int, help="instead of the row's own: to look for the most that goes")
    parser.add_argument("--speed", type=float, help="the same")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/bench"), help="for the fleets' data, on a disk (%(default)s)"
    )
    options = parser.parse_args(arguments)
    rows, broken = [], 0
    for number, row in enumerate(ROWS):
        if options.only and number not in options.only:
            continue
        # Progress: each run takes half a minute and more.
        print(f"{row.name}, {row.shards} shards, {row.fsync}: {options.runs} runs", file=sys.stderr, flush=True)
        asked = {"window_s": options.window, "entities": options.entities, "speed": options.speed}
        row = replace(row, **{name: value for name, value in asked.items() if value})
        runs = []
        for _ in range(options.runs):
            try:
                runs.append(measure(row, options.folder))
            except BenchmarkError as error:
                print(f"failed: {row.name}: {error}", file=sys.stderr, flush=True)
                broken += 1
        if not runs:
            continue
        found = summed(runs)
        broken += any(found[name]["max"] > 0 for name in ("lost", "doubled"))
        print(line(row, found), flush=True)
        about = {**asdict(row), "offered_per_second": row.offered_per_second, "cap_per_second": row.cap_per_second}
        rows.append({**about, "runs": len(runs), "figures": found})
    figures.write(options.out, machine=processes.machine(), rows=rows)
    print(f"written to {options.out}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
