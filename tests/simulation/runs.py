"""One run and what came of it, as plain values."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .clocks import START_US
from .fleet import Fleet
from .plan import Plan

RULES = ("A1", "A2", "A3", "A4", "A5", "watchdog")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """``rule``: one of ``RULES``, or the class of an exception that the product raised where it must not."""

    rule: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Times in microseconds; ``owned_again_us`` and ``cleared_us`` after the last fault, -1: never."""

    seed: int
    failure: Failure | None
    completed: int
    canceled: int
    virtual_us: int
    kinds: Counter[str]
    pairs: Counter[tuple[str, str]]
    struck: int
    """Faults of the plan that took effect; a stretch that struck fifty frames is one."""
    owned_again_us: int
    cleared_us: int
    digest: str


def run_plan(plan: Plan, record: Callable[[int, tuple[Any, ...]], None] | None = None) -> Result:
    """Runs ``plan`` to its end, or to what it breaks."""
    fleet, failure = Fleet(plan, record=record), None
    try:
        fleet.run()
    except AssertionError as error:
        rule, _, message = str(error).partition(": ")
        failure = Failure(rule=rule, message=message) if rule in RULES else _unexpected(error)
    except Exception as error:
        failure = _unexpected(error)
    judge = fleet.judge
    return Result(
        seed=plan.seed,
        failure=failure,
        completed=judge.outcomes["cleared"],
        canceled=judge.outcomes["canceled"],
        virtual_us=fleet.now_us - START_US,
        kinds=fleet.hits.kinds,
        pairs=fleet.hits.pairs,
        struck=sum(min(fleet.hits.kinds[kind], count) for kind, count in _planned(plan).items()),
        owned_again_us=judge.owned_again_us,
        cleared_us=judge.cleared_us,
        digest=fleet.digest,
    )


def _planned(plan: Plan) -> Counter[str]:
    return Counter(fault.kind for fault in plan.faults)


def _unexpected(error: Exception) -> Failure:
    """With the place where it came from: that is what somebody will look for."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{frame.filename.rpartition('/')[2]}:{frame.lineno} in {frame.name}"
    return Failure(rule=type(error).__name__, message=f"{error} ({where})")
