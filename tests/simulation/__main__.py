"""The simulation from the command line: ``python -m tests.simulation --help``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from . import campaign
from .campaign import Totals
from .plan import Plan, make_plan
from .runs import Failure, run_plan
from .shrink import shrink
from .trace import trace_lines

EXAMPLES = """examples:
  python -m tests.simulation run --seeds 2000                  what 'make simulate SEEDS=2000' runs
  python -m tests.simulation run --seeds 100000 --state build/simulate.json --minutes 20
                                                               a slice; the same again goes on where it stopped
  python -m tests.simulation show 4711                         one seed: its faults, and its trace where it fails
  python -m tests.simulation show 12 --variant lease-ignored   the same on a protocol that is known to be wrong
  python -m tests.simulation variants                          finds every known-wrong protocol ('make variants')
  python -m tests.simulation variants --search older-manifest  looks for the first seed that finds it
"""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 green, 1 red, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="A fleet on virtual time under faults: production code, one run a seed, the same run every time.",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="many seeds")
    run.add_argument("--seeds", type=_positive, default=200, metavar="N", help="how many (200)")
    run.add_argument("--from", type=int, default=0, dest="first", metavar="SEED", help="the first (0)")
    run.add_argument("--state", type=Path, metavar="FILE", help="keep totals there, and go on from what it holds")
    run.add_argument("--minutes", type=float, default=0, metavar="M", help="with --state: stop after so long")
    run.add_argument("--figures", type=Path, metavar="FILE", help="write the figures there, as Markdown")
    show = commands.add_parser("show", help="one seed, shrunk and traced where it fails")
    show.add_argument("seed", type=int)
    show.add_argument("--variant", default="", choices=["", *_variant_names()], metavar="NAME")
    show.add_argument("--no-shrink", action="store_true", help="trace the seed's own plan")
    variants = commands.add_parser("variants", help="known-wrong protocols: each must be found")
    variants.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(_variant_names())}; default: all")
    variants.add_argument("--seeds", type=_positive, default=5000, metavar="N", help="found within so many (5000)")
    variants.add_argument("--from", type=int, default=0, dest="first", metavar="SEED", help="the first (0)")
    variants.add_argument("--search", action="store_true", help="look for the first seed, not at the recorded one")
    variants.add_argument("--kinds", default="", metavar="KIND,...", help="only seeds with one of these kinds of fault")
    for command in (run, variants):
        command.add_argument(
            "--processes", type=_positive, default=campaign.cores(), metavar="N", help="default: cores"
        )
    given = parser.parse_args(arguments)
    if given.command == "run":
        return _run(given)
    if given.command == "show":
        return _show(given)
    if unknown := set(given.names) - set(_variant_names()):
        parser.error(f"no variant {', '.join(sorted(unknown))}; there are {', '.join(_variant_names())}")
    return _variants(given)


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return int(text)


def _variant_names() -> list[str]:
    from .variants import VARIANTS

    return list(VARIANTS)


# --- many seeds ------------------------------------------------------------------------------------------------


def _run(given: argparse.Namespace) -> int:
    totals = Totals(first=given.first, next_seed=given.first)
    if given.state is not None and given.state.exists():
        totals = Totals.load(given.state)
        if totals.first != given.first:
            print(
                f"{given.state} begins at seed {totals.first}, not at {given.first}: "
                f"say --from {totals.first}, or name another file",
                file=sys.stderr,
            )
            return 2
    until, started_s, said_s = given.first + given.seeds, time.monotonic(), 0.0
    before = totals.next_seed

    def each(totals: Totals) -> bool:
        nonlocal said_s
        now_s = time.monotonic()
        done, left = totals.next_seed - before, until - totals.next_seed
        if now_s - said_s > 10 or not left:
            said_s = now_s
            if given.state is not None:
                totals.save(given.state)
            rate = done / (now_s - started_s)
            print(
                f"seed {totals.next_seed}: {totals.completed:,} transfers, {totals.struck:,} faults, "
                f"{len(totals.failures)} failed; {rate:.1f} seeds/s, {left / rate / 60:.1f} min left",
                flush=True,
            )
        return not (given.minutes and now_s - started_s > 60 * given.minutes)

    if totals.next_seed < until:
        campaign.run_seeds(totals, until, processes=given.processes, each=each)
    if given.state is not None:
        totals.save(given.state)
    print(figures := campaign.figures(totals))
    if given.figures is not None:
        given.figures.parent.mkdir(parents=True, exist_ok=True)
        given.figures.write_text(figures + "\n")
    if totals.next_seed < until:
        print(f"\nstopped before seed {totals.next_seed}; the same command goes on there")
    complaints = totals.complaints()
    for complaint in complaints[:40]:
        print(f"RED: {complaint}")
    if totals.failures:
        seed, rule, message = totals.failures[0]
        _explain(make_plan(seed), Failure(rule=rule, message=message), f"python -m tests.simulation show {seed}")
    return 1 if complaints else 0


# --- one seed --------------------------------------------------------------------------------------------------


def _show(given: argparse.Namespace) -> int:
    with campaign.wrong(given.variant):
        plan = make_plan(given.seed)
        result = run_plan(plan)
        if result.failure is None:
            _say_plan(plan)
            print(
                f"holds: {result.completed} transfers completed, {result.canceled} canceled, "
                f"{result.virtual_us / 1e6:.1f} s, digest {result.digest}"
            )
            return 0
        _explain(plan, result.failure, "", shrinking=not given.no_shrink)
        return 1


def _explain(plan: Plan, failure: Failure, again: str, *, shrinking: bool = True) -> None:
    print(f"\nseed {plan.seed} breaks {failure.rule}: {failure.message}")
    if again:
        print(f"again: {again}")
    if shrinking:
        plan = shrink(plan, failure)
        failure = run_plan(plan).failure or failure
        print(f"\nshrunk to {len(plan.faults)} faults, {plan.shards} shards, {plan.entities} entities:")
        print(f"{failure.rule}: {failure.message}")
    _say_plan(plan)
    print("\n".join(trace_lines(plan, failure)))


def _say_plan(plan: Plan) -> None:
    print(
        f"seed {plan.seed}: {plan.shards} shards, {plan.entities} entities, lease {plan.lease_us // 1000} ms, "
        f"faults until {plan.faulty_us // 1000} ms"
    )
    for fault in plan.faults:
        words = [f"at sim-{fault.shard}"]
        words += [f"when a transfer is '{fault.aim}', or {fault.patience_us // 1000} ms later"] if fault.aim else []
        words += [f"for {fault.length_us // 1000} ms"] if fault.length_us else []
        words += [f"chance {fault.chance:.2f}"] if fault.chance else []
        words += [f"amount {fault.amount}"] if fault.amount else []
        print(f"  {fault.at_us / 1000:7.1f} ms  {fault.kind}: {', '.join(words)}")


# --- known-wrong protocols -------------------------------------------------------------------------------------


def _variants(given: argparse.Namespace) -> int:
    from .variants import VARIANTS

    red = 0
    for name in given.names or VARIANTS:
        started_s = time.monotonic()
        variant = VARIANTS[name]
        result = campaign.find(name, _candidates(given, variant.seed), processes=given.processes)
        took = f"{time.monotonic() - started_s:.0f} s"
        if result is None or result.failure is None:
            red += 1
            print(f"RED: {name} ({variant.what}) is not found in {given.seeds} seeds, {took}", flush=True)
        else:
            print(
                f"{name} ({variant.what}): seed {result.seed} breaks {result.failure.rule}: "
                f"{result.failure.message[:150]}, {took}",
                flush=True,
            )
    return 1 if red else 0


def _candidates(given: argparse.Namespace, recorded: int) -> Iterator[int]:
    """The recorded seed and, should it hold, all others from the first on."""
    seeds = range(given.first, given.first + given.seeds)
    if not given.search and recorded in seeds:
        yield recorded
    kinds = set(given.kinds.split(",")) if given.kinds else set()
    yield from (seed for seed in seeds if not kinds or kinds & {fault.kind for fault in make_plan(seed).faults})


if __name__ == "__main__":
    sys.exit(main())
