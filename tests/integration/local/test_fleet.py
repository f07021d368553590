"""``shardfleet local`` as a person uses it: real shards, the embedded Valkey, the orbit example."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S, beside_lateness, kept_up

from .place import wait_for_status

COMMAND = (sys.executable, "-m", "shardfleet_operator.cli", "local")
ORBIT = Path(__file__).parents[3] / "examples" / "orbit.yaml"
REPORT_KEYS = {
    "shards", "seconds", "settings", "entities", "handoffs", "gap_ms", "overlap_ticks", "continuity_error_max",
    "final_state_used", "fast_forwarded", "redis", "tick_ms", "ticks_skipped", "transfers_left", "verdicts",
}  # fmt: skip


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sf-e2e-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def up(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``local up`` on the folder's ``data``; what still runs at the end is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [*COMMAND, "up", "-f", str(ORBIT), "--data", str(folder / "data"), "--no-map"]
        command += ["--report", "json", *arguments]
        with (folder / f"stderr-{len(started)}").open("w") as stderr:
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _local(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, name, "--data", str(folder / "data"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def _status(folder: Path) -> dict[str, Any]:
    done = _local("status", folder, "--json")
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def _wait(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.1)


def _wait_until_all_run(folder: Path) -> None:
    wait_for_status(
        folder / "data",
        "all shards active",
        lambda status: [line["state"] for line in status.get("shards", ())] == ["active"] * 4,
    )


def _check_report(
    process: subprocess.Popen[str], folder: Path, *, entities: int = 50, skipped: int = 0
) -> dict[str, Any]:
    """The one JSON object on stdout, of a run in which nothing went wrong; ``skipped``: as ``kept_up`` has it."""
    stdout, _ = process.communicate(timeout=PATIENCE_S)
    report: dict[str, Any] = json.loads(stdout)
    assert set(report) == REPORT_KEYS
    outcome = json.loads((folder / "data" / "outcome.json").read_text())
    said = [path.read_text() for path in sorted(folder.glob("stderr-*"))]
    assert process.returncode == outcome["exit_code"] == (1 if outcome["faults"] else 0), said
    faults = outcome["faults"] if kept_up(report, skipped=skipped) else beside_lateness(outcome["faults"])
    assert faults == [], said
    assert report["entities"] == {
        "expected": entities, "owned": entities, "passing": 0, "frozen": 0, "missing": 0, "doubled": 0
    }  # fmt: skip
    assert report["handoffs"]["completed"] > 0
    assert (report["overlap_ticks"], report["continuity_error_max"], report["transfers_left"]) == (0, 0.0, 0)
    assert report["gap_ms"]["max"] is not None
    return report


def _processes(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads((folder / "data" / "processes.json").read_text())["processes"])


def _pids(folder: Path) -> dict[str, int]:
    return {one["process"]["shard"]: one["pid"] for one in _processes(folder)}


def test_a_shard_is_killed_and_the_fleet_loses_nothing(folder: Path, up: Callable[..., subprocess.Popen[str]]) -> None:
    process = up("--trace", str(folder / "trace"))
    _wait_until_all_run(folder)
    assert _status(folder)["running"]
    text = _local("status", folder)
    assert text.stdout.splitlines()[1].split()[:3] == ["SHARD", "CELLS", "STATE"]
    assert "\x1b" not in text.stdout
    wait_for_status(folder / "data", "some handoffs", lambda status: status.get("handoffs", 0) > 20)
    before = _pids(folder)
    os.kill(before["arena-2"], signal.SIGKILL)
    _wait("arena-2 has another process", lambda: _pids(folder)["arena-2"] != before["arena-2"])
    _wait_until_all_run(folder)
    down = _local("down", folder)
    report = _check_report(process, folder)
    assert down.returncode == process.returncode, down.stdout + down.stderr
    assert down.returncode or down.stdout.splitlines()[-1].startswith("OK ")
    assert report["seconds"] > 1
    handoffs = report["handoffs"]
    assert handoffs["started"] == handoffs["completed"] + handoffs["canceled"] + handoffs["rejected"]
    starts = sum(one["starts"] for one in _processes(folder))
    assert starts >= 5 and len(list((folder / "trace").glob("*.trace"))) == starts, "one for each epoch"
    _check_trace(folder, bound_s=5.0 if kept_up(report) else PATIENCE_S)
    _draw_trace(folder, processes=starts)
    idle = _local("status", folder)
    assert idle.stdout.startswith("arena does not run")


def _redis_pid(folder: Path) -> int:
    return int((folder / "data" / "redis" / "valkey.pid").read_text())


def _stop_and_go(pid: int, seconds: float) -> None:
    """The process of that id stands still for so long."""
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


def _check_trace(folder: Path, *, bound_s: float) -> None:
    command = [*COMMAND[:-1], "check", str(folder / "trace"), "--bound", str(bound_s)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _draw_trace(folder: Path, *, processes: int) -> None:
    page = folder / "page.html"
    command = [*COMMAND[:-1], "report", str(folder / "trace"), "-o", str(page)]
    drawn = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    text = page.read_text()
    assert text.count("<circle") > 10, "entities that circle four shards were handed over"
    assert text.count('class="life"') + text.count('class="sign-at died"') >= processes
    assert f"4 shards · {processes} processes" in text and "killed or failed" in text


@pytest.mark.parametrize(("victim", "seconds", "skipped"), [("arena-2", 5.0, 100), ("redis", 4.0, 0)])
def test_what_stands_still_and_goes_on_fails_nothing(
    folder: Path, up: Callable[..., subprocess.Popen[str]], victim: str, seconds: float, skipped: int
) -> None:
    """What was under way then stands much longer than the bound, and is over soon after the end of the standstill."""
    crowd = folder / "crowd.yaml"  # so that something is under way at any moment
    crowd.write_text(ORBIT.read_text().replace("seedEntities: 50", "seedEntities: 1000"))
    process = up("-f", str(crowd), "--trace", str(folder / "trace"))
    _wait_until_all_run(folder)
    pids = _pids(folder)
    time.sleep(1.0)
    _stop_and_go({**pids, "redis": _redis_pid(folder)}[victim], seconds)
    time.sleep(2.0)
    assert _pids(folder) == pids, "all go on, none is started again"
    _local("down", folder)
    report = _check_report(process, folder, entities=1000, skipped=skipped)
    if victim != "redis":  # of a Redis that answers again the shards may clear all before the second audit
        assert max(verdict["age_ms"] for verdict in report["verdicts"]) > 3_500
    in_time = kept_up(report, skipped=skipped)
    assert not in_time or all(verdict["counted_ms"] <= 3_500 for verdict in report["verdicts"])
    # They are not simulated meanwhile, and until the lease is there again.
    _check_trace(folder, bound_s=10.0 if in_time else PATIENCE_S)


def test_a_killed_supervisor_takes_all_along_and_the_world_goes_on(
    folder: Path, up: Callable[..., subprocess.Popen[str]]
) -> None:
    process = up()
    _wait_until_all_run(folder)
    pids = _pids(folder)
    process.kill()
    process.wait()
    _wait("its shards have ended", lambda: not any(_is_alive(pid) for pid in pids.values()))
    assert _status(folder) == {"fleet": "arena", "running": False, "last_report": None}
    assert _local("down", folder).returncode == 2

    began = time.monotonic()
    resumed = up("--duration", "3")
    report = _check_report(resumed, folder)
    (until_it_ran_s,) = re.findall(r"4 shards run, ([\d.]+) s after", (folder / "stderr-1").read_text())
    passed_s = time.monotonic() - began
    assert 3.0 <= report["seconds"] < passed_s - float(until_it_ran_s) + 0.1, "its start does not count"

    settled = up()
    _wait_until_all_run(folder)
    settled.send_signal(signal.SIGINT)
    settled.communicate(timeout=PATIENCE_S)
    assert (folder / "data" / "report.json").exists()
    assert not any(_is_alive(pid) for pid in _pids(folder).values())


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("up", "-f", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("up", "-f", str(ORBIT), "--redis", "redis://127.0.0.1:1"), "no answer from Redis at 127.0.0.1:1"),
        (("up", "-f", str(ORBIT), "--redis", "http://x"), "the Redis URL cannot be read"),
        (("up", "-f", str(ORBIT), "--duration", "-1"), "--duration"),
        (("up", "-f", str(ORBIT), "--report", "xml"), "--report"),
        (("status", "--data", "nowhere"), "nowhere: not a fleet's data folder"),
        (("down",), "no fleet under .shardfleet"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=folder
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


@pytest.mark.parametrize("name", ["up", "status", "down"])
def test_help_has_an_example(name: str) -> None:
    done = subprocess.run([*COMMAND, name, "--help"], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert "Example:" in done.stdout
    assert f"shardfleet local {name}" in done.stdout
