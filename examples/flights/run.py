"""Runs a day of recorded aircraft through six shards and proves that none was lost, doubled or off its track.

    python examples/flights/run.py [--out build/flights]

Prepares the data (see prepare.py), runs the fleet 300 times faster than life (about four minutes), checks its traces
with ``shardfleet report``, which draws them, too, and against the tracks (see verify.py). Exit code 0 only if all of it
is well.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import prepare
import verify

MARGIN_S = 15
"""For the start of six processes before world tick 0, and for the last flights' despawn."""


def duration_s(tracks: Path, *, speedup: float) -> int:
    """Seconds that the fleet must live to play the whole of ``tracks`` (times in milliseconds)."""
    with tracks.open(newline="") as stream:
        times = [int(row["time"]) for row in csv.DictReader(stream)]
    return math.ceil((max(times) - min(times)) / 1000 / speedup) + MARGIN_S


def run_fleet(out: Path, *, seconds: int, command: Path) -> int:
    """``shardfleet local up`` in the foreground; its report goes to ``report.json``. Returns its exit code."""
    trace = out / "trace"
    shutil.rmtree(trace, ignore_errors=True)
    arguments = ["--duration", str(seconds), "--data", str(out / "data"), "--fresh", "--trace", str(trace)]
    with (out / "report.json").open("w") as report:
        return subprocess.run(
            [str(command), "local", "up", "-f", str(out / "flights.yaml"), *arguments, "--report", "json"],
            stdout=report,
            check=False,
        ).returncode


def show_report(path: Path) -> None:
    """A few lines of the report; nothing if the fleet ended before it wrote one."""
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError):
        return
    handoffs, entities = report.get("handoffs", {}), report.get("entities", {})
    print(f"handoffs: {', '.join(f'{key} {value}' for key, value in handoffs.items())}")
    print(f"entities: {', '.join(f'{key} {value}' for key, value in entities.items())}")
    print(f"gap_ms: {report.get('gap_ms')}  overlap_ticks: {report.get('overlap_ticks')}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A day of recorded aircraft through six shards, and its proof.")
    parser.add_argument("--out", type=Path, default=Path("build/flights"), help="folder to write (default %(default)s)")
    options = parser.parse_args(arguments)
    out: Path = options.out
    command = Path(sys.executable).with_name("shardfleet")
    if not command.exists():
        raise SystemExit(f"{command} is missing: make install, then run this with .venv/bin/python")
    prepare.main(["--out", str(out)])
    seconds = duration_s(out / "tracks.csv", speedup=prepare.SPEEDUP)
    print(f"the fleet runs for {seconds} s", flush=True)
    codes = {"shardfleet local up": run_fleet(out, seconds=seconds, command=command)}
    show_report(out / "report.json")
    drawn = [str(command), "report", str(out / "trace"), "-o", str(out / "report.html")]
    codes["shardfleet report"] = subprocess.run(drawn, check=False).returncode
    codes["verify"] = verify.main([str(out / "trace"), str(out / "tracks.csv"), "--speedup", str(prepare.SPEEDUP)])
    failed = [f"{name} ended with {code}" for name, code in codes.items() if code]
    print(f"flights: {'; '.join(failed) or 'all is well'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
