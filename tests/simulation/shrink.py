"""From a plan that breaks a rule to a smaller one that breaks the same rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .plan import FIRST_FAULT_US, Plan
from .runs import Failure, run_plan

TRIES = 200
"""Runs that shrinking may cost: half a minute."""


def shrink(
    plan: Plan, failure: Failure, *, tries: int = TRIES, run: Callable[[Plan], Failure | None] | None = None
) -> Plan:
    """Fewer faults, shards and entities, shorter faults and a shorter run, as long as the same rule breaks.

    Args:
        run: what a plan breaks; another one in tests.
    """
    run = run or _run
    progress = True
    while progress and tries > 0:
        progress = False
        for candidate in _smaller(plan):
            tries -= 1
            broken = run(candidate)
            if broken is not None and broken.rule == failure.rule:
                plan, progress = candidate, True
                break
            if tries <= 0:
                break
    return plan


def _run(plan: Plan) -> Failure | None:
    return run_plan(plan).failure


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Boldest first."""
    numbers = [fault.number for fault in plan.faults]
    size = len(numbers)
    while size > 1:
        size = (size + 1) // 2
        for start in range(0, len(numbers), size):
            yield plan.without(*numbers[start : start + size])
    if len(numbers) == 1:
        yield plan.without(*numbers)
    for shards in range(2, plan.shards):
        yield replace(plan, shards=shards)
    for entities in (1, 2, 3):
        if entities < plan.entities:
            yield replace(plan, entities=entities)
    if plan.small_offsets:
        yield replace(plan, small_offsets=False)
    if plan.lease_us > 1_000_000:
        yield replace(plan, lease_us=1_000_000)
    ends_us = max((fault.at_us + fault.patience_us for fault in plan.faults), default=FIRST_FAULT_US) + 1
    if ends_us < plan.faulty_us:
        yield replace(plan, faulty_us=ends_us)
    for index, fault in enumerate(plan.faults):
        shorter = []
        if fault.length_us > 40_000:
            shorter.append(replace(fault, length_us=fault.length_us // 2))
        if fault.patience_us > 100_000:
            shorter.append(replace(fault, patience_us=fault.patience_us // 2))
        for other in shorter:
            yield replace(plan, faults=(*plan.faults[:index], other, *plan.faults[index + 1 :]))
