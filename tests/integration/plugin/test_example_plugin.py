"""The example plugin as a user's package: built and installed by pip, found by its entry point in another process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "simulation-plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with the plugin installed in it; the sources are copied, so that nothing is built in the repository."""
    source = tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    target = tmp_path_factory.mktemp("site")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return target


def python(site: Path, code: str) -> str:
    """What ``code`` prints in a fresh interpreter that sees the plugin."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=site,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_registry_finds_it_beside_the_built_in_ones(site):
    out = python(site, "from shardfleet_shard.simulations.registry import installed; print(*installed())")
    assert out.split() == ["linear", "orbit", "rain", "replay"]


def test_it_is_not_there_where_it_is_not_installed(tmp_path):
    out = python(tmp_path, "from shardfleet_shard.simulations.registry import installed; print(*installed())")
    assert "rain" not in out.split()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_it_keeps_its_promises(site, dimensions):
    out = python(
        site,
        "from shardfleet_shard.simulations.check import run\n"
        f"print(*run('rain', {{'dropsPerTick': 3}}, {dimensions}).lines, sep='\\n')",
    )
    assert out.splitlines()[-1] == "verdict: ok", out


def test_drops_come_fall_bounce_and_leave(site):
    code = """
import numpy as np
from shardfleet_shard.core.columns import Columns
from shardfleet_shard.core.simulation import World
from shardfleet_shard.simulations.registry import load, schema_for

schema = schema_for("rain", 2)
rain = load("rain", World((0.0, 0.0), (50.0, 20.0), 20, schema=schema), {"dropsPerTick": 2})
rows = rain.seed(np.random.default_rng(1), 10)
came, left, most = len(rows), 0, 0
for tick in range(400):
    rows = Columns.concat(schema, [rows, rain.arrivals(tick)])
    came += 2
    leaving = rain.step(rows, tick, 0.05)
    most = max(most, int(rows["bounces"].max()))
    rows = rows.take(~np.isin(rows.id, leaving))
    left += len(leaving)
print(came, left, len(rows), most, float(rows.position[:, 1].min()) >= 0, len(np.unique(rows.id)) == len(rows))
"""
    came, left, there, bounces, above, unique = python(site, code).split()
    assert int(came) == 810 and int(left) > 500 and int(came) == int(left) + int(there)
    assert (bounces, above, unique) == ("1", "True", "True")


def test_a_wrong_parameter_is_named(site):
    out = python(
        site,
        "from shardfleet_shard.simulations.check import run\n"
        "from shardfleet_shard.errors import SpecError\n"
        "try:\n    run('rain', {'dropsPerTick': -1})\nexcept SpecError as error:\n    print(error)",
    )
    assert out.startswith("spec.simulation.parameters.dropsPerTick: ")
