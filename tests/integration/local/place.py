"""A folder in which the real command runs a small fleet, with simulations that misbehave on demand."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shardfleet_operator.local.folder import DataFolder
from shardfleet_operator.local.status import Status, read_status
from shardfleet_shard.errors import ShardfleetError

from tests.patience import PATIENCE_S

SHARDFLEET = (sys.executable, "-m", "shardfleet_operator.cli")
PLUGINS = '''
from pathlib import Path
import numpy as np

class Still:
    """Rows stay where they are: even ids left of the middle, odd ones right of it."""
    dtype = None
    exact = True
    parameters_schema = {"type": "object", "additionalProperties": False, "properties": {"sick": {"type": "string"}}}

    def __init__(self, world, parameters):
        self.world = world
        self.sick = parameters.get("sick", "")

    def seed(self, rng, count):
        return self.rows(np.arange(1, count + 1))

    def rows(self, ids):
        place = np.stack([np.where(ids % 2, 20.0, -20.0), ids.astype(float)], axis=1)
        return self.world.schema.rows(id=ids, position=place)

    def arrivals(self, tick):
        return None

    def step(self, entities, tick, dt):
        return None

class Moody(Still):
    """Raises left of the middle as long as the file is there."""
    def step(self, entities, tick, dt):
        if Path(self.sick).exists() and (entities.position[:, 0] < 0).any():
            raise RuntimeError("I feel unwell")

class Twins(Still):
    def seed(self, rng, count):
        return self.rows(np.array([1, 2, 7, 7]))

class Nowhere(Still):
    def seed(self, rng, count):
        rows = self.rows(np.array([5, 6]))
        rows.position[1] = np.nan
        return rows
'''
NAMES = ("Still", "Moody", "Twins", "Nowhere")


class Place:
    """A folder with a fleet's file, test plugins that are found by their entry points, and a data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "fleet.yaml"
        site = folder / "site"
        info = site / "bad_plugins-1.dist-info"
        info.mkdir(parents=True)
        (site / "bad_plugins.py").write_text(PLUGINS)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugins\nVersion: 1\n")
        lines = "".join(f"{name.lower()} = bad_plugins:{name}\n" for name in NAMES)
        (info / "entry_points.txt").write_text(f"[shardfleet.simulations]\n{lines}")
        inherited = os.environ.get("PYTHONPATH")
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *filter(None, [inherited])])}

    def write(self, simulation: str = "still", *, name: str = "ward", spec: str = "", **parameters: object) -> None:
        self.file.write_text(
            "apiVersion: shardfleet.dev/v1alpha1\nkind: ShardFleet\n"
            f"metadata: {{name: {name}}}\n"
            "spec:\n  replicas: 2\n  tickRate: 20\n  world: {min: [-50, -50], max: [50, 50]}\n"
            f"  simulation: {json.dumps({'name': simulation, 'seedEntities': 10, 'parameters': parameters})}\n{spec}"
        )

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SHARDFLEET, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=self.folder,
            env={**self.environment, **more},
        )  # fmt: skip

    def up(self, *arguments: str, duration: str = "0.5") -> subprocess.CompletedProcess[str]:
        return self.run(
            "local", "up", "-f", "fleet.yaml", "--data", "data", "--no-map", "--duration", duration, *arguments
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [*SHARDFLEET, "local", "up", "-f", "fleet.yaml", "--data", "data", "--no-map", "--report", "json"]
        command += arguments
        with (self.folder / "stderr").open("w") as stderr:
            return subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=self.folder, env=self.environment
            )

    def status(self) -> Status:
        return read_status_of(self.folder / "data")

    def wait(self, what: str, condition: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Asks until ``condition`` holds of the shards' lines of one status."""
        wait_for_status(self.folder / "data", what, lambda status: condition(status.get("shards", [])))

    def whole_run(self, *arguments: str) -> dict[str, Any]:
        """The report of a run that ends once both shards are active and have all the seed between them."""
        fleet = self.start(*arguments)
        try:
            self.wait("all there", is_whole)
            self.run("local", "down", "--data", "data")
            return dict(json.loads(fleet.communicate(timeout=PATIENCE_S)[0]))
        finally:
            fleet.kill()
            fleet.communicate()

    def entities(self) -> dict[str, int]:
        """By the census of one more run; whether any handoff was measured is not the question."""
        self.write()
        found = self.whole_run()["entities"]
        return {name: found[name] for name in WHOLE}


def read_status_of(data: Path) -> Status:
    """As ``local status`` does, without a process of its own, which takes its time on a busy machine."""
    return asyncio.run(read_status(DataFolder(data)))


def look(data: Path) -> dict[str, Any]:
    """What ``local status --json`` prints; why it prints nothing, while no fleet runs on that folder."""
    try:
        return read_status_of(data).to_dict()
    except ShardfleetError as error:
        return {"error": str(error)}


def wait_for_status(data: Path, what: str, condition: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition(found := look(data)):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}: {found}"
        time.sleep(0.1)


WHOLE = {"expected": 10, "owned": 10, "missing": 0, "doubled": 0}
"""What ``Place.entities`` says where nothing is lost."""


def states(shards: list[dict[str, Any]]) -> list[str]:
    return sorted(shard["state"] for shard in shards)


def is_whole(shards: list[dict[str, Any]]) -> bool:
    """A moment after the shards are active the seed is there."""
    return states(shards) == ["active"] * 2 and sum(shard["entities"] for shard in shards) == 10
