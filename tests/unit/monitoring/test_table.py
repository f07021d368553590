"""Metrics as values: names, buckets, and what Prometheus is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from shardfleet_operator.cluster.metrics import OPERATOR_METRICS
from shardfleet_shard.core.histogram import Histogram
from shardfleet_shard.monitoring.exposition import to_text
from shardfleet_shard.monitoring.shard import SHARD_METRICS
from shardfleet_shard.monitoring.table import DURATIONS_S, Attribute, Buckets, Kind, Metric, Row, read_all

METRICS = [row.metric for row in SHARD_METRICS] + [row.metric for row in OPERATOR_METRICS]
PEER = Attribute(name="shardfleet.peer", description="a peer")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_and_units_follow_the_conventions(metric: Metric) -> None:
    words = metric.name.split(".")
    assert len(words) >= 2 and all(word.replace("_", "").isalnum() and word == word.lower() for word in words)
    assert metric.unit in ("s", "By") or (metric.unit[0], metric.unit[-1]) == ("{", "}")
    assert not any(word in ("total", "count", "seconds", "bytes", "ms", "us") for word in words), "the unit says it"
    assert metric.description.endswith("."), "the page shows it as a sentence"
    assert bool(metric.bounds) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.bounds) == sorted(set(metric.bounds))
    assert all("." in attribute.name for attribute in metric.attributes), "a namespace of its own"


def test_no_name_is_there_twice() -> None:
    for names in ([m.name for m in METRICS], [m.prometheus_name for m in METRICS]):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "kind", "unit", "expected"),
    [
        ("a.ticks", Kind.COUNTER, "{tick}", "a_ticks_total"),
        ("a.io", Kind.COUNTER, "By", "a_io_bytes_total"),
        ("a.delay", Kind.GAUGE, "s", "a_delay_seconds"),
        ("a.delay.seconds", Kind.GAUGE, "s", "a_delay_seconds"),
        ("a.open", Kind.UP_DOWN_COUNTER, "{link}", "a_open"),
        ("a.b_c.duration", Kind.HISTOGRAM, "s", "a_b_c_duration_seconds"),
    ],
)
def test_prometheus_names(name: str, kind: Kind, unit: str, expected: str) -> None:
    assert Metric(name=name, kind=kind, unit=unit, description="").prometheus_name == expected


@given(st.lists(st.integers(-10_000_000, 10_000_000), max_size=50))
def test_buckets_are_the_samples_but_for_a_sixteenth(samples_us: list[int]) -> None:
    histogram = Histogram()
    for sample_us in samples_us:
        histogram.add(sample_us)
    buckets = Buckets.of_us(histogram, DURATIONS_S)
    assert buckets.count == len(samples_us)
    assert buckets.total == pytest.approx(sum(max(0, one) for one in samples_us) / 1e6)
    below = 0
    for bound, count in zip(DURATIONS_S, buckets.counts, strict=False):
        below += count
        surely = sum(one / 1e6 * (17 / 16) <= bound for one in samples_us if one > 0) + sum(
            one <= 0 for one in samples_us
        )
        assert surely <= below <= sum(one / 1e6 <= bound for one in samples_us)


def test_an_attribute_that_is_missing_is_a_bug() -> None:
    metric = Metric(name="a.b", kind=Kind.GAUGE, unit="s", description="", attributes=(PEER,))
    with pytest.raises(ValueError, match=r"a\.b: 0 attributes, not 1"):
        metric.read(1)


def test_what_prometheus_reads_is_what_was_read() -> None:
    histogram = Histogram()
    for sample_us in (0, 400, 90_000, 7_000_000):
        histogram.add(sample_us)
    odd = 'quote " backslash \\ line\nend'
    rows: list[Row[int]] = [
        Row(
            Metric(name="a.up", kind=Kind.UP_DOWN_COUNTER, unit="{link}", description="x\ny.", attributes=(PEER,)),
            lambda value: [(value, "arena-1"), (0, odd)],
        ),
        Row(Metric(name="a.offset", kind=Kind.GAUGE, unit="s", description="Offset."), lambda _: [(-1.5e-05,)]),
        Row(
            Metric(name="a.took", kind=Kind.HISTOGRAM, unit="s", description="Took.", bounds=(0.001, 0.1)),
            lambda _: [(histogram,)],
        ),
        Row(Metric(name="a.none", kind=Kind.GAUGE, unit="s", description="Nobody has it."), lambda _: []),
    ]
    text = to_text(read_all(rows, 7), {"shardfleet.fleet": "arena"}).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert set(families) == {"a_up", "a_offset_seconds", "a_took_seconds"}
    assert [(sample.labels, sample.value) for sample in families["a_up"].samples] == [
        ({"shardfleet_fleet": "arena", "shardfleet_peer": "arena-1"}, 7.0),
        ({"shardfleet_fleet": "arena", "shardfleet_peer": odd}, 0.0),
    ]
    assert families["a_offset_seconds"].samples[0].value == -1.5e-05
    took = {(one.name, one.labels.get("le")): one.value for one in families["a_took_seconds"].samples}
    assert took == {
        ("a_took_seconds_bucket", "0.001"): 2,
        ("a_took_seconds_bucket", "0.1"): 3,
        ("a_took_seconds_bucket", "+Inf"): 4,
        ("a_took_seconds_sum", None): 7.0904,
        ("a_took_seconds_count", None): 4,
    }
