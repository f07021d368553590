"""Checks the protocol's model, docs/spec, with Spin: every configuration must hold, every known-wrong variant must not.

python -m tests.model.check                      all of it, as a table
python -m tests.model.check crash lease          these configurations alone
python -m tests.model.check WRONG_NO_EPOCH_CHECK --trace   the shortest way to the mistake, step by step
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .configurations import BY_NAME, CONFIGURATIONS, EVERY_RUN_ENDS, QUICK, VARIANTS

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "docs" / "spec"
BUILD = ROOT / "build" / "model"
MEMORY_MB = 8000
DEPTH = 1_000_000
TIME_LIMIT_S = 1800
"""Of one search. All of them together stay far below; this ends one that a change has made endless."""

_STORED = re.compile(r"^\s*(\d+) states, stored", re.MULTILINE)
_DEPTH = re.compile(r"depth reached (\d+), errors: (\d+)")
_UNFINISHED = ("max search depth too small", "out of memory", "Search not completed", "hash table is full")


class ModelError(Exception):
    """The model could not be checked; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one search found. ``violated``: the broken property of docs/spec/properties.pml; '' where all hold."""

    states: int
    depth: int
    seconds: float
    """Processor time: compiling and searching."""
    memory_mb: float
    violated: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One thing to be checked, and what is expected of it."""

    name: str
    defines: tuple[str, ...]
    breaks: str
    """The property that is to be found broken; '': all must hold."""
    what: str


def searches(names: Sequence[str]) -> list[Search]:
    """All, or those of these names. Raises ``ModelError`` for a name that is none."""
    every = [Search(name=c.name, defines=c.defines, breaks="", what=c.what) for c in CONFIGURATIONS]
    for variant in VARIANTS:
        defines = (*BY_NAME[variant.configuration].defines, variant.macro)
        what = f"{variant.what} ({variant.configuration})"
        every.append(Search(name=variant.macro, defines=defines, breaks=variant.breaks, what=what))
    known = {search.name: search for search in every}
    for name in names:
        if name not in known:
            raise ModelError(f"no configuration or variant {name!r}; there are {', '.join(known)}")
    return [known[name] for name in names] or every


def missing_tools() -> list[str]:
    return [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]


def check(search: Search, *, shortest: bool = False) -> Result:
    """Translates, compiles and searches in a folder of its own. ``shortest``: breadth first, for a readable trace."""
    folder = BUILD / search.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    before = _processor_seconds()
    _run([_tool("spin"), "-a", *_flags(search), str(SPEC / "handoff.pml")], folder)
    # ENDS: a search for runs without an end, which a run that comes to rest is not.
    endless = "ENDS" in search.defines
    options = [
        "-DNOSTUTTER" if endless else "-DSAFETY",
        "-DCOLLAPSE",
        "-DNOREDUCE",
        "-DNOFAIR",
        f"-DMEMLIM={MEMORY_MB}",
    ]
    # Where a mistake is soon found, compiling is what takes time.
    level = "-O0" if search.breaks else "-O1"
    breadth = ["-DBFS"] if shortest else []
    _run([_tool("gcc"), level, "-w", *options, *breadth, "-o", "pan", "pan.c"], folder)
    output = _run(["./pan", f"-m{DEPTH}", "-w20", *(["-a"] if endless else [])], folder)
    seconds = _processor_seconds() - before
    (folder / "output.txt").write_text(output)
    return _read(search.name, output, seconds)


