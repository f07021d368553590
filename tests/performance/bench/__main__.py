"""``python -m tests.performance.bench``: every scenario, three times or (``--quick``) once; a table and a JSON file."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from . import figures, processes, scenarios
from .fleet import BenchmarkError
from .scenarios import FULL, QUICK, Scale

RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    name: str
    measure: Callable[[Path, Scale], scenarios.Values]
    in_quick: bool = True


SCENARIOS = (
    Scenario(name="load", measure=scenarios.load),
    Scenario(name="orbit", measure=scenarios.orbit),
    Scenario(name="kill", measure=scenarios.kill),
    Scenario(name="ticks-1k", measure=partial(scenarios.ticks, entities=1_000, label="1k"), in_quick=False),
    Scenario(name="ticks-10k", measure=partial(scenarios.ticks, entities=10_000, label="10k")),
    Scenario(name="ticks-100k", measure=partial(scenarios.ticks, entities=100_000, label="100k")),
    Scenario(name="idle", measure=scenarios.idle),
)


def main(arguments: list[str] | None = None) -> int:
    """0; 1 where a run failed, or something was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m tests.performance.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run each, short windows, under a minute in all")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="the figures (%(default)s)")
    parser.add_argument("--only", choices=[s.name for s in SCENARIOS], action="append", help="these scenarios alone")
    parser.add_argument("--runs", type=int, help=f"runs each ({RUNS}; quick: 1)")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/bench"), help="for the fleets' data, on a disk (%(default)s)"
    )
    options = parser.parse_args(arguments)
    scale = QUICK if options.quick else FULL
    runs = options.runs or (1 if options.quick else RUNS)
    wanted = [
        scenario
        for scenario in SCENARIOS
        if (scenario.name in options.only if options.only else scenario.in_quick or not options.quick)
    ]

    results, failures = figures.Figures(), []
    for scenario in wanted:
        for run in range(1, runs + 1):
            started_s = time.monotonic()
            try:
                results.add(scenario.measure(options.folder, scale))
                outcome = "done"
            except BenchmarkError as error:
                failures.append(f"{scenario.name}, run {run}: {error}")
                outcome = "failed"
            seconds = time.monotonic() - started_s
            print(f"{scenario.name}, run {run} of {runs}: {outcome} in {seconds:.1f} s", file=sys.stderr, flush=True)

    settings = {
        "runs": runs,
        "quick": options.quick,
        **asdict(scale),
        "load_offered_per_second": round(scale.load_offered_per_second),
        **scenarios.FLEET_SETTINGS,
    }
    figures.write(
        options.out,
        machine=processes.machine(),
        settings=settings,
        figures=results.to_dict(),
        failures=failures,
    )
    for line in results.table():
        print(line)
    print(f"written to {options.out}")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    summed = results.to_dict()
    broken = any(summed[name]["max"] > 0 for name in ("lost", "doubled", "false_verdicts") if name in summed)
    return 1 if failures or broken else 0


if __name__ == "__main__":
    sys.exit(main())
