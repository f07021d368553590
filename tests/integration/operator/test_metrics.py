"""The operator's metrics, of a fleet with real shards in a cluster of this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from shardfleet_operator.cluster.metrics import OPERATOR_METRICS, OperatorSight, operator_text
from shardfleet_operator.operator_process import Operator, OperatorOptions

from tests.patience import PATIENCE_S

from ..local.collector import Collector
from ..servers import free_port
from .bench import CLOCK, Bench
from .fake_cluster import fleet
from .test_worker import bench

__all__ = ["bench"]

API_ANSWERS = {("apply", "Pod", 200): 2, ("get", "Lease", 0): 1}


def read(bench: Bench, *, leads: bool = True) -> dict[str, Family]:
    """By name; a counter's without its _total."""
    sight = OperatorSight(
        leads=leads,
        workers=bench.fleets.workers,
        answers=API_ANSWERS,
        counts=bench.fleets.counts,
        now_us=CLOCK.now_unix_us(),
    )
    return {family.name: family for family in text_string_to_metric_families(operator_text(sight).decode())}


def value(found: dict[str, Family], name: str, **labels: str) -> float:
    """Of all samples with these labels together, buckets left out."""
    samples = found[name].samples if name in found else []
    return sum(one.value for one in samples if labels.items() <= one.labels.items() and "le" not in one.labels)


async def test_every_metric_of_the_table_is_there_and_says_what_the_status_says(bench: Bench) -> None:
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)
    await bench.until(lambda: value(read(bench), "shardfleet_fleet_handoffs", shardfleet_transfer_outcome="completed"))
    found: dict[str, Family] = {}

    def is_well() -> bool:
        """All of it by the same look: on a busy machine a fleet that was well is not so at each moment after."""
        found.clear()
        found.update(read(bench))
        return (
            bench.is_settled(2)
            and bench.reason("TransfersHealthy") == "AsExpected"
            and value(found, "shardfleet_fleet_shards", shardfleet_shard_state="active") == 2
            and bench.is_available()
            # The first census may be older than the seed.
            and value(found, "shardfleet_fleet_entities", shardfleet_census_result="owned") == 50
        )

    await bench.until(is_well)
    table = {row.metric.prometheus_name.removesuffix("_total"): row.metric for row in OPERATOR_METRICS}
    assert set(found) == set(table)
    for name, family in found.items():
        for sample in family.samples:
            if name.startswith("shardfleet_fleet_"):
                assert sample.labels["k8s_namespace_name"] == "play" and sample.labels["shardfleet_fleet"] == "arena"
            for attribute in table[name].attributes:
                assert not attribute.values or sample.labels[attribute.label] in attribute.values, (name, sample)

    assert value(found, "shardfleet_operator_leader") == value(found, "shardfleet_operator_fleets") == 1
    assert value(found, "shardfleet_fleet_shards", shardfleet_shard_state="active") == 2
    assert value(found, "shardfleet_fleet_shards_wanted") == 2
    assert value(found, "shardfleet_fleet_cells", shardfleet_cell_state="claimed") == 2
    assert value(found, "shardfleet_fleet_cells", shardfleet_cell_state="unclaimed") == 0
    for kind in ("Available", "TransfersHealthy", "RedisDurable"):
        labels = {"shardfleet_condition_type": kind}
        assert value(found, "shardfleet_fleet_condition", **labels, shardfleet_condition_status="True") == 1
        assert value(found, "shardfleet_fleet_condition", **labels) == 1
    for result, count in (("expected", 50), ("owned", 50), ("missing", 0), ("doubled", 0)):
        assert value(found, "shardfleet_fleet_entities", shardfleet_census_result=result) == count
    assert 0 <= value(found, "shardfleet_fleet_census_age_seconds") < 60
    assert 0 <= value(found, "shardfleet_fleet_resync_age_seconds") < 60
    assert value(found, "shardfleet_operator_reconciles", shardfleet_reconcile_result="ok") > 1
    planned = found["shardfleet_operator_plan_duration_seconds"].samples
    assert {one.name.rpartition("_")[2]: one.value for one in planned}["count"] >= 1
    assert value(found, "shardfleet_operator_api_requests", http_response_status_code="0") == 1
    assert value(read(bench, leads=False), "shardfleet_operator_leader") == 0


async def test_a_look_that_fails_is_counted_by_its_error(bench: Bench) -> None:
    bench.cluster.put(fleet(redis={"urlSecretRef": {"name": "nowhere", "key": "url"}}))
    await bench.until(lambda: bench.reason("Degraded") == "NoRedis")
    found = read(bench)
    assert value(found, "shardfleet_operator_reconciles", shardfleet_reconcile_result="no-redis") >= 1
    labels = {"shardfleet_condition_type": "Degraded", "shardfleet_condition_status": "True"}
    assert value(found, "shardfleet_fleet_condition", **labels) == 1
    assert "shardfleet_fleet_entities" not in found, "nobody has counted"


def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server that the operator logs in to."""
    config = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "system"}}],
        "clusters": [{"name": "test", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "test", "user": {"token": "t"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))


async def test_an_operator_that_waits_for_its_lease_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away(tmp_path, monkeypatch)
    address = f"127.0.0.1:{free_port()}"
    operator = Operator(OperatorOptions(metrics=address), CLOCK)
    running = asyncio.create_task(operator.run())
    try:
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            found: dict[str, Family] = {}
            labels = {"shardfleet_api_kind": "Lease", "http_response_status_code": "0"}
            while not value(found, "shardfleet_operator_api_requests", **labels):
                with contextlib.suppress(aiohttp.ClientConnectorError):
                    async with session.get(f"http://{address}/metrics") as answer:
                        families = text_string_to_metric_families(await answer.text())
                        found = {family.name: family for family in families}
                await asyncio.sleep(0.02)
    finally:
        operator.stop()
        assert await running == 0
    assert value(found, "shardfleet_operator_leader") == 0 and "shardfleet_operator_leader" in found


async def test_an_operator_sends_its_metrics_where_the_standard_variables_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away(tmp_path, monkeypatch)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        operator = Operator(OperatorOptions(), CLOCK)
        running = asyncio.create_task(operator.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not collector.metrics():  # noqa: ASYNC110 - another thread's
                    await asyncio.sleep(0.02)
        finally:
            operator.stop()
            assert await running == 0
        [sent] = collector.metrics().values()
    assert sent[""]["service.name"] == "shardfleet-operator"
    [point] = sent["shardfleet.operator.leader"].sum.data_points
    assert (point.as_int, sent["shardfleet.operator.leader"].unit) == (0, "{operator}")
    assert "shardfleet.operator.reconcile.duration" in sent
