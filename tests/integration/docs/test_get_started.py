"""docs/get-started.md on one machine: every command of it, with a second terminal while the fleet runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

from .walkthrough import steps

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "get-started.md"
UP, STATUS = "shardfleet local up", "shardfleet local status"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Its path is short, for the socket in it. On a busy machine a killed shard may need longer to start than the
    watchdog allows, which fails a run; how long is not this page's business."""
    with tempfile.TemporaryDirectory(prefix="sf-doc-", dir="/tmp") as name:
        shutil.copytree(ROOT / "examples", Path(name) / "examples")
        fleet = Path(name) / "examples" / "orbit.yaml"
        fleet.write_text(fleet.read_text().replace("    delay: 60ms", "    discrepancyThreshold: 30s\n    delay: 60ms"))
        yield Path(name)


def terminal() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SHARDFLEET")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-e", "-c", text],
        cwd=folder, env=terminal(), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def wait_until_all_are_active(folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status = run(folder, f"{STATUS} --json")
        shards = [] if status.returncode else json.loads(status.stdout).get("shards", [])
        if [line["state"] for line in shards] == ["active"] * 4:
            return
        assert time.monotonic() < deadline, (status.stdout, status.stderr)
        time.sleep(0.2)


def test_a_reader_kills_a_shard_and_has_the_proof(folder: Path) -> None:
    fleet: subprocess.Popen[bytes] | None = None
    said, blocks = "", 0
    try:
        for step in steps(PAGE, "On one machine"):
            if step.kind == "text":
                assert step.text.strip() in said, said
            elif step.text.startswith(UP):
                with (folder / "up.log").open("wb") as log:
                    command = ["bash", "-c", f"exec {step.text}"]
                    fleet = subprocess.Popen(command, cwd=folder, env=terminal(), stdout=log, stderr=log)
                wait_until_all_are_active(folder)
            else:
                if step.text.startswith(STATUS):
                    wait_until_all_are_active(folder)
                done = run(folder, step.text)
                said = done.stdout
                assert done.returncode == 0, f"{step.text}\n{said}\n{done.stderr}\n{(folder / 'up.log').read_text()}"
                blocks += 1
        assert fleet is not None and fleet.wait(timeout=PATIENCE_S) == 0
    finally:
        if fleet is not None and fleet.poll() is None:
            fleet.kill()
            fleet.wait()
    assert blocks == 4
    page = (folder / "build" / "trace" / "report.html").read_text()
    assert "4 shards · 5 processes" in page and "killed or failed" in page
