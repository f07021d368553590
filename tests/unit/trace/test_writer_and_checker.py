"""What the writer writes, the checker reads: one small fleet with the production columns and hashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from shardfleet_operator.checker import check_directory
from shardfleet_shard.core.columns import Columns, Schema
from shardfleet_shard.core.trace_events import TraceEvent, TraceTick
from shardfleet_shard.trace import TraceWriter

SCHEMA = Schema(2, np.dtype([("heat", "<f4")]))


def step(rows: Columns, tick: int) -> None:
    rows.position[:] += rows.velocity * 0.05
    rows["heat"][:] += np.float32(tick % 3)


def test_a_fleet_of_two(tmp_path: Path) -> None:
    a, b = (
        TraceWriter(tmp_path, name, epoch, dimensions=2, dt_us=50_000, origin_tick=200)
        for name, epoch in (("a", 1), ("b", 2))
    )
    here = SCHEMA.rows(id=[1, 2, 3], position=[[0, 0], [5, 5], [9, 9]], velocity=[[1, 2]], heat=0.5)
    there = SCHEMA.rows(id=[4], position=[[20, 20]], velocity=[[-1, 0]])
    for writer, rows in ((a, here), (b, there)):
        writer.write_events([TraceEvent(kind="spawn", tick=200, ids=rows.id, versions=rows.version)])
    for tick in range(200, 260):
        if tick == 230:
            going = here.take(here.id == 2)
            here = here.take(here.id != 2)
            detail = {"transfer": "a/1/1", "target": "b"}
            a.write_events([TraceEvent(kind="release", tick=tick, ids=going.id, versions=going.version, detail=detail)])
            coming = going.with_version_raised()
            detail = {"transfer": "a/1/1", "origin": "final", "switch_tick": tick, "offer_tick": tick - 3}
            b.write_events([TraceEvent(kind="adopt", tick=tick, ids=coming.id, versions=coming.version, detail=detail)])
            there = Columns.concat(SCHEMA, [there, coming])
        for writer, rows in ((a, here), (b, there)):
            before = rows.hashes()
            step(rows, tick)
            writer.write(
                TraceTick(
                    tick=tick,
                    unix_us=tick * 50_000 + 400,
                    ids=rows.id,
                    versions=rows.version,
                    state_in=before,
                    state_out=rows.hashes(),
                    positions=rows.position,
                )
            )
    a.close(True)
    b.close(True)
    report = check_directory(tmp_path)
    assert report.ok, report.to_text()
    assert (report.handoffs, report.entities_expected, report.continuity_unproven) == (1, 4, 0)
    assert report.gap_ms == {"samples": 1, "min": 0.0, "p50": 0.0, "p99": 0.0, "max": 0.0}
