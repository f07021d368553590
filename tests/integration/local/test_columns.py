"""A data folder whose entities have other columns than the simulation: refused by name, or upgraded."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

from ..plugin_versions import VERSIONS, install
from .place import WHOLE, Place, is_whole


class Columns(Place):
    """With simulation `drift` in the version that ``use`` names."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sites = {version: install(folder / "versions", version) for version in VERSIONS}
        self.path = self.environment["PYTHONPATH"]
        self.write("drift")

    def use(self, version: str) -> None:
        self.environment["PYTHONPATH"] = os.pathsep.join([str(self.sites[version]), self.path])


@pytest.fixture
def columns() -> Iterator[Columns]:
    with tempfile.TemporaryDirectory(prefix="sf-columns-", dir="/tmp") as name:
        yield Columns(Path(name))


def test_a_world_with_other_columns_is_refused_until_there_is_an_upgrade(columns: Columns) -> None:
    columns.use("first")
    columns.whole_run()

    columns.use("second")
    refused = columns.up()
    (line,) = refused.stderr.strip().splitlines()[-1:]
    assert refused.returncode == 2, refused.stderr
    assert line.startswith("shardfleet: error: SchemaChanged: age uint32 is new, mood float32 became mood float64; ")
    assert "the fleet has bounces uint32, mood float32, simulation 'drift' has bounces uint32, mood float64" in line
    assert line.endswith("put its old image (version) back, or start anew with --fresh")

    columns.use("upgrade")
    entities = columns.whole_run()["entities"]
    assert {name: entities[name] for name in WHOLE} == WHOLE
    fleet = columns.start()
    try:
        columns.wait("all there", is_whole)
        found = json.loads(columns.run("entity", "7", "--data", "data", "--json").stdout)
        assert found["columns"]["age"] > 1_000_000
        columns.run("local", "down", "--data", "data")
        fleet.communicate(timeout=PATIENCE_S)
    finally:
        fleet.kill()
        fleet.communicate()

    columns.use("first")
    refused = columns.up()
    assert refused.returncode == 2 and "age uint32 is gone" in refused.stderr
    columns.use("second")
    assert columns.up("--report", "json").returncode != 2, "the upgrade is over: it is not needed any more"
