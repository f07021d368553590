"""Rows that are late together are stepped together, with the same bits and the same trace as one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shardfleet_shard.core.columns import Columns
from shardfleet_shard.core.context import CATCH_UP_LIMIT_US, Context
from shardfleet_shard.core.trace_events import TraceTick

from .interpreter import Interpreter

LAST_TICK = 30


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Context:
    scenario = Interpreter()
    scenario.execute("shards a-0")
    found = scenario.world.find("a-0").runtime.context
    found.origin_tick = 0
    found.effects.ticks.clear()
    return found


def _parts(context: Context) -> list[tuple[Columns, int]]:
    """Three transfers with switch ticks of their own, one that is on time, and one whose rows have all gone."""
    rng = np.random.default_rng(1)

    def rows(*ids: int) -> Columns:
        return context.schema.rows(
            id=np.array(ids, np.uint64), position=rng.random((len(ids), 2)), velocity=rng.random((len(ids), 2))
        )

    return [(rows(5, 6), 28), (rows(1), 20), (rows(7), LAST_TICK + 1), (rows(8, 9, 10), 28), (rows(), 3)]


def _traced(ticks: list[TraceTick]) -> set[tuple[int, int, int, int]]:
    return {
        record
        for one in ticks
        for record in zip(
            [one.tick] * len(one.ids), *(c.tolist() for c in (one.ids, one.state_in, one.state_out)), strict=True
        )
    }


def test_together_is_as_one_by_one(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = _parts(context)
    alone = [context.catch_up(rows, first, LAST_TICK) for rows, first in parts]
    one_by_one, counted = _traced(context.effects.ticks), context.stats.catch_up_ticks
    context.effects.ticks.clear()
    steps: list[Any] = []
    step = context.step
    monkeypatch.setattr(Context, "step", lambda self, rows, tick: (steps.append(tick), step(rows, tick))[1])
    together = context.catch_up_together(parts, LAST_TICK)
    assert together is not None
    assert [rows.pack() for rows in together] == [rows.pack() for rows in alone if rows is not None]
    assert _traced(context.effects.ticks) == one_by_one
    assert len(one_by_one) == 11 + 3 * 5
    assert steps == list(range(20, LAST_TICK + 1)), "a step a tick, not one a transfer and tick"
    assert context.stats.catch_up_ticks == 2 * counted == 2 * (11 + 3 + 3)


def test_without_the_lease_none_of_it_happened(context: Context) -> None:
    context.lease_held = lambda: False
    assert context.catch_up_together(_parts(context), LAST_TICK) is None
    assert (context.effects.ticks, context.stats.catch_up_ticks) == ([], 0)


def test_a_handoff_that_was_too_late_to_be_caught_up_with_changed_nothing() -> None:
    """The target stood still for longer than it ever catches up: the ticks before that are nobody's, on both sides of
    the comparison."""
    scenario = Interpreter()
    for line in ("shards a-0 a-1", "spawn 1 at 9.6,5 moving 4,0", "run 7"):
        scenario.execute(line)
    world = scenario.world
    target = world.find("a-1")
    world.wait_until(world.clock.now_us + CATCH_UP_LIMIT_US + 2_000_000)
    world.tick([target])
    world.settle_queues(held=True)
    for _ in range(3):
        world.tick(world.living)
        world.settle_queues(held=True)
    stats = target.runtime.context.stats
    assert stats.handed_over_in == 1 and stats.catch_up_ticks == world.grid.ticks_in(CATCH_UP_LIMIT_US)
    assert stats.continuity_checked == 1 and stats.continuity_error_max == 0.0