def _read(name: str, output: str, seconds: float) -> Result:
    stored, depth = _STORED.search(output), _DEPTH.search(output)
    unfinished = next((sign for sign in _UNFINISHED if sign in output), "")
    memory = re.search(r"([\d.]+)\s+total actual memory usage", output)
    errors = depth is not None and int(depth[2]) > 0
    if stored is None or depth is None or (unfinished and not errors):
        raise ModelError(f"{name}: the search did not come to its end ({unfinished or output[-500:]})")
    violated = re.search(r"pan:\d+: assertion violated \(*(\w+)", output)
    what = violated[1] if violated else EVERY_RUN_ENDS if "acceptance cycle" in output else "an error without a name"
    return Result(
        states=int(stored[1]),
        depth=int(depth[1]),
        seconds=seconds,
        memory_mb=float(memory[1]) if memory else 0.0,
        violated=what if errors else "",
    )


def trace(search: Search) -> list[str]:
    """The steps to the mistake that ``check`` has just found, then the values that things have there."""
    folder = BUILD / search.name
    command = [_tool("spin"), "-t", "-p", "-k", "handoff.pml.trail", *_flags(search), str(SPEC / "handoff.pml")]
    steps, values, last = [], [], ""
    for line in _run(command, folder, may_fail=True).splitlines():
        step = re.match(r"\s*(\d+):\s+proc\s+\d+ \((\S+?):\d+\) (\S+?):(\d+) ", line)
        if step and step[2] != ":init:" and step[1] != last:
            last = step[1]
            steps.append(f"{step[2]:<9} {Path(step[3]).name}:{step[4]:<4} {_explain(Path(step[3]).name, int(step[4]))}")
        elif value := re.match(r"\t+(\S+) = (\S+)", line):
            values.append(f"{value[1]} = {value[2]}")
    return [*steps, "", *values]


def _explain(file: str, line: int) -> str:
    """The step's own text: its guard and what it does."""
    lines = (SPEC / file).read_text().splitlines()[line - 1 : line + 3]
    return " ".join(" ".join(lines).split())[:110]


def _flags(search: Search) -> list[str]:
    return [f"-D{define}" for define in search.defines]


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ModelError(
            f"{name} is not installed: apt-get install spin gcc (Debian, Ubuntu), or brew install spin (macOS)"
        )
    return path


def _run(command: list[str], folder: Path, *, may_fail: bool = False) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIME_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{folder.name}: {command[0]} was not done after {TIME_LIMIT_S} s") from None
    if done.returncode and not may_fail:
        raise ModelError(f"{folder.name}: {' '.join(command)} failed:\n{done.stdout[-2000:]}")
    return done.stdout


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(wanted: Sequence[Search], *, show_trace: bool) -> bool:
    """Prints the table, a line as soon as it is known. Returns whether all was as it must be."""
    print(f"{'configuration':<40} {'states':>10} {'depth':>6} {'s':>6} {'MB':>6}  result")
    good, began = True, time.monotonic()
    total_s = 0.0
    for search in wanted:
        result = check(search, shortest=show_trace)
        total_s += result.seconds
        verdict = f"breaks {result.violated}" if result.violated else "holds"
        if result.violated != search.breaks:
            good, verdict = False, f"WRONG, must {f'break {search.breaks}' if search.breaks else 'hold'}: {verdict}"
        figures = f"{result.states:>10,} {result.depth:>6} {result.seconds:>6.1f} {result.memory_mb:>6.0f}"
        print(f"{search.name:<40} {figures}  {verdict} | {search.what}", flush=True)
        if show_trace and result.violated:
            print("\n".join(trace(search)))
    elapsed_s = time.monotonic() - began
    verdict = "good" if good else "NOT as it must be"
    print(f"{len(wanted)} searches, {total_s:.0f} s of processor time in {elapsed_s:.0f} s: {verdict}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.model.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="configurations and variants; without any, all")
    parser.add_argument("--quick", action="store_true", help="one configuration and one variant, in seconds")
    parser.add_argument("--trace", action="store_true", help="search breadth first and print the steps to a mistake")
    arguments = parser.parse_args()
    try:
        wanted = searches(QUICK if arguments.quick else arguments.names)
        return 0 if report(wanted, show_trace=arguments.trace) else 1
    except ModelError as error:
        print(f"model: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
