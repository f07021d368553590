"""The metrics of real shards, as Prometheus would read them."""

from __future__ import annotations

import http.client
import time
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from shardfleet_shard.monitoring.shard import SHARD_METRICS
from shardfleet_shard.monitoring.table import Kind

from tests.patience import PATIENCE_S

from .measured_fleet import SHARDS, measured_fleet

LATE = ("no Hello", "stale")
"""What a busy machine may do to a frame."""


@pytest.fixture(scope="module")
def first_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A fleet that runs, and where shard 0 of it is asked."""
    with measured_fleet(tmp_path_factory.mktemp("data")) as port:
        yield port


def scrape(port: int) -> dict[str, Family]:
    """By name; nothing while nobody answers there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = answer.read().decode()
    except (OSError, http.client.HTTPException):
        return {}
    return {family.name: family for family in text_string_to_metric_families(text)}


def total(families: dict[str, Family], name: str, **labels: str) -> float:
    """Of a metric without its buckets."""
    samples = families[name].samples if name in families else []
    return sum(one.value for one in samples if labels.items() <= one.labels.items() and "le" not in one.labels)


def is_well(families: dict[str, Family]) -> bool:
    """On a busy machine a shard is not so at each moment."""
    return (
        total(families, "shardfleet_shard_state", shardfleet_shard_state="active") == 1
        and total(families, "shardfleet_shard_lease_remaining_seconds") > 0
        and total(families, "shardfleet_ticks", shardfleet_tick_outcome="simulated") > 10
    )


def test_every_metric_of_the_table_is_there_and_counts(first_port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = [scrape(first_port + ordinal) for ordinal in range(SHARDS)]
        went = sum(total(one, "shardfleet_handoffs", shardfleet_direction="in") for one in found)
        linked = all("shardfleet_link_clock_offset_seconds" in one for one in found)
        entities = sum(total(one, "shardfleet_entities") for one in found)
        if went >= 4 and linked and entities == 50 and all(map(is_well, found)):
            break
        assert time.monotonic() < deadline, [sorted(one) for one in found]
        time.sleep(0.1)
    # A counter's family is named without its _total.
    table = {row.metric.prometheus_name.removesuffix("_total"): row.metric for row in SHARD_METRICS}
    for ordinal, families in enumerate(found):
        assert set(families) == set(table)
        for name, family in families.items():
            metric = table[name]
            assert family.documentation == metric.description
            assert family.type == {Kind.COUNTER: "counter", Kind.HISTOGRAM: "histogram"}.get(metric.kind, "gauge")
            for sample in family.samples:
                assert sample.labels["shardfleet_fleet"] == "arena"
                assert sample.labels["shardfleet_shard"] == f"arena-{ordinal}"
                for attribute in metric.attributes:
                    value = sample.labels[attribute.label]
                    assert not attribute.values or value in attribute.values, (name, attribute.name, value)
        assert total(families, "shardfleet_shard_state") == 1
        assert total(families, "shardfleet_shard_lease_remaining_seconds") <= 3
        late = sum(total(families, "shardfleet_frames_refused", shardfleet_frame_refusal=why) for why in LATE)
        assert total(families, "shardfleet_frames_refused") == late
        assert total(families, "shardfleet_handoff_overlap") == 0
        for name in ("shardfleet_redis_requests", "shardfleet_redis_io_bytes", "shardfleet_manifest_io_bytes",
                     "shardfleet_link_io_bytes"):  # fmt: skip
            assert total(families, name) > 0, name
        took = families["db_client_operation_duration_seconds"].samples
        assert sum(one.value for one in took if one.name.endswith("_sum")) > 0
