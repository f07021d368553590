"""docs/write-a-simulation.md, done by somebody who copies whatever stands there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from shardfleet_shard.core.columns import Columns, Schema
from shardfleet_shard.core.simulation import World

from tests.patience import PATIENCE_S

from .walkthrough import python_blocks, steps

PAGE = Path(__file__).parents[3] / "docs" / "write-a-simulation.md"
SITE = "site"


def environment(folder: Path) -> dict[str, str]:
    """That of an activated .venv, but that pip installs into ``folder``, from nowhere else than this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHARDFLEET", "PIP_"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / SITE),
        "PIP_TARGET": str(folder / SITE),
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one the wrong way round
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def test_a_reader_who_copies_it_all_gets_a_herd_that_is_proved(tmp_path: Path) -> None:
    said, ran = "", 0
    for step in steps(PAGE, "Your first one"):
        if step.file:
            path = tmp_path / step.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text)
        elif step.kind == "sh":
            done = subprocess.run(
                ["bash", "-e", "-c", step.text],
                cwd=tmp_path,
                env=environment(tmp_path),
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            said = done.stdout
            assert done.returncode == 0, f"{step.text}\n{said}\n{done.stderr}"
            ran += 1
        else:
            assert step.kind == "text", f"a block of {step.kind} that nobody writes to a file"
            for line in step.text.splitlines():
                assert line in said, said
    assert ran == 2 and (tmp_path / "trace" / "report.html").exists()


def test_the_herd_keeps_within_its_fence_grows_old_and_goes() -> None:
    (text,) = (step.text for step in steps(PAGE, "Your first one") if step.file == "herd/herd.py")
    names: dict[str, object] = {}
    exec(text, names)
    herd_class = names["Herd"]
    schema = Schema(2, herd_class.dtype)  # type: ignore[attr-defined]
    world = World((0.0, 0.0), (200.0, 120.0), 20, schema=schema)
    herd = herd_class(world, {"oldest": 100})  # type: ignore[operator]
    rows = herd.seed(np.random.default_rng(1), 50)
    begin, left = rows.position[:50].copy(), 0
    for tick in range(200):
        if (lambs := herd.arrivals(tick)) is not None:
            rows = Columns.concat(schema, [rows, lambs])
        leaving = herd.step(rows, tick, 0.05)
        if tick == 0:
            assert (rows.position[:50] != begin).any(1).all(), "whoever stands still begins to walk"
        rows = rows.take(~np.isin(rows.id, leaving))
        left += len(leaving)
    assert left == 50 + 5 and len(rows) == 5, "lambs of the last 100 ticks are there"
    assert (rows.position >= 0).all() and (rows.position <= (200, 120)).all()


def test_every_other_block_of_python_runs() -> None:
    for text in python_blocks(PAGE):
        exec(text, {"np": np})


def test_the_upgrade_on_the_page_is_one() -> None:
    (text,) = (text for text in python_blocks(PAGE) if "def upgrade" in text)
    names: dict[str, object] = {"np": np}
    exec(text, names)
    rain = names["Rain"]
    former = Schema(2, rain.former_dtypes[0])  # type: ignore[attr-defined]
    today = Schema(2, rain.dtype)  # type: ignore[attr-defined]
    old = former.rows(id=[1, 2], position=np.zeros((2, 2)), size=[0.5, 2.0])
    new = today.rows(id=[1, 2], position=np.zeros((2, 2)))
    rain().upgrade(old, new)  # type: ignore[operator]
    assert new["size"].tolist() == [0.5, 2.0] and new["age"].tolist() == [0, 0]
