"""Which named step of a transfer is next."""

from __future__ import annotations

import random

from tests.chaos.points import POINTS, Side, Turns, points_of


def test_steps_come_in_turn_until_a_shard_was_killed_at_each() -> None:
    turns = Turns(random.Random(1))
    sides = [Side.SOURCE, Side.TARGET] * 16  # fewer than a full run's kills at a step
    hit = set()
    for side in sides:
        point = turns.next(side)
        turns.killed(point.name)
        hit.add(point.name)
    assert hit == {point.name for point in POINTS}


def test_one_that_cannot_be_hit_keeps_nobody_from_the_others() -> None:
    turns = Turns(random.Random(2))
    points = points_of(Side.SOURCE)
    tried = []
    for _ in range(2 * len(points)):
        tried.append(turns.next(Side.SOURCE).name)
        if tried[-1] != "offer-sent":
            turns.killed(tried[-1])
    assert set(tried[: len(points)]) == {point.name for point in points}
    assert set(tried[len(points) :]) == {"offer-sent"}, "and it is tried again and again"
