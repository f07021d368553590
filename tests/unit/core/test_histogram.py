"""Quantiles against sorted lists: right to within a sixteenth of the value."""

from __future__ import annotations

import json
from math import ceil

from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.histogram import SUB_BUCKETS, Histogram, bucket_of, upper_bound_of

VALUES = st.one_of(st.integers(-40, 40), st.integers(-(10**12), 10**12))
ANY_SAMPLES = st.lists(st.tuples(VALUES, st.integers(1, 5)), max_size=20)
SAMPLES = st.lists(st.tuples(VALUES, st.integers(1, 5)), min_size=1, max_size=40)


def histogram(samples: list[tuple[int, int]]) -> Histogram:
    result = Histogram()
    for value, weight in samples:
        result.add(value, weight)
    return result


@given(VALUES)
def test_a_bucket_holds_its_values_and_no_others(value: int) -> None:
    bucket = bucket_of(value)
    bound = upper_bound_of(bucket)
    assert bucket_of(bound) == bucket == -bucket_of(-value)
    assert abs(value) <= abs(bound) <= abs(value) * (1 + 1 / SUB_BUCKETS)
    further = bound + (1 if bound >= 0 else -1)
    assert abs(bucket_of(further)) == abs(bucket) + 1


@given(st.integers(0, 3000))
def test_buckets_are_in_the_order_of_their_values(value: int) -> None:
    assert bucket_of(value) <= bucket_of(value + 1) <= bucket_of(value) + 1


@given(SAMPLES, st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.99, 1.0]), st.floats(0, 1)))
def test_a_quantile_is_that_of_the_sorted_list_but_for_a_sixteenth(samples: list[tuple[int, int]], q: float) -> None:
    values = sorted(value for value, weight in samples for _ in range(weight))
    exact = values[max(0, ceil(q * len(values)) - 1)]
    found = histogram(samples).quantile(q)
    assert found is not None
    assert abs(found - exact) <= abs(exact) / SUB_BUCKETS
    assert values[0] <= found <= values[-1]


@given(SAMPLES)
def test_count_lowest_and_highest_are_exact(samples: list[tuple[int, int]]) -> None:
    one = histogram(samples)
    assert one.count == sum(weight for _, weight in samples)
    assert (one.lowest, one.highest) == (min(v for v, _ in samples), max(v for v, _ in samples))
    extremes = [(one.quantile(0.0), one.lowest), (one.quantile(1.0), one.highest)]
    assert all(found is not None and bucket_of(found) == bucket_of(exact) for found, exact in extremes)


@given(ANY_SAMPLES, ANY_SAMPLES)
def test_merged_is_as_if_all_had_gone_into_one(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    merged = histogram(first)
    assert merged.merge(histogram(second)) is merged
    assert merged.to_dict() == histogram(first + second).to_dict()


@given(ANY_SAMPLES)
def test_it_survives_json(samples: list[tuple[int, int]]) -> None:
    one = histogram(samples)
    read = Histogram.from_dict(json.loads(json.dumps(one.to_dict())))
    assert read.to_dict() == one.to_dict()
    assert [read.quantile(q) for q in (0, 0.5, 1)] == [one.quantile(q) for q in (0, 0.5, 1)]


def test_nothing_has_no_quantile_and_no_weight_is_no_sample() -> None:
    empty = Histogram()
    empty.add(5, 0)
    empty.add(5, -1)
    assert empty.quantile(0.5) is None and empty.count == 0 and empty.buckets == {}
