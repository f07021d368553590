"""What all fleets of an operator count together, for its metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from shardfleet_shard.core.histogram import Histogram


@dataclass(slots=True)
class OperatorCounts:
    """Since the process' start.

    Attributes:
        looks: reconciliations by how they ended: 'ok', or the error's ``code``.
        look_us: how long they took.
        plan_us: how long the plans alone took.
    """

    looks: Counter[str] = field(default_factory=Counter)
    look_us: Histogram = field(default_factory=Histogram)
    plan_us: Histogram = field(default_factory=Histogram)
