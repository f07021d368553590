"""One world through stops and a kill of everything: its recorded tracks go on where they were, as its traces prove.

The scenario runs once: settled, killed, settled in one trace folder, then once more in another. The tests look at
what it left.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SHARDFLEET = (sys.executable, "-m", "shardfleet_operator.cli")
FLEET = """
apiVersion: shardfleet.dev/v1alpha1
kind: ShardFleet
metadata: {name: tides}
spec:
  replicas: 2
  tickRate: 20
  world: {min: [-50, -50], max: [50, 50]}
  simulation: {name: replay, parameters: {tracks: tracks.csv}}
"""
TICK_RATE = 20
TRACKS = 80
EVERY_S = 0.25
"""Between two arrivals."""
LIFE_S = 60
LAST_S = 2.5


@dataclass(frozen=True)
class Epoch:
    """One process' trace; ticks are the world's."""

    shard: str
    epoch: int
    origin: int
    entity: Any
    tick: Any
    position: Any
    spawned: dict[int, int]
    """Entity -> its first world tick."""


@dataclass(frozen=True)
class Scenario:
    folder: Path
    same: list[list[Epoch]]
    """The epochs of the first, the killed and the third run, which share a trace folder."""
    anew: list[Epoch]
    """Of the fourth, in a folder of its own."""


def _up(folder: Path, trace: str, *arguments: str) -> subprocess.Popen[str]:
    command = [*SHARDFLEET, "local", "up", "-f", str(folder / "fleet.yaml"), "--data", str(folder / "data")]
    command += ["--trace", str(folder / trace), "--report", "json", *arguments]
    with (folder / "stderr").open("a") as stderr:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def _run(folder: Path, trace: str) -> None:
    process = _up(folder, trace, "--duration", str(LAST_S))
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0, (folder / "stderr").read_text()
    report = json.loads(stdout)
    assert (report["entities"]["missing"], report["entities"]["doubled"], report["overlap_ticks"]) == (0, 0, 0)


def _kill(folder: Path, trace: str) -> None:
    """Everything ends at once, Redis too."""
    process = _up(folder, trace)
    try:
        before = len(list((folder / trace).glob("*.trace")))
        deadline = time.monotonic() + 30
        while len(list((folder / trace).glob("*.trace"))) < before + 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(LAST_S)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def _read(folder: Path, known: set[str]) -> list[Epoch]:
    epochs = []
    for path in sorted(folder.glob("*.trace")):
        if path.stem in known:
            continue
        known.add(path.stem)
        header = json.loads(path.with_suffix(".json").read_text())
        origin = header["origin_tick"]
        dtype = np.dtype([tuple(tuple(x) if isinstance(x, list) else x for x in field) for field in header["dtype"]])
        size = path.stat().st_size // dtype.itemsize
        records = np.fromfile(path, dtype, size)
        lines = (path.parent / f"{path.stem}.events.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines if line.endswith("}")]
        if not origin:  # the file began before the world did
            first = [e for e in events if e["kind"] == "spawn" and e["entity"] == 0]
            origin = min((e["tick"] for e in first), default=0)
        epochs.append(
            Epoch(
                shard=header["shard"],
                epoch=header["epoch"],
                origin=origin,
                entity=records["entity"].astype(np.int64),
                tick=records["tick"],
                position=records["position"],
                spawned={e["entity"]: e["tick"] for e in events if e["kind"] == "spawn"},
            )
        )
    return _with_origins(epochs)


def _with_origins(epochs: list[Epoch]) -> list[Epoch]:
    origin = max(epoch.origin for epoch in epochs)  # of one run, so it is the same for all
    return [
        Epoch(
            shard=e.shard, epoch=e.epoch, origin=origin, entity=e.entity, tick=e.tick - origin, position=e.position,
            spawned={entity: tick - origin for entity, tick in e.spawned.items()},
        )
        for e in epochs
    ]  # fmt: skip


@pytest.fixture(scope="module")
def scenario() -> Iterator[Scenario]:
    with tempfile.TemporaryDirectory(prefix="sf-rest-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "fleet.yaml").write_text(FLEET)
        rows = [
            (track, track * EVERY_S + second, (40 if (track + second) % 2 else -40) + track / 10, track - 30)
            for track in range(TRACKS)
            for second in range(LIFE_S)
        ]
        text = "".join(f"{track},{seconds},{x},{y}\n" for track, seconds, x, y in rows)
        (folder / "tracks.csv").write_text("id,time,x,y\n" + text)
        known: set[str] = set()
        same = []
        for run in (_run, _kill, _run):
            run(folder, "trace")
            same.append(_read(folder / "trace", known))
        _run(folder, "anew")
        yield Scenario(folder, same, _read(folder / "anew", set()))


def _check(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    command = [*SHARDFLEET, "check", str(folder), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout)


def test_the_traces_of_all_runs_prove_the_rules(scenario: Scenario) -> None:
    code, report = _check(scenario.folder / "trace", "--bound", "60")
    assert code == 0, report["violations"]
    assert report["handoffs"] > 20
    assert (report["entities_lost"], report["overlap_ticks"], report["continuity_failures"]) == (0, 0, 0)
    assert [epoch["ended"] for epoch in report["epochs"]] == [True, False, True] * 2


def test_what_was_killed_left_a_hole_which_is_a_fault_only_beyond_the_bound(scenario: Scenario) -> None:
    code, report = _check(scenario.folder / "trace", "--bound", "0.3")
    assert code == 1
    assert set(report["counts"]) == {"A2 hole"}
    assert 6 < report["longest_hole_ticks"] < 60 * TICK_RATE


def test_a_folder_of_its_own_proves_the_rules_of_a_resumed_run(scenario: Scenario) -> None:
    code, report = _check(scenario.folder / "anew")
    assert code == 0, report["violations"]
    assert report["handoffs"] > 5
    assert report["entities_expected"] > report["spawned"] > 0


def test_world_ticks_go_on_where_the_world_stopped(scenario: Scenario) -> None:
    first, killed, third = scenario.same
    last = [max(int(e.tick.max()) for e in run) for run in (first, killed, third, scenario.anew)]
    start = [min(int(e.tick.min()) for e in run) for run in (first, killed, third, scenario.anew)]
    assert start[0] == 0
    assert last[0] - 2 <= start[1] <= last[0] + 1
    # What the killed processes had not published is simulated again.
    assert last[1] - 2 * TICK_RATE < start[2] <= last[1] + 1
    assert last[2] - 2 <= start[3] <= last[2] + 1
    total_s = (last[3] + 1) / TICK_RATE
    assert 4 * LAST_S < total_s < TRACKS * EVERY_S, "all four runs' time, and no pause between them"


def test_each_track_arrives_once_at_its_own_tick(scenario: Scenario) -> None:
    runs = [*scenario.same, scenario.anew]
    first_tick: dict[int, int] = {}
    for run in runs:
        for epoch in run:
            for entity, tick in epoch.spawned.items():
                assert tick == round(entity * EVERY_S * TICK_RATE), f"track {entity}"
            for entity in np.unique(epoch.entity).tolist():
                tick = int(epoch.tick[epoch.entity == entity].min())
                first_tick[entity] = min(tick, first_tick.get(entity, tick))
    reached = max(int(epoch.tick.max()) for epoch in scenario.anew)
    expected = {t: round(t * EVERY_S * TICK_RATE) for t in range(TRACKS) if t * EVERY_S * TICK_RATE <= reached - 2}
    assert {entity: tick for entity, tick in first_tick.items() if entity in expected} == expected
    for run in runs:
        assert any(epoch.spawned for epoch in run), "each run brings arrivals of its own"


def test_each_row_has_each_world_tick_once_and_is_on_its_track(scenario: Scenario) -> None:
    ticks: dict[int, list[int]] = {}
    for run in (scenario.anew, *reversed(scenario.same)):
        began = {entity: min(had) for entity, had in ticks.items()}
        for epoch in run:
            for entity in np.unique(epoch.entity).tolist():
                here = epoch.tick[epoch.entity == entity]
                if run is scenario.same[1]:  # what was not published has not been
                    here = here[here < began.get(entity, 1 << 40)]
                ticks.setdefault(entity, []).extend(here.tolist())
            seconds = epoch.tick / TICK_RATE - epoch.entity * EVERY_S
            along = np.abs((seconds + epoch.entity) % 2 - 1)  # 1 at even points, 0 at odd ones
            x = 40 - 80 * along + epoch.entity / 10
            assert np.abs(epoch.position[:, 0] - x).max() < 1e-6
    holes = 0
    for entity, had in ticks.items():
        assert len(had) == len(set(had)), f"entity {entity}"
        holes += max(had) + 1 - min(had) - len(had)
    # A busy machine leaves out a tick, or freezes a row for one; a rest that cost ticks would cost every row some.
    assert holes < len(ticks)
