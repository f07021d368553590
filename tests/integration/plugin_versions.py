"""Versions of one simulation with other columns, installed as packages in folders of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_HEAD = """
import numpy as np
from shardfleet_shard.simulations.linear import Linear

FIRST = np.dtype([("bounces", "<u4"), ("mood", "<f4")])
SECOND = np.dtype([("bounces", "<u4"), ("mood", "<f8"), ("age", "<u4")])
"""

_FIRST = """
class Drift(Linear):
    dtype = FIRST
"""

_SECOND = """
class Drift(Linear):
    dtype = SECOND

    def step(self, entities, tick, dt):
        entities["age"][:] += 1
        return super().step(entities, tick, dt)
"""

_UPGRADE = """
    former_dtypes = (FIRST,)

    def upgrade(self, former, rows):
        rows["mood"][:] = former["mood"]
        rows["age"][:] = 1_000_000
"""

VERSIONS = {"first": _FIRST, "second": _SECOND, "upgrade": _SECOND + _UPGRADE}


def install(folder: Path, version: str) -> Path:
    """Puts simulation `drift` in that version under ``folder``; the result goes onto PYTHONPATH."""
    return install_package(folder / version, "drift", _HEAD + VERSIONS[version], {"drift": "Drift"})


def install_package(site: Path, name: str, source: str, simulations: Mapping[str, str]) -> Path:
    """Puts a package of one module into the new folder ``site``, which goes onto PYTHONPATH.

    ``simulations``: the class of each, by the simulation's name.
    """
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    entries = "".join(f"{simulation} = {name}:{plugin}\n" for simulation, plugin in simulations.items())
    (info / "entry_points.txt").write_text("[shardfleet.simulations]\n" + entries)
    return site
