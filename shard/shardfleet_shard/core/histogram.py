"""Counts in fixed buckets: cheap to add to, mergeable across shards and restarts, small as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

SUB_BUCKETS = 16
"""Buckets per power of two: a quantile is right to within 1/16 of its value."""


def bucket_of(value: int) -> int:
    """Bucket number of a whole number; negative values have negative numbers, 0 is 0."""
    magnitude = abs(value)
    if magnitude < SUB_BUCKETS:
        return value
    exponent = magnitude.bit_length() - SUB_BUCKETS.bit_length()
    number = (exponent + 1) * SUB_BUCKETS + (magnitude >> exponent) - SUB_BUCKETS
    return number if value > 0 else -number


def upper_bound_of(bucket: int) -> int:
    """Largest magnitude that falls into ``bucket``, with the bucket's sign."""
    magnitude = abs(bucket)
    if magnitude < SUB_BUCKETS:
        return bucket
    exponent, rest = divmod(magnitude, SUB_BUCKETS)
    exponent -= 1
    high = ((SUB_BUCKETS + rest + 1) << exponent) - 1
    return high if bucket > 0 else -high


class Histogram:
    """Whole numbers, usually microseconds; exact count, sum, min and max, bucketed quantiles.

    Attributes:
        total: sum of all values; those below zero count as zero, so that it never falls.
    """

    __slots__ = ("buckets", "count", "highest", "lowest", "total")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.total = 0
        self.lowest = 0
        self.highest = 0

    def add(self, value: int, weight: int = 1) -> None:
        if weight <= 0:
            return
        bucket = bucket_of(value)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + weight
        self.lowest = min(self.lowest, value) if self.count else value
        self.highest = max(self.highest, value) if self.count else value
        self.count += weight
        if value > 0:
            self.total += value * weight

    def quantile(self, q: float) -> int | None:
        """Upper bound of the bucket that holds quantile ``q`` (0..1), within [lowest, highest]; None if empty."""
        if not self.count:
            return None
        rank = q * self.count
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return max(self.lowest, min(self.highest, upper_bound_of(bucket)))
        return self.highest

    def merge(self, other: Histogram) -> Self:
        """Adds ``other``'s counts to this one. Returns itself."""
        if other.count:
            self.lowest = min(self.lowest, other.lowest) if self.count else other.lowest
            self.highest = max(self.highest, other.highest) if self.count else other.highest
            self.count += other.count
            self.total += other.total
            for bucket, count in other.buckets.items():
                self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        return self

    def to_dict(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "total": self.total,
            "min": self.lowest,
            "max": self.highest,
            "buckets": {str(bucket): count for bucket, count in sorted(self.buckets.items())},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        histogram = cls()
        histogram.count, histogram.total = int(data["count"]), int(data.get("total", 0))
        histogram.lowest, histogram.highest = int(data["min"]), int(data["max"])
        histogram.buckets = {int(bucket): int(count) for bucket, count in data["buckets"].items()}
        return histogram
