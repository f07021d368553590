"""What features, wide rows, small transfers, many entities and a death cost: ``make bench-costs``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import redis
from shardfleet_shard.core.transfer_spans import Part

from . import figures, processes
from .cost_scenarios import FULL, QUICK, SCENARIOS
from .figures import Figures
from .fleet import BenchmarkError

RUNS = 3
UNITS = {
    "cpu_ratio": "of the plain fleet's",
    "entities_per_transfer": "entities",
    "cpu_us_per_handoff": "us",
    "handoffs_per_second": "entities/s",
    "bytes_per_handoff": "bytes",
    "manifest_bytes_per_handoff": "bytes",
    "transfers": "transfers",
    **{f"{part}_ms_{quantile}": "ms" for part in Part for quantile in ("p50", "p99")},
    "owner_again_s": "s",
    "shards_bytes_per_entity": "bytes",
    "redis_bytes_per_entity": "bytes",
    "ticks_skipped": "ticks",
    "lost": "entities",
    "doubled": "entities",
}
"""Every figure there is, in the order of the table; its unit."""

Rows = dict[str, Figures]
"""Figures by the row's name."""


def run(name: str, folder: Path, *, runs: int, quick: bool) -> tuple[Rows, list[str]]:
    """One scenario; and a line for each run that failed: the rows before count all the same."""
    rows: Rows = {}
    failures = []
    for number in range(1, runs + 1):
        started_s = time.monotonic()
        try:
            for row, values in SCENARIOS[name](folder, QUICK if quick else FULL):
                rows.setdefault(row, Figures(units=UNITS, bounds={})).add(values)
                _say(f"{name}, run {number} of {runs}: {row} after {time.monotonic() - started_s:.0f} s")
        except (BenchmarkError, redis.RedisError) as error:  # the machine may be too slow for a Redis, too
            failures.append(f"{name}, run {number}: {error}")
            _say(f"failed: {failures[-1]}")
    return rows, failures


def to_list(rows: Rows) -> list[dict[str, Any]]:
    return [{"name": row, "figures": found.to_dict()} for row, found in rows.items()]


def table(scenarios: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Lines for people."""
    for name, rows in scenarios.items():
        yield f"{name:<24} {'figure':<24} {'min':>10} {'median':>10} {'max':>10}  {'unit':<22} runs"
        for row in rows:
            for figure, found in row["figures"].items():
                numbers = " ".join(f"{figures.short(found[key]):>10}" for key in ("min", "median", "max"))
                yield f"  {row['name']:<22} {figure:<24} {numbers}  {found['unit']:<22} {found['runs']}"


def main(arguments: list[str] | None = None) -> int:
    """0; 1 where a run failed, or something was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m tests.performance.bench.costs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run each, short windows, fewer entities")
    parser.add_argument("--out", type=Path, default=Path("build/costs.json"), help="the figures (%(default)s)")
    parser.add_argument("--only", choices=list(SCENARIOS), action="append", help="these scenarios alone")
    parser.add_argument("--runs", type=int, help=f"runs each ({RUNS}; quick: 1)")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/bench"), help="for the fleets' data, on a disk (%(default)s)"
    )
    options = parser.parse_args(arguments)
    runs = options.runs or (1 if options.quick else RUNS)
    found, failures = {}, []
    for name in options.only or SCENARIOS:
        started_s = time.monotonic()
        rows, failed = run(name, options.folder, runs=runs, quick=options.quick)
        found[name] = to_list(rows)
        failures += failed
        _say(f"{name}: done in {time.monotonic() - started_s:.0f} s")
    settings = {"runs": runs, "quick": options.quick, **asdict(QUICK if options.quick else FULL)}
    figures.write(options.out, machine=processes.machine(), settings=settings, scenarios=found, failures=failures)
    for line in table(found):
        print(line)
    print(f"written to {options.out}")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    every = [row["figures"] for rows in found.values() for row in rows]
    broken = any(one[what]["max"] > 0 for one in every for what in ("lost", "doubled") if what in one)
    return 1 if failures or broken else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
