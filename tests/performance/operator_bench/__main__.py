"""``python -m tests.performance.operator_bench``: both shapes, three times or (``--quick``) small ones once."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..bench import figures, processes
from ..bench.fleet import BenchmarkError
from . import shapes
from .control_plane import Programs

RUNS = 3

_UNITS = {
    "converge_s": "s",
    "api_writes_per_shard": "writes",
    "operator_writes_per_shard": "writes",
    "operator_reads_per_shard": "reads",
    "lists_by_event": "lists",
    "lists_by_resync": "lists",
    "plan_ms": "ms",
    "operator_cpu_s": "s",
    "memory_mb": "MB",
    "memory_mb_peak": "MB",
    "rest_cpu_percent": "% of a core",
    "rest_calls_per_s": "calls/s",
    "again_s": "s",
    "writes_per_killed_shard": "writes",
    "delete_s": "s",
}
_BOUNDS = {
    "api_writes_per_shard": ("<=", 12.0),
    "lists_by_event": ("<=", 0.0),
    "plan_ms": ("<=", 50.0),
    "memory_mb": ("<=", 250.0),
    "memory_mb_peak": ("<=", 250.0),
}
LABELS = ("large", "many")
UNITS = {f"{name}_{label}": unit for label in LABELS for name, unit in _UNITS.items()}
BOUNDS = {f"{name}_{label}": bound for label in LABELS for name, bound in _BOUNDS.items()}
"""What the project wants to reach on two cores, for the median."""


def main(arguments: list[str] | None = None) -> int:
    """0; 1 where a run failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.performance.operator_bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50 shards in a fleet, 10 fleets of 4, once")
    parser.add_argument("--out", type=Path, default=Path("build/bench-operator.json"), help="figures (%(default)s)")
    parser.add_argument("--only", choices=LABELS, action="append", help="this shape alone: one large fleet, many small")
    parser.add_argument("--runs", type=int, help=f"runs each ({RUNS}; quick: 1)")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/bench-operator"), help="for data and logs, on a disk"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything that was started is ended
    runs = options.runs or (1 if options.quick else RUNS)
    quick, full = (shapes.QUICK_LARGE, shapes.QUICK_MANY), (shapes.ONE_LARGE, shapes.MANY_SMALL)
    wanted = [shape for shape in (quick if options.quick else full) if not options.only or shape.label in options.only]

    results, failures, details = figures.Figures(units=UNITS, bounds=BOUNDS), [], []
    try:
        programs = Programs.find()
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for shape in wanted:
        for run in range(1, runs + 1):
            started_s, load = time.monotonic(), os.getloadavg()[0]
            try:
                values, more = shapes.measure(shape, programs, options.folder.absolute() / shape.label)
                results.add(values)
                details.append({"shape": shape.label, "run": run, "load_before": load, "figures": values, **more})
                outcome = "done"
            except BenchmarkError as error:
                failures.append(f"{shape.label}, run {run}: {error}")
                outcome = "failed"
            seconds = time.monotonic() - started_s
            print(f"{shape.label}, run {run} of {runs}: {outcome} in {seconds:.1f} s", file=sys.stderr, flush=True)

    settings: dict[str, Any] = {"runs": runs, "quick": options.quick, "shapes": [asdict(shape) for shape in wanted]}
    figures.write(
        options.out,
        machine=processes.machine(),
        settings={**settings, "lease_ms": shapes.LEASE_MS, "publish_ms": shapes.PUBLISH_MS},
        figures=results.to_dict(),
        details=details,
        failures=failures,
    )
    for line in results.table():
        print(line)
    print(f"written to {options.out}")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
