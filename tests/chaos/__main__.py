"""``python -m tests.chaos [run | compare]``: a fleet of real processes under faults, or the comparison with others."""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from shardfleet_operator.checker import check_directory

from tests.performance.bench.processes import machine
from tests.traced import fallbacks

from .compare import compare
from .crossings import count
from .driver import Driver
from .faults import FORGETTING, KINDS, kill_steps
from .fleet import WORLD_WIDTH, ChaosError, Fleet
from .namespaces import INSIDE_VARIABLE, inside, unshare_command
from .points import POINTS
from .summary import Result

SHARDS = 4
CALM_S = 1.5
BOUND_S = 10.0
"""Of the trace's holes: a shard that is stopped or cut off past its lease, and until it simulates again."""
QUICK = {"minutes": 0.5, "rate": 1_000.0, "entities": 600, "at_least": 1}
FULL = {"minutes": 10.0, "rate": 20_000.0, "entities": 8_000, "at_least": 25}


def main(arguments: list[str] | None = None) -> int:
    """0; 1 where something was lost or doubled, took too long or was never tried; 2 where the run failed."""
    options = _options(arguments)
    command, why_not = unshare_command() if options.what == "run" and not inside() else ([], "")
    if command:
        return subprocess.run(
            [*command, sys.executable, "-m", "tests.chaos", *(arguments or sys.argv[1:])],
            env=os.environ | {INSIDE_VARIABLE: "1"},
            check=False,
        ).returncode
    if why_not:
        print(f"no network of its own: {why_not}", flush=True)
    shutil.rmtree(options.folder, ignore_errors=True)
    try:
        return _compare(options) if options.what == "compare" else _run(options)
    except ChaosError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    kinds = _playable(options.kinds)
    # Random directions in a world with two borders: how often each entity meets one.
    speed = options.rate * WORLD_WIDTH * math.pi / (4 * options.entities)
    print(f"seed {options.seed}: {', '.join(kinds)}; SEED={options.seed} chooses the same again", flush=True)
    with Fleet(options.folder, shards=SHARDS, entities=options.entities, speed=round(speed, 3)) as fleet:
        driver = Driver(fleet, kinds=kinds, seed=options.seed, say=lambda line: print(line, flush=True))
        driver.measure_full_rate(CALM_S)
        print(f"{driver.full_rate:,.0f} handoffs/s before the first fault", flush=True)
        driver.run(seconds=options.minutes * 60, at_least=options.at_least)
        ended = fleet.settle()
        if ended["report"] is None:
            raise ChaosError(f"it did not settle: {ended['faults']}")
        ids, versions = fleet.reader.snapshot().versions()
        completed = None if FORGETTING & set(kinds) else fleet.reader.completed()
    print("reading the traces", flush=True)
    result = Result(
        settings={name: value for name, value in vars(options).items() if name not in ("folder", "out", "what")}
        | {"kinds": kinds, "shards": SHARDS, "isolated": inside()},
        machine=machine(),
        rate=driver.full_rate,
        measured=driver.measured,
        looks=driver.meter.looks,
        remarks=driver.meter.remarks,
        crossings=count(fleet.trace, ids, versions, completed),
        check=check_directory(fleet.trace, bound_s=BOUND_S).to_dict(),
        report=ended["report"],
        report_faults=ended["faults"],
        required_steps=_required(options, kinds),
        fallbacks=fallbacks(fleet.trace),
        intervals_us=driver.meter.intervals_us,
    )
    return _conclude(result, options)


def _required(options: argparse.Namespace, kinds: list[str]) -> frozenset[str]:
    """The steps at which a shard must have been killed: none in a run that is too short for all of them."""
    return kill_steps(kinds) if options.at_least >= FULL["at_least"] else frozenset()


def _conclude(result: Result, options: argparse.Namespace) -> int:
    for line in result.table():
        print(line)
    crossings, check, broken = result.crossings, result.check, [*result.wrong(), *result.late(), *result.missed()]
    print(
        f"{crossings.by_versions:,} crossings by versions, {check['handoffs']:,} by the checker, "
        f"{'-' if crossings.counted is None else f'{crossings.counted:,}'} by the scripts; {result.looks:,} censuses; "
        f"{len(result.steps)} of {len(POINTS)} steps"
    )
    if back := [back.ticks for back, _ in result.motion_back()]:
        print(f"motion fell back by {max(back)} ticks at most, in {len(back)} kills")
    result.write(options.out)
    print(f"written to {options.out}")
    for line in result.wrong():
        print(f"WRONG: {line}")
    for line in result.late():
        print(f"LATE: {line}")
    for line in result.missed():
        print(f"MISSED: {line}")
    if not broken:
        shutil.rmtree(options.folder, ignore_errors=True)
        print("0 lost, 0 doubled, all within the bounds")
    return 1 if broken else 0


def _compare(options: argparse.Namespace) -> int:
    results = compare(options.folder, options.runs, lambda line: print(line, flush=True))
    out = options.out.with_name("chaos-compare.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": machine(), "after_kill": results}, indent=1) + "\n")
    print(f"written to {out}")
    whole = all(one["ownerless"][1] == one["doubled"][1] == 0 for one in results.values())
    return 0 if whole else 1


def _playable(wanted: list[str] | None) -> list[str]:
    """Kinds that can be played here; says of the others why not."""
    reasons: dict[str, str] = {}
    for kind, cls in KINDS.items():
        if cls.needs_network and not inside():
            reasons[kind] = "needs namespaces of its own (root, or a machine that lets users make them)"
    for kind in wanted or KINDS:
        if kind in reasons:
            print(f"without {kind}: it {reasons[kind]}", flush=True)
    playable = [kind for kind in wanted or KINDS if kind not in reasons]
    if not playable:
        raise ChaosError("no kind of fault is left")
    return playable


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("run", "compare"), default="run")
    parser.add_argument("--quick", action="store_true", help="each kind once or twice at a small rate")
    parser.add_argument("--minutes", type=float, help="until no further round begins (10; quick: 0.5)")
    parser.add_argument("--seed", type=int, help="another choice of faults (default: a new one, which is printed)")
    parser.add_argument("--kinds", type=_kinds, help=f"of {','.join(KINDS)}; default: all that can be played")
    parser.add_argument("--rate", type=float, help="handoffs a second (20000; quick: 1000)")
    parser.add_argument("--entities", type=int, help="(8000; quick: 600)")
    parser.add_argument(
        "--at-least",
        type=int,
        help="rounds go on until each kind has struck so often (25, with --minutes 0; quick: 1)",
    )
    parser.add_argument("--runs", type=int, default=5, help="compare: runs of each load (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/chaos.json"), help="figures (%(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("build/chaos"), help="what the run writes, on a disk")
    options = parser.parse_args(arguments)
    defaults: dict[str, Any] = QUICK if options.quick else FULL
    if options.minutes is not None and options.at_least is None and not options.quick:
        options.at_least = 0
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    return options


def _kinds(text: str) -> list[str]:
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(KINDS)}")
    return kinds


if __name__ == "__main__":
    sys.exit(main())
