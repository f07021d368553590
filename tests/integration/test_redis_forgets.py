"""A Redis that lost its last second, or everything, under four shards between which entities move all the time.

Real shards and a real server. Afterwards nothing is lost and nothing doubled, by the checker on the traces and by a
count; and no shard has ended. How long it took is for `make chaos` (tests/chaos).
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis
from shardfleet_operator.checker import check_directory

from tests.chaos.faults import RedisForgets, RedisRestart, RedisWipe, now_us
from tests.chaos.fleet import Fleet
from tests.patience import PATIENCE_S

ENTITIES = 200


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with (
        tempfile.TemporaryDirectory(prefix="sf-forgets-", dir="/tmp") as folder,
        Fleet(Path(folder) / "run", shards=4, entities=ENTITIES, speed=200.0) as running,
    ):
        yield running


def handed_over(fleet: Fleet) -> int:
    """By the newest manifests; 0 where Redis does not answer."""
    try:
        return sum(stats.handed_over_in for stats in fleet.reader.stats().values())
    except redis.RedisError:
        return 0


@pytest.mark.parametrize("kind", [RedisForgets, RedisWipe, RedisWipe])
def test_entities_go_on_and_go_over_borders_again(fleet: Fleet, kind: type[RedisRestart]) -> None:
    pids, before = [fleet.pid(shard) for shard in fleet.shards], handed_over(fleet)
    fleet.wait("entities move", PATIENCE_S, lambda: handed_over(fleet) > before)
    fault = kind(fleet, random.Random(1), ())
    fault.strike()
    while now_us() - fault.struck_us < fault.hold_s * 1e6:
        time.sleep(0.02)
    fault.end()
    fleet.wait("all owned again", PATIENCE_S, lambda: fleet.owned_since(fault.ended_us) == ENTITIES)
    assert [fleet.pid(shard) for shard in fleet.shards] == pids
    moved = handed_over(fleet)
    fleet.wait("they move again", PATIENCE_S, lambda: handed_over(fleet) > moved + 20)


def test_nothing_is_lost_and_nothing_doubled(fleet: Fleet) -> None:
    """Runs last: the fleet settles, and counts and traces agree."""
    ended = fleet.settle()
    assert ended["report"] is not None, ended
    entities = ended["report"]["entities"]
    assert {name: entities[name] for name in ("expected", "owned", "missing", "doubled")} == {
        "expected": ENTITIES, "owned": ENTITIES, "missing": 0, "doubled": 0
    }  # fmt: skip
    report = check_directory(fleet.trace, bound_s=PATIENCE_S)
    assert report.ok, report.to_text()
    ids, _ = fleet.reader.snapshot().versions()
    np.testing.assert_array_equal(ids, fleet.expected)
