"""A simulation that raises: its shard says so and tries again, the others go on, and nothing is lost."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shardfleet_operator.local.folder import DataFolder

from tests.patience import PATIENCE_S

from .place import Place, is_whole, states


@pytest.fixture
def fresh() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="sf-bad-", dir="/tmp") as name:
        yield Place(Path(name))


def test_a_plugin_that_raises_for_a_while_heals_and_others_go_on(fresh: Place) -> None:
    sick = fresh.folder / "sick"
    fresh.write("moody", sick=str(sick))
    fleet = fresh.start("--trace", str(fresh.folder / "trace"))
    try:
        fresh.wait("the seed is there", is_whole)
        sick.touch()
        seen: list[dict[str, Any]] = []  # asked for once: after ten seconds the shard gives up

        def fails(shards: list[dict[str, Any]]) -> bool:
            seen[:] = shards
            return states(shards) == ["active", "simulation-error"]

        fresh.wait("the left shard fails", fails)
        (failing,) = [s for s in seen if s["state"] == "simulation-error"]
        assert failing["error"] == "moody.step: RuntimeError: I feel unwell"
        assert failing["entities"] == 5
        assert f"{failing['shard']}: moody.step: RuntimeError: I feel unwell" in fresh.status().to_text()
        time.sleep(2.0)
        sick.unlink()
        fresh.wait(
            "both active, and the same processes",
            lambda shards: states(shards) == ["active", "active"] and [s["restarts"] for s in shards] == [0, 0],
        )
        time.sleep(0.5)
        fresh.run("local", "down", "--data", "data")
        report = json.loads(fleet.communicate(timeout=PATIENCE_S)[0])
    finally:
        fleet.kill()
        fleet.communicate()
    said = (fresh.folder / "stderr").read_text()
    assert "simulation error, tried again each second: moody.step: RuntimeError: I feel unwell" in said
    assert "the simulation works again" in said
    assert report["entities"] == {
        "expected": 10, "owned": 10, "passing": 0, "frozen": 0, "missing": 0, "doubled": 0
    }  # fmt: skip
    checked = fresh.run("check", "trace", "--json", "--bound", "60")
    assert checked.returncode == 0, checked.stdout
    figures = {epoch["shard"]: epoch for epoch in json.loads(checked.stdout)["epochs"]}
    other = figures[({"ward-0", "ward-1"} - {failing["shard"]}).pop()]
    ticks = other["last_tick"] - other["first_tick"] + 1
    skipped = report["ticks_skipped"]  # where the machine was too busy
    assert other["records"] >= 5 * (ticks - 3 - skipped), "nobody else missed more than a tick or so"
    assert figures[failing["shard"]]["records"] < 5 * (ticks - 40)


def test_a_plugin_that_always_raises_ends_its_process_which_is_started_again(fresh: Place) -> None:
    sick = fresh.folder / "sick"
    fresh.write("moody", sick=str(sick))
    fleet = fresh.start()
    try:
        fresh.wait("the seed is there", is_whole)
        sick.touch()

        def started_again(shards: list[dict[str, Any]]) -> bool:
            """Twice, and the other one is the same process."""
            starts = sorted((one.starts, one.shard) for one in DataFolder(fresh.folder / "data").read_processes())
            active = [shard["shard"] for shard in shards if shard["state"] == "active"]
            return [count for count, _ in starts[:1]] == [1] and starts[0][1] in active and starts[-1][0] >= 3

        fresh.wait("it was started again", started_again)
        said = (fresh.folder / "stderr").read_text()
        assert "exit code 4" in said and "I feel unwell" in said
        sick.unlink()
        fresh.wait("both active", lambda shards: states(shards) == ["active", "active"])
        fresh.run("local", "down", "--data", "data")
        report = json.loads(fleet.communicate(timeout=PATIENCE_S)[0])
    finally:
        fleet.kill()
        fleet.communicate()
    assert (report["entities"]["owned"], report["entities"]["missing"], report["entities"]["doubled"]) == (10, 0, 0)
