"""A fleet that ``shardfleet local up`` runs: its shards are scraped, and there is no operator."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..local.measured_fleet import SHARDS, measured_fleet
from .prometheus import Prometheus, needs_prometheus, pod_labels

pytestmark = needs_prometheus
NO_OPERATOR = frozenset({"ShardFleetNoOperator"})
OPERATORS = [
    "Not available: fleets",
    "Entities missing or doubled: entities",
    "Verdicts that stand: verdicts",
    "Handoffs a second: entities",
    "Operators that act: operators",
    "Entities: {{shardfleet_census_result}}",
    "Shards by state: {{shardfleet_shard_state}}",
    "Shards by state: wanted",
    "Conditions that are bad: {{shardfleet_fleet}} not {{shardfleet_condition_type}}",
    "Conditions that are bad: {{shardfleet_fleet}} {{shardfleet_condition_type}}",
    "Entities handed over: {{shardfleet_transfer_outcome}}",
    "Verdicts and repairs: {{shardfleet_verdict_kind}}",
    "Verdicts and repairs: {{shardfleet_repair_kind}}",
    "Calls to the API server: {{http_response_status_code}}",
    "Reconciles: {{shardfleet_reconcile_result}}",
    "Reconcile and plan, p99: reconcile",
    "Reconcile and plan, p99: plan",
]
"""What only an operator tells."""


@pytest.fixture
def first_port(tmp_path: Path) -> Iterator[int]:
    """A fleet that runs, with its data in ``data``, and where shard 0 of it is asked."""
    with measured_fleet(tmp_path / "data") as port:
        yield port


def test_a_fleet_that_is_well_is_quiet_and_one_without_redis_is_not(first_port: int, tmp_path: Path) -> None:
    shards = {f"127.0.0.1:{first_port + ordinal}": pod_labels("play", f"arena-{ordinal}") for ordinal in range(SHARDS)}
    active = 'sum(shardfleet_shard_state{shardfleet_shard_state="active"})'
    (tmp_path / "prometheus").mkdir()
    with Prometheus(tmp_path / "prometheus", shards) as prometheus:
        prometheus.until("all shards are active", lambda: prometheus.query(active) == [SHARDS])
        prometheus.until_quiet(but=NO_OPERATOR)
        prometheus.check_targets_and_rules()
        prometheus.until_panels_without_data_are(OPERATORS)

        redis = int((tmp_path / "data" / "redis" / "valkey.pid").read_text())
        os.kill(redis, signal.SIGSTOP)
        try:
            prometheus.until("a shard is fenced", lambda: "ShardFleetShardFenced" in prometheus.pending())
        finally:
            os.kill(redis, signal.SIGCONT)
        prometheus.until("none is", lambda: "ShardFleetShardFenced" not in prometheus.pending())
