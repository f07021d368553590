"""One world through stops and a kill of everything: its recorded tracks go on where they were, as its traces prove.

The scenario runs once: settled, killed, settled in one trace folder, then once more in another. The tests look at
what it left.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from shardfleet_operator.local.folder import DataFolder

from tests.patience import PATIENCE_S, beside_lateness, kept_up

SHARDFLEET = (sys.executable, "-m", "shardfleet_operator.cli")
FLEET = """
apiVersion: shardfleet.dev/v1alpha1
kind: ShardFleet
metadata: {name: tides}
spec:
  replicas: 2
  tickRate: 4
  handoff: {delay: 350ms}
  world: {min: [-50, -50], max: [50, 50]}
  simulation: {name: replay, parameters: {tracks: tracks.csv}}
"""
TICK_RATE = 4
"""So slow that a busy machine keeps up: more than ten ticks late, a shard leaves some out."""
TRACKS = 800
EVERY_S = 0.25
"""Between two arrivals."""
LIFE_S = 60
LAST_S = 2.5
KILL_BOUND_S = 60
"""No row of the killed run waits for longer."""
FORGONE_S = 9.0
"""A shard that comes later simulates the last ten seconds, and forgoes what was before."""


@dataclass(frozen=True)
class Epoch:
    """One process' trace; ticks are the world's."""

    shard: str
    epoch: int
    origin: int
    entity: Any
    tick: Any
    late_s: Any
    """How long after its start each tick was simulated: a shard that comes late catches up."""
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
    published: int
    """A world tick that was in Redis before the second was killed."""

    @property
    def runs(self) -> list[list[Epoch]]:
        return [*self.same, self.anew]


@contextmanager
def _up(folder: Path, trace: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has lasted for a while, in which something has arrived and something was handed over."""
    command = [*SHARDFLEET, "local", "up", "-f", str(folder / "fleet.yaml"), "--data", str(folder / "data")]
    command += ["--no-map", "--trace", str(folder / trace), "--report", "json"]
    before = set((folder / trace).glob("*.trace"))
    with (folder / "stderr").open("a") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not _has_lasted(set((folder / trace).glob("*.trace")) - before):
            assert time.monotonic() < deadline and process.poll() is None, (folder / "stderr").read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def _has_lasted(traces: set[Path]) -> bool:
    """What a shard catches up takes no time of its own."""
    written_us = [_records(path)["unix_us"].astype(np.int64) for path in traces]
    events = "".join(path.with_suffix(".events.jsonl").read_text() for path in traces)
    return (
        len(written_us) == 2
        and all(len(one) and np.ptp(one) > LAST_S * 1e6 for one in written_us)
        and re.search('"kind": ?"spawn"', events) is not None
        and re.search('"from": ?"(offer|final)"', events) is not None
    )


def _run(folder: Path, trace: str) -> None:
    with _up(folder, trace) as process:
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (0, 1), (folder / "stderr").read_text()
    report = json.loads(stdout)
    outcome = json.loads((folder / "data" / "outcome.json").read_text())
    faults = outcome["faults"] if kept_up(report) else beside_lateness(outcome["faults"])
    assert faults == [], (folder / "stderr").read_text()
    assert (report["entities"]["missing"], report["entities"]["doubled"], report["overlap_ticks"]) == (0, 0, 0)


def _kill(folder: Path, trace: str) -> int:
    """Everything ends at once, Redis too. Returns the highest grid tick that was published before."""
    with _up(folder, trace):
        return _published(folder)


def _published(folder: Path) -> int:
    with redis.Redis.from_url(DataFolder(folder / "data").running_fleet().redis_url) as client:
        headers = [client.hget(f"sf:tides:manifest:tides-{ordinal}", "header") for ordinal in range(2)]
    return max(int(json.loads(header)["tick"]) for header in headers if header)


def _records(path: Path) -> Any:
    """All that is whole of a trace's records."""
    header = json.loads(path.with_suffix(".json").read_text())
    dtype = np.dtype([tuple(tuple(x) if isinstance(x, list) else x for x in field) for field in header["dtype"]])
    return np.fromfile(path, dtype, path.stat().st_size // dtype.itemsize)


def _read(folder: Path, known: set[str]) -> list[Epoch]:
    epochs = []
    for path in sorted(folder.glob("*.trace")):
        if path.stem in known:
            continue
        known.add(path.stem)
        header = json.loads(path.with_suffix(".json").read_text())
        origin = header["origin_tick"]
        records = _records(path)
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
                late_s=records["unix_us"].astype(np.int64) / 1e6 - records["tick"] / TICK_RATE,
                position=records["position"],
                spawned={e["entity"]: e["tick"] for e in events if e["kind"] == "spawn"},
            )
        )
    return _with_origins(epochs)


