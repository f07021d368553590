"""Versions of one simulation with other columns, installed as packages in folders of their own."""

from __future__ import annotations

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
    site = folder / version
    info = site / "drift-1.dist-info"
    info.mkdir(parents=True)
    (site / "drift.py").write_text(_HEAD + VERSIONS[version])
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: drift\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[shardfleet.simulations]\ndrift = drift:Drift\n")
    return site
