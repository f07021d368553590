"""What a metric is: its name, kind, unit and attributes by OpenTelemetry's conventions, and its value at a moment."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Generic, TypeVar

from ..core.histogram import Histogram, upper_bound_of

US_PER_S = 1_000_000

DURATIONS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Bounds of histograms of durations: from a tick of an empty shard to what a person would notice."""

_PLACES: dict[tuple[float, ...], dict[int, int]] = {}
"""By bounds: a fine bucket's place among them. Fine buckets are some hundred."""
_UNIT_WORDS = {"s": "seconds", "By": "bytes"}


@cache
def label_of(attribute: str) -> str:
    """A name as Prometheus has it: without dots."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", attribute)


class Kind(StrEnum):
    """OpenTelemetry's word for the instrument."""

    COUNTER = "Counter"
    """Only rises, from 0 at the process' start."""
    UP_DOWN_COUNTER = "UpDownCounter"
    """How many there are; sums over shards and attributes mean something."""
    GAUGE = "Gauge"
    """A value of its own; sums mean nothing."""
    HISTOGRAM = "Histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A dimension of a metric.

    Attributes:
        values: all that there are; () where they are names of things.
    """

    name: str
    description: str
    values: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """As Prometheus has it."""
        return label_of(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row of the table.

    Attributes:
        unit: UCUM: ``s``, ``By``, or what is counted in braces.
        bounds: upper bounds of a histogram's buckets, in ``unit``.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[Attribute, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def prometheus_name(self) -> str:
        """Underscores, the unit's word, and ``_total`` on counters, as OpenTelemetry's rules for Prometheus say."""
        name, word = label_of(self.name), _UNIT_WORDS.get(self.unit, "")
        if word and not name.endswith(f"_{word}"):
            name += f"_{word}"
        return f"{name}_total" if self.kind is Kind.COUNTER else name

    def read(self, value: int | float | Histogram, *attributes: str) -> Reading:
        """``value`` as of now; ``attributes`` in the table's order. Raises ``ValueError`` where one is missing.

        A ``Histogram`` counts microseconds, and is read in seconds.
        """
        if len(attributes) != len(self.attributes):
            raise ValueError(f"{self.name}: {len(attributes)} attributes, not {len(self.attributes)}")
        return Reading(self, Buckets.of_us(value, self.bounds) if isinstance(value, Histogram) else value, attributes)


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram's counts since the start.

    Attributes:
        counts: one a bound, and one for what is above all of them; not cumulative.
        total: sum of all values; those below zero count as zero.
    """

    counts: tuple[int, ...]
    total: float
    lowest: float = 0.0
    highest: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)

    @classmethod
    def of_us(cls, histogram: Histogram, bounds: tuple[float, ...]) -> Buckets:
        """Of microseconds, by bounds in seconds.

        A fine bucket that a bound cuts through counts as above it, so a value may look larger by a sixteenth.
        """
        counts, places = [0] * (len(bounds) + 1), _PLACES.setdefault(bounds, {})
        for bucket, count in histogram.buckets.items():
            place = places.get(bucket)
            if place is None:
                place = places[bucket] = bisect_left(bounds, upper_bound_of(bucket) / US_PER_S)
            counts[place] += count
        return cls(tuple(counts), histogram.total / US_PER_S, histogram.lowest / US_PER_S, histogram.highest / US_PER_S)


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric's value at one moment; ``attributes`` in the order of its table."""

    metric: Metric
    value: int | float | Buckets
    attributes: tuple[str, ...] = ()


Sample = tuple[Any, ...]
"""(value, one string an attribute)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row(Generic[T]):
    """A metric, and where its values are in a ``T``."""

    metric: Metric
    samples: Callable[[T], Iterable[Sample]]


def read_all(rows: Sequence[Row[T]], subject: T) -> list[Reading]:
    """All of ``rows`` as they are in ``subject`` now, in the table's order."""
    return [row.metric.read(*sample) for row in rows for sample in row.samples(subject)]
