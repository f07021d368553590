"""An operator with a fleet in a cluster of this process: all is scraped that the chart has scraped."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shardfleet_operator.cluster.metrics import OperatorSight, operator_text
from shardfleet_operator.cluster.names import METRICS_PORT
from shardfleet_operator.kube import PODS
from shardfleet_shard.monitoring.endpoint import metrics_served

from ..operator.bench import CLOCK, Bench
from ..operator.fake_cluster import fleet
from ..operator.test_worker import bench
from .prometheus import Prometheus, needs_prometheus, pod_labels

__all__ = ["bench"]

pytestmark = needs_prometheus
BAD = [
    "Conditions that are bad: {{shardfleet_fleet}} not {{shardfleet_condition_type}}",
    "Conditions that are bad: {{shardfleet_fleet}} {{shardfleet_condition_type}}",
]
"""What is empty where all is well."""
OF_A_MISSING_SHARD = {"ShardFleetUnavailable", "ShardFleetDegraded"}


async def test_a_fleet_that_is_well_is_quiet_and_one_without_a_shard_is_not(bench: Bench, tmp_path: Path) -> None:
    bench.cluster.put(fleet())
    await bench.until(lambda: bench.is_available() and bench.is_settled(2))
    folder, loop = tmp_path / "prometheus", asyncio.get_running_loop()
    folder.mkdir()
    async with metrics_served("--metrics", "127.0.0.1:0", lambda: said_by_the_operator_of(bench)) as address:
        targets = {address: pod_labels("system", "shardfleet-a")}
        for name, pod in bench.cluster.of_kind(PODS).items():
            targets[f"{pod['status']['podIP']}:{METRICS_PORT}"] = pod_labels("play", name)

        def watch() -> None:
            """In a thread of its own: the operator goes on meanwhile."""
            with Prometheus(folder, targets) as prometheus:
                prometheus.until_quiet()
                prometheus.check_targets_and_rules()
                prometheus.until_panels_without_data_are(BAD)
                loop.call_soon_threadsafe(lose_a_shard, bench)
                prometheus.until("the shard is missed", lambda: prometheus.pending().keys() >= OF_A_MISSING_SHARD)
                [alert] = prometheus.pending()["ShardFleetUnavailable"]
                assert (alert["k8s_namespace_name"], alert["shardfleet_fleet"]) == ("play", "arena")

        await asyncio.to_thread(watch)


def said_by_the_operator_of(bench: Bench) -> bytes:
    answers = {("apply", "Pod", 200): 2}  # a cluster of this process counts none
    fleets, now_us = bench.fleets, CLOCK.now_unix_us()
    return operator_text(
        OperatorSight(leads=True, workers=fleets.workers, answers=answers, counts=fleets.counts, now_us=now_us)
    )


def lose_a_shard(bench: Bench) -> None:
    """For good: a new one does not start."""
    assert bench.cluster.kubelet is not None
    bench.cluster.kubelet.image_fault = "no such image"
    bench.cluster.kubelet.kill("arena-1")