def _with_origins(epochs: list[Epoch]) -> list[Epoch]:
    origin = max(epoch.origin for epoch in epochs)  # of one run, so it is the same for all
    return [
        replace(
            e, origin=origin, tick=e.tick - origin, spawned={entity: at - origin for entity, at in e.spawned.items()}
        )
        for e in epochs
    ]


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
        _run(folder, "trace")
        first = _read(folder / "trace", known)
        published = _kill(folder, "trace")
        killed = _read(folder / "trace", known)
        _run(folder, "trace")
        third = _read(folder / "trace", known)
        _run(folder, "anew")
        anew = _read(folder / "anew", set())
        yield Scenario(folder, [first, killed, third], anew, published - killed[0].origin)


def _check(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    command = [*SHARDFLEET, "check", str(folder), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return done.returncode, json.loads(done.stdout)


def test_the_traces_of_all_runs_prove_the_rules(scenario: Scenario) -> None:
    code, report = _check(scenario.folder / "trace", "--bound", str(KILL_BOUND_S))
    assert code == 0, report["violations"]
    assert report["handoffs"] > 20
    assert (report["entities_lost"], report["overlap_ticks"], report["continuity_failures"]) == (0, 0, 0)
    assert [epoch["ended"] for epoch in report["epochs"]] == [True, False, True] * 2


def test_what_was_killed_left_a_hole_which_is_a_fault_only_beyond_the_bound(scenario: Scenario) -> None:
    code, report = _check(scenario.folder / "trace", "--bound", "0.3")
    assert code == 1
    assert set(report["counts"]) == {"A2 hole"}
    assert 0.3 * TICK_RATE < report["longest_hole_ticks"] < KILL_BOUND_S * TICK_RATE


def test_a_folder_of_its_own_proves_the_rules_of_a_resumed_run(scenario: Scenario) -> None:
    code, report = _check(scenario.folder / "anew")
    assert code == 0, report["violations"]
    assert report["handoffs"] > 5
    assert report["entities_expected"] > report["spawned"] > 0


def test_world_ticks_go_on_where_the_world_stopped(scenario: Scenario) -> None:
    """The rows' ticks, that is; a few may have been frozen in a handoff when it stopped, and are of earlier ones."""
    runs = scenario.runs
    assert min(int(epoch.tick.min()) for epoch in runs[0]) == 0
    last = [{entity: int(ticks.max()) for entity, (ticks, _) in _by_entity(run).items()} for run in runs]
    first = [_first(run) for run in runs]
    for before, after in ((0, 1), (2, 3)):
        steps = [tick - last[before][entity] for entity, tick in first[after].items() if entity in last[before]]
        assert not steps or np.median(steps) == 1, "no tick twice, and no pause that counts"
    # What the killed processes had not published is simulated again, and nothing else.
    starts = [tick for entity, tick in first[2].items() if entity in last[1]]
    assert not starts or scenario.published < np.median(starts) <= max(last[1].values()) + 1
    assert max(last[3].values()) + 1 >= 4 * LAST_S * TICK_RATE, "all four runs' time"


def _by_entity(run: list[Epoch]) -> dict[int, tuple[Any, Any]]:
    """(ticks, how late each was) of a run."""
    entity, tick, late_s = (np.concatenate([getattr(e, name) for e in run]) for name in ("entity", "tick", "late_s"))
    return {one: (tick[entity == one], late_s[entity == one]) for one in np.unique(entity).tolist()}


def _first(run: list[Epoch]) -> dict[int, int]:
    """Each entity's first tick in a run, where none before it was forgone."""
    found = {entity: (int(ticks.min()), late_s[ticks.argmin()]) for entity, (ticks, late_s) in _by_entity(run).items()}
    return {entity: tick for entity, (tick, late_s) in found.items() if late_s < FORGONE_S}


def test_each_track_arrives_once_at_its_own_tick(scenario: Scenario) -> None:
    runs = scenario.runs
    reached = max(int(epoch.tick.max()) for epoch in scenario.anew)
    own = {track: round(track * EVERY_S * TICK_RATE) for track in range(TRACKS)}
    arrived: set[int] = set()
    for run in runs:
        for epoch in run:
            for entity, tick in epoch.spawned.items():
                assert tick == own[entity], f"track {entity}"
        first = _first(run)
        for entity in _by_entity(run).keys() - arrived:
            assert first.get(entity, own[entity]) == own[entity], f"track {entity}"
        arrived |= _by_entity(run).keys()
    assert arrived >= {track for track, tick in own.items() if tick <= reached - 2}
    for run in runs:
        assert any(epoch.spawned for epoch in run), "each run brings arrivals of its own"


def test_no_row_has_a_world_tick_twice_and_each_is_on_its_track(scenario: Scenario) -> None:
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
    for entity, had in ticks.items():
        assert len(had) == len(set(had)), f"entity {entity}"
