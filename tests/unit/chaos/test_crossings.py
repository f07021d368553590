"""The harness' own count of crossings finds what is wrong in traces, and nothing in those that are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shardfleet_shard.trace import TraceWriter

from tests.chaos import crossings

Tick = tuple[int, int, int]
"""(tick, entity, version)"""

RIGHT: dict[str, list[Tick]] = {
    "a-0": [(1, 7, 1), (2, 7, 1), (5, 7, 3), (1, 8, 1)],
    "a-1": [(3, 7, 2), (4, 7, 2)],
}
AT_REST = {7: 3, 8: 1}


def _count(folder: Path, ticks: dict[str, list[Tick]], counted: int | None = 2) -> crossings.Crossings:
    for epoch, (shard, records) in enumerate(ticks.items(), 1):
        writer = TraceWriter(folder, shard, epoch, dimensions=2, dt_us=50_000, origin_tick=0)
        for tick, entity, version in sorted(records):
            writer.write_tick(
                tick,
                tick * 50_000 + epoch * 10**9,
                np.array([entity], np.uint64),
                np.array([version], np.uint32),
                np.zeros(1, np.uint64),
                np.zeros(1, np.uint64),
                np.zeros((1, 2)),
            )
        writer.close(end=True)
    ids = np.array(sorted(AT_REST), np.uint64)
    versions = np.array([AT_REST[entity] for entity in sorted(AT_REST)], np.uint32)
    return crossings.count(folder, ids, versions, counted)


def test_what_is_right(tmp_path: Path) -> None:
    found = _count(tmp_path, RIGHT)
    assert found == crossings.Crossings(by_versions=2, counted=2, traced=2, two_shards=0, overlaps=0, unknown=0)
    assert found.faults == []


def test_records_are_taken_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossings, "CHUNK_RECORDS", 2)
    assert _count(tmp_path, RIGHT).faults == []


def test_a_redis_that_forgot_its_counter_is_not_held_against_it(tmp_path: Path) -> None:
    assert _count(tmp_path, RIGHT, counted=None).faults == []


@pytest.mark.parametrize(
    ("more", "counted", "said"),
    [
        ([(3, 7, 1)], 2, "1 versions were simulated beside their successors"),
        ([(3, 7, 2)], 2, "1 versions were simulated by two shards"),
        ([(6, 7, 4)], 2, "1 versions were simulated that nobody has at rest"),
        ([(6, 9, 1)], 2, "1 versions were simulated that nobody has at rest"),
        ([], 3, "2 crossings by the versions at rest, 3 by the scripts' counter"),
    ],
)
def test_what_is_wrong(tmp_path: Path, more: list[Tick], counted: int, said: str) -> None:
    assert said in _count(tmp_path, {**RIGHT, "a-0": [*RIGHT["a-0"], *more]}, counted).faults
