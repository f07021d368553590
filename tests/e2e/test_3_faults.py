"""Faults of a cluster that nobody announces, while thousands of entities move; proved by the traces of all pods."""

from __future__ import annotations

import time
from pathlib import Path

from tests.traced import lives

from .fleets import LiveFleet
from .kubectl import until
from .release import Release
from .traces import Traces
from .worlds import CROWD, PATIENCE_S, TAKEN_OVER_S, proved, world

STOPPED_S = 60
STILL_S = 40
"""A shard that stands still for so long is taken over meanwhile."""
KILLED = "source or target killed"
SILENT = "kubelet stopped or node gone"


def test_a_pod_deleted_without_grace(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "torn", shards=3, entities=CROWD) as fleet:
        uid = fleet.pods()["torn-1"]["metadata"]["uid"]
        fleet.kubectl("delete", "pod", "torn-1", "--grace-period=0", "--force", "--wait=false")
        until(
            "another pod", lambda: uid not in fleet.uids() and "torn-1" in fleet.pods(), timeout_s=90, tell=fleet.tell
        )
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
        fleet.wait_handoffs(200, timeout_s=60)
    proved(traces, fleet, tmp_path, bound_s=TAKEN_OVER_S, planned=False, row=KILLED)


def test_a_node_whose_kubelet_stands_still(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "silent", shards=3, entities=CROWD) as fleet:
        pod = fleet.pods()["silent-1"]
        traces.stop_kubelet(pod["spec"]["nodeName"], STOPPED_S, shard="silent-1")
        until(
            "another shard has its cell", lambda: not cells(fleet, "silent-1"), timeout_s=TAKEN_OVER_S, tell=fleet.tell
        )
        until("three shards again", lambda: pod["metadata"]["uid"] not in fleet.uids(), timeout_s=STOPPED_S + 90)
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
        fleet.wait_handoffs(200, timeout_s=60)
    proved(traces, fleet, tmp_path, bound_s=TAKEN_OVER_S, planned=False, row=SILENT)


def test_a_shard_wakes_that_was_taken_over(release: Release, traces: Traces, tmp_path: Path) -> None:
    """Nobody ended it, for its kubelet stands still: it goes on beside the one that has its entities by then."""
    with world(release, "waking", shards=3, entities=CROWD) as fleet:
        pod = fleet.pods()["waking-1"]
        still_s = traces.stop_kubelet(pod["spec"]["nodeName"], STOPPED_S, shard="waking-1", stop_s=STILL_S)
        until(
            "another shard has its cell", lambda: not cells(fleet, "waking-1"), timeout_s=TAKEN_OVER_S, tell=fleet.tell
        )
        assert time.time() < still_s + STILL_S, "it was to be taken over while it stood still"

        def is_gone() -> bool:
            assert not (fleet.status().get("entities") or {}).get("doubled")
            return pod["metadata"]["uid"] not in fleet.uids()

        until("three shards again", is_gone, timeout_s=STOPPED_S + 90, tell=fleet.tell)
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
        fleet.wait_handoffs(200, timeout_s=60)
    proved(traces, fleet, tmp_path, bound_s=TAKEN_OVER_S, planned=False, row=SILENT)
    assert (tmp_path / "waking-1.ended").exists(), "it was told that it had been replaced, and ended"
    woken = next(life for life in lives(tmp_path) if life.shard == "waking-1")
    assert woken.records["unix_us"].max() / 1e6 < still_s + 1, "it simulated when it was awake again"


def cells(fleet: LiveFleet, shard: str) -> str:
    """'' where it has none."""
    found = [one for one in fleet.status().get("shards") or () if one["name"] == shard]
    return str(found[0]["cell"]) if found else ""


def test_redis_is_killed(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "stranded", shards=3, entities=CROWD) as fleet:
        traces.kill_redis(release)
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
        fleet.wait_handoffs(200, timeout_s=60)
    proved(traces, fleet, tmp_path, bound_s=TAKEN_OVER_S, planned=False, row="Redis restarted")
