"""Where a loaded shard's time goes: ``make flame`` samples one with py-spy and draws two flame graphs."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from . import flamegraph
from .bench.fleet import BenchmarkError, Fleet
from .bench.throughput import Row, content_of

LOAD = Row(name="flame", shards=4, entities=56_000, speed=1_000.0)
RAMP_S = 5.0
RECORD_S = 10
SAMPLES_PER_SECOND = 200
MANAGER = "ServerAuthorityManager"
MANAGER_FILE, LINK_FILE = "shardfleet_shard/authority_manager.py", "shardfleet_shard/net/link.py"
GRAPHS = {
    "flame-tick.svg": (
        "A shard's ticks",
        ((f"{MANAGER}._on_tick", MANAGER_FILE), (f"{MANAGER}._end_tick", MANAGER_FILE)),
    ),
    "flame-link.svg": (
        "A shard's links",
        (("Link._read", LINK_FILE), ("Link._write", LINK_FILE), (f"{MANAGER}.on_frame", MANAGER_FILE)),
    ),
}
"""File -> title, and the functions that its stacks begin with."""


def record(folder: Path) -> str:
    """The raw stacks of one shard of a fleet under load. Raises ``BenchmarkError`` where there are none."""
    with Fleet(content_of(LOAD), folder) as fleet:
        fleet.wait_for_handoffs(LOAD.entities)
        fleet.run_for(RAMP_S)
        shard, process = min(fleet.shard_processes().items())
        out = folder / "flame.stacks"  # stays, for another drawing
        print(f"{shard}: {RECORD_S} s", file=sys.stderr, flush=True)
        out.unlink(missing_ok=True)
        command = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(process.pid)]
        command += ["--duration", str(RECORD_S), "--rate", str(SAMPLES_PER_SECOND)]
        command += ["--function", "--format", "raw", "--output", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not out.exists():
            said = (done.stderr or done.stdout).strip().splitlines()
            raise BenchmarkError(f"py-spy ended with code {done.returncode}: {said[-1] if said else 'it said nothing'}")
        raw = out.read_text()
        fleet.settle()
    return raw


def main(arguments: list[str] | None = None) -> int:
    """0; 1 where nothing could be recorded."""
    parser = argparse.ArgumentParser(prog="python -m tests.performance.flame", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="the folder (%(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("build/bench"), help="for the fleet's data (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        stacks = flamegraph.parse(record(options.folder))
        all_samples = sum(samples for _, samples in stacks)
        for name, (title, roots) in GRAPHS.items():
            text = flamegraph.svg(title, flamegraph.cut(stacks, roots), all_samples=all_samples)
            (options.out / name).write_text(text)
            print(f"written to {options.out / name}")
    except (BenchmarkError, ValueError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
