"""Pods that are told of an OTLP collector, as docs/operate-cluster.md has it, send their transfers there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shardfleet_shard.core.transfer_spans import Part
from shardfleet_shard.monitoring.shard import SHARD_METRICS

from tests.integration.local.collector import SOURCE, TARGET, Received

from .fleets import LiveFleet, fleet
from .kubectl import until
from .otlp import OtlpCollector
from .release import WORLDS, Release
from .worlds import template

FLEET = "watched"


@pytest.fixture(scope="module")
def received(release: Release) -> Iterator[Received]:
    """From a fleet of two, until some transfers have come whole and every shard's metrics have."""
    collector = OtlpCollector(kubectl=release.worlds)
    collector.start()
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_TRACES_SAMPLER": "always_on",
        "OTEL_METRIC_EXPORT_INTERVAL": "2000",
    }
    pods = template("50m")
    pods["spec"]["containers"][0]["env"] = [{"name": name, "value": value} for name, value in variables.items()]
    live = LiveFleet(kubectl=release.worlds, name=FLEET)
    release.worlds.apply(fleet(FLEET, replicas=2, template=pods))

    def enough() -> Received | None:
        found = collector.received()
        return found if len(found.whole_traces()) >= 5 and len(found.metrics()) >= 2 else None

    try:
        yield until("spans of five transfers at the collector", enough, timeout_s=120, every_s=2.0, tell=live.tell)
    finally:
        live.delete(timeout_s=120)
        collector.stop()


def test_a_transfer_is_one_trace_from_both_pods(received: Received) -> None:
    for trace in received.whole_traces():
        source, target = trace[Part.TRANSFER].shard, trace[Part.TRANSFER].attributes["shardfleet.transfer.target"]
        assert {source, target} == {f"{FLEET}-0", f"{FLEET}-1"}
        assert {part: trace[part].shard for part in SOURCE} == dict.fromkeys(SOURCE, source)
        assert {part: trace[part].shard for part in TARGET} == dict.fromkeys(TARGET, target)


def test_every_pod_sends_its_metrics(received: Received) -> None:
    sent = received.metrics().values()
    assert {one[""]["shardfleet.shard"] for one in sent} == {f"{FLEET}-0", f"{FLEET}-1"}
    for one in sent:
        assert one[""]["k8s.namespace.name"] == WORLDS and {row.metric.name for row in SHARD_METRICS} <= set(one)
