"""Faults of a cluster that nobody announces, while thousands of entities move; proved by the traces of all pods."""

from __future__ import annotations

from pathlib import Path

from .fleets import LiveFleet
from .kubectl import until
from .release import Release
from .traces import Traces
from .worlds import CROWD, PATIENCE_S, proved, world

STOPPED_S = 60
TAKEN_OVER_S = 30.0
"""In which another shard has the entities of one whose node is silent."""


def test_a_pod_deleted_without_grace(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "torn", shards=3, entities=CROWD) as fleet:
        uid = fleet.pods()["torn-1"]["metadata"]["uid"]
        fleet.kubectl("delete", "pod", "torn-1", "--grace-period=0", "--force", "--wait=false")
        until(
            "another pod", lambda: uid not in fleet.uids() and "torn-1" in fleet.pods(), timeout_s=90, tell=fleet.tell
        )
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
        fleet.wait_handoffs(200, timeout_s=60)
    proved(traces, fleet, tmp_path, bound_s=TAKEN_OVER_S, planned=False)


def test_a_node_whose_kubelet_stands_still(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "silent", shards=3, entities=CROWD) as fleet:
        pod = fleet.pods()["silent-1"]
        traces.stop_kubelet(pod["spec"]["nodeName"], STOPPED_S, kill="silent-1")
        until(
            "another shard has its cell", lambda: not cells(fleet, "silent-1"), timeout_s=TAKEN_OVER_S, tell=fleet.tell
        )
        until("three shards again", lambda: pod["metadata"]["uid"] not in fleet.uids(), timeout_s=STOPPED_S + 90)
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
        fleet.wait_handoffs(200, timeout_s=60)
    proved(traces, fleet, tmp_path, bound_s=TAKEN_OVER_S, planned=False)


def cells(fleet: LiveFleet, shard: str) -> str:
    """'' where it has none."""
    found = [one for one in fleet.status().get("shards") or () if one["name"] == shard]
    return str(found[0]["cell"]) if found else ""


def test_redis_is_killed(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "stranded", shards=3, entities=CROWD) as fleet:
        release.restart_redis()
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
        fleet.wait_handoffs(200, timeout_s=60)
    proved(traces, fleet, tmp_path, bound_s=TAKEN_OVER_S, planned=False)
