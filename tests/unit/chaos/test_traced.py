"""What traces say of a fault's cost: for how long an entity waited, and how far its motion fell back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from shardfleet_shard.core.trace_events import TraceEvent
from shardfleet_shard.trace import TraceWriter

from tests.traced import Fallback, Wait, fallbacks, longest_wait

TICK_US = 50_000


def _process(
    folder: Path, epoch: int, ticks: range, *, state_tick: int | None = None, late_us: int = 0, ends: bool = False
) -> None:
    """Entity 7 in one process of a-0; with ``state_tick`` taken up from a manifest."""
    writer = TraceWriter(folder, "a-0", epoch, dimensions=2, dt_us=TICK_US, origin_tick=0)
    if state_tick is not None:
        detail = {"origin": "manifest", "state_tick": state_tick}
        ids, versions = np.array([7], np.uint64), np.array([1], np.uint32)
        writer.write_events([TraceEvent(kind="adopt", tick=ticks[0], ids=ids, versions=versions, detail=detail)])
    for tick in ticks:
        writer.write_tick(
            tick,
            tick * TICK_US + late_us,
            np.array([7], np.uint64),
            np.array([1], np.uint32),
            np.zeros(1, np.uint64),
            np.zeros(1, np.uint64),
            np.zeros((1, 2)),
        )
    writer.close(end=ends)


def test_a_successor_goes_on_from_a_manifest(tmp_path: Path) -> None:
    """The third process is killed before it has simulated anything."""
    _process(tmp_path, 1, range(10, 20))
    _process(tmp_path, 2, range(18, 30), state_tick=17, late_us=10 * TICK_US)
    _process(tmp_path, 3, range(0))
    _process(tmp_path, 4, range(30, 40), state_tick=29, late_us=20 * TICK_US)
    assert fallbacks(tmp_path) == [
        Fallback(shard="a-0", epoch=1, ticks=2),
        Fallback(shard="a-0", epoch=2, ticks=0),
    ]


def test_who_ended_in_order_was_not_killed(tmp_path: Path) -> None:
    _process(tmp_path, 1, range(10, 20), ends=True)
    _process(tmp_path, 2, range(20, 30), state_tick=19)
    assert fallbacks(tmp_path) == []


def test_a_wait_is_time_that_passed(tmp_path: Path) -> None:
    """Ticks 18 and 19 are simulated twice, and nobody is idle by tick numbers alone."""
    _process(tmp_path, 1, range(10, 20))
    _process(tmp_path, 2, range(18, 30), state_tick=17, late_us=10 * TICK_US)
    assert longest_wait(tmp_path) == Wait(ticks=8, ended_us=28 * TICK_US)
    assert longest_wait(tmp_path, to_us=19 * TICK_US) == Wait(ticks=0, ended_us=11 * TICK_US)
    assert longest_wait(tmp_path, from_us=20 * TICK_US).ticks == 0
