"""Fleets that are changed and broken while thousands of entities move; proved by the traces of all pods."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.traced import longest_wait

from .fleets import LiveFleet
from .kubectl import say, until
from .release import Release
from .traces import Traces
from .worlds import CROWD, PATIENCE_S, TAKEN_OVER_S, proved, world

AGAIN_S = 5.0
"""After a process is known to have ended every entity is simulated again by then."""


def test_four_six_two(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "scaled", shards=4, entities=CROWD) as fleet:
        fleet.wait_handoffs(CROWD, timeout_s=60)
        fleet.scale(6, entities=CROWD, timeout_s=PATIENCE_S)
        fleet.wait_handoffs(CROWD, timeout_s=60)
        fleet.scale(2, entities=CROWD, timeout_s=PATIENCE_S)
        fleet.wait_handoffs(200, timeout_s=60)
    proved(traces, fleet, tmp_path, row="a planned move")


def test_the_operator_restarts_in_the_middle_of_a_change(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "restarted", shards=2, entities=CROWD) as fleet:
        fleet.kubectl("scale", "sf", fleet.name, "--replicas=4")
        until("a third pod", lambda: len(fleet.pods()) > 2, timeout_s=60, tell=fleet.tell)
        before = release.operator_pod()
        release.system("delete", "pod", before, "--wait=false")
        until("another operator", lambda: release.operator_pod() not in ("", before), timeout_s=90)
        fleet.wait_settled(4, entities=CROWD, timeout_s=PATIENCE_S)
    proved(traces, fleet, tmp_path, row="operator killed or away")


def test_a_pod_deleted_by_hand_hands_its_entities_over(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "deleted", shards=3, entities=CROWD) as fleet:
        uid = fleet.pods()["deleted-1"]["metadata"]["uid"]
        fleet.kubectl("delete", "pod", "deleted-1", "--wait=false")
        until("the pod is gone", lambda: uid not in fleet.uids(), timeout_s=150, tell=fleet.tell)
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
    proved(traces, fleet, tmp_path, row="a planned move")


def test_a_killed_shard_recovers(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "killed", shards=3, entities=CROWD) as fleet:
        pod = fleet.pods()["killed-1"]
        traces.kill(pod["spec"]["nodeName"], "shard", "--shard", "killed-1")
        until("its end is known", lambda: has_ended(fleet, pod), timeout_s=TAKEN_OVER_S, every_s=0.1)
        known_s = time.time()
        until(
            "another pod of that shard",
            lambda: pod["metadata"]["uid"] not in fleet.uids() and "killed-1" in fleet.pods(),
            timeout_s=90,
            tell=fleet.tell,
        )
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
    proved(traces, fleet, tmp_path, bound_s=TAKEN_OVER_S, planned=False, row="source or target killed")
    took_s = longest_wait(tmp_path).ended_us / 1e6 - known_s
    say(f"all simulated again {took_s:.1f} s after its end was known")
    assert took_s <= AGAIN_S


def test_a_changed_template_is_rolled_shard_by_shard(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "rolled", shards=3, entities=CROWD) as fleet:
        before = fleet.uids()
        fleet.patch({"template": {"metadata": {"labels": {"example.com/color": "green"}}}})
        until("every pod is another one", lambda: not before & fleet.uids(), timeout_s=PATIENCE_S, tell=fleet.tell)
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
        colors = {pod["metadata"]["labels"].get("example.com/color") for pod in fleet.pods().values()}
        assert colors == {"green"}
    proved(traces, fleet, tmp_path, row="a planned move")


def test_a_change_in_the_middle_of_another_and_an_operator_killed_in_both(
    release: Release, traces: Traces, tmp_path: Path
) -> None:
    """A roll becomes a scale and another roll before it is done; the operator dies in the middle of it all, and again
    in the middle of the fleet's deletion."""

    def kill_again(fleet: LiveFleet) -> None:
        until("a pod that ends", lambda: any(is_ending(pod) for pod in fleet.pods().values()), timeout_s=60)
        traces.kill_operator(release)

    with world(release, "hurried", shards=2, entities=CROWD, while_it_ends=kill_again) as fleet:
        before = fleet.uids()
        fleet.patch({"template": {"metadata": {"labels": {"example.com/color": "blue"}}}})
        until("a surge pod", lambda: fleet.uids() - before, timeout_s=60, tell=fleet.tell)
        fleet.patch({"replicas": 3, "template": {"metadata": {"labels": {"example.com/color": "red"}}}})
        until("the next step", lambda: len(fleet.uids() - before) > 1, timeout_s=PATIENCE_S, tell=fleet.tell)
        traces.kill_operator(release)
        fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
        assert not before & fleet.uids()
        colors = {pod["metadata"]["labels"].get("example.com/color") for pod in fleet.pods().values()}
        assert colors == {"red"}
    proved(traces, fleet, tmp_path, row="operator killed or away")


def has_ended(fleet: LiveFleet, pod: Mapping[str, Any]) -> bool:
    """As the API has it: its container has, or there is another one by its name."""
    now = fleet.pods().get(pod["metadata"]["name"])
    if now is None or now["metadata"]["uid"] != pod["metadata"]["uid"]:
        return True
    return any("terminated" in one["state"] for one in now["status"].get("containerStatuses") or ())


def is_ending(pod: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]
