"""A shard that cannot be started again, among real ones: its sibling takes over, and gives the cell back later."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fault_costs import ONE_MACHINE, note
from tests.patience import PATIENCE_S
from tests.traced import longest_wait

from .place import wait_for_status

COMMAND = (sys.executable, "-m", "shardfleet_operator.cli")
ORBIT = Path(__file__).parents[3] / "examples" / "orbit.yaml"
GONE, SIBLING = "arena-1", "arena-0"
WITHIN_S = 30.0
"""No entity is unsimulated for longer; by the traces, for looking at the status takes its own time."""
REFUSE = f"""
import os, sys
if {GONE!r} in sys.orig_argv and os.path.exists(os.environ["NO_START"]):
    os._exit(77)
"""
"""Runs in every Python at its start."""


Shards = dict[str, dict[str, Any]]


def entities(shards: Shards) -> dict[str, int]:
    """By living shard."""
    return {name: line["entities"] for name, line in shards.items() if line["state"] == "active"}


class Arena:
    """``local up`` of the orbit example, in which one shard does not start as long as a file is there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.no_start = folder, folder / "no-start"
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(REFUSE)
        path = [str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "NO_START": str(self.no_start)}
        command = [*COMMAND, "local", "up", "-f", str(ORBIT), "--data", str(folder / "data"), "--no-map"]
        with (folder / "stderr").open("w") as stderr:
            self.process = subprocess.Popen(
                [*command, "--report", "json", "--trace", str(folder / "trace")],
                stdout=subprocess.PIPE, stderr=stderr, text=True, env=self.environment,
            )  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def wait(self, what: str, condition: Callable[[Shards], bool]) -> None:
        """All of ``condition`` is asked of one look at the shards' lines, by name."""
        data = self.folder / "data"
        wait_for_status(data, what, lambda found: condition({one["shard"]: one for one in found.get("shards", ())}))

    def kill(self, shard: str) -> None:
        stored = json.loads((self.folder / "data" / "processes.json").read_text())["processes"]
        os.kill(next(one["pid"] for one in stored if one["process"]["shard"] == shard), signal.SIGKILL)


@pytest.fixture
def arena() -> Iterator[Arena]:
    with tempfile.TemporaryDirectory(prefix="sf-takeover-", dir="/tmp") as name:
        arena = Arena(Path(name))
        yield arena
        if arena.process.poll() is None:
            arena.process.kill()
        arena.process.communicate()


def test_a_shard_that_cannot_start_is_taken_over_and_its_cell_comes_back_with_it(arena: Arena) -> None:
    arena.wait("four shards run", lambda shards: len(entities(shards)) == 4)
    arena.no_start.touch()
    arena.kill(GONE)
    arena.wait("its entities have gone from the figures", lambda shards: GONE not in entities(shards))

    def taken_over(shards: Shards) -> bool:
        """Three shards have all 50 entities, and the sibling has both halves as one cell."""
        three = set(shards) == {"arena-0", "arena-2", "arena-3"}
        return three and shards[SIBLING]["cells"] == "0" and sum(entities(shards).values()) == 50

    arena.wait("its sibling has taken over", taken_over)
    arena.no_start.unlink()
    arena.wait("four shards run again", lambda shards: len(entities(shards)) == 4)

    arena.run("local", "down", "--data", str(arena.folder / "data"))
    said = (arena.folder / "stderr").read_text()
    assert re.search(rf"{SIBLING} takes over from {GONE}: it has had no lease for \d+ s", said), said
    # Its exit code says more: a transfer that was open with the dead shard may have stood as long as one waited for it.
    report = json.loads(arena.process.communicate(timeout=PATIENCE_S)[0])
    assert report["entities"] == {
        "expected": 50, "owned": 50, "passing": 0, "frozen": 0, "missing": 0, "doubled": 0
    }  # fmt: skip
    assert (report["overlap_ticks"], report["continuity_error_max"], report["transfers_left"]) == (0, 0, 0)
    checked = arena.run("check", str(arena.folder / "trace"), "--bound", str(WITHIN_S))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    wait = longest_wait(arena.folder / "trace")
    note("kubelet stopped or node gone", ONE_MACHINE, "a shard that does not start", unsimulated_ticks=wait.ticks)
