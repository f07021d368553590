"""Nodes that are drained, and an API server that is away, while thousands of entities move."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .fleets import LiveFleet
from .kubectl import Refused, say, until
from .release import Release
from .traces import Traces
from .worlds import CROWD, PATIENCE_S, TICK_RATE, proved, world

AWAY_S = 30
"""The API server stands still for so long: longer than the operator's Lease lasts."""


SOON_S = 3
"""Until then, time enough to ask for a change and too little for it to be done."""


@contextmanager
def no_new_pods_on(fleet: LiveFleet, node: str) -> Iterator[None]:
    """Whatever was done to the node, it takes pods again afterwards."""
    try:
        yield
    finally:
        fleet.kubectl("uncordon", node)


def drain(fleet: LiveFleet, node: str) -> None:
    """``kubectl drain`` of all that is ours but Redis, whose volume may be bound to the node."""
    selector = "app.kubernetes.io/name=shardfleet,app.kubernetes.io/component notin (redis)"
    words = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=270s")
    fleet.kubectl(*words, "--pod-selector", selector, timeout_s=300)
    assert not fleet.on_node(node)


def test_a_drained_node_that_holds_the_operator_too(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "drained", shards=4, entities=CROWD) as fleet:
        operator = release.operator_pod()
        node = release.system.json("get", "pod", operator)["spec"]["nodeName"]
        say(f"kubectl drain {node}, which holds {operator} and {sorted(fleet.on_node(node))}")
        with no_new_pods_on(fleet, node):
            drain(fleet, node)
            until("another operator", lambda: release.operator_pod() not in ("", operator), timeout_s=90)
            fleet.wait_settled(4, entities=CROWD, timeout_s=PATIENCE_S)
    proved(traces, fleet, tmp_path, row="a planned move")


def test_a_fleet_of_one_shard_whose_node_is_drained(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "lonely", shards=1, entities=CROWD) as fleet:
        (pod,) = fleet.pods().values()
        node = pod["spec"]["nodeName"]
        with no_new_pods_on(fleet, node):
            drain(fleet, node)
            until("an operator", release.operator_pod, timeout_s=90)
            fleet.wait_settled(1, entities=CROWD, timeout_s=PATIENCE_S)
    proved(traces, fleet, tmp_path, row="a planned move")


def test_the_api_server_is_away_in_the_middle_of_a_scale(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "forsaken", shards=2, entities=CROWD) as fleet:
        say(f"the API server will be away for {AWAY_S} s")
        began_s = time.time() + SOON_S
        traces.pause_api_server(AWAY_S, after_s=SOON_S)
        fleet.kubectl("scale", "sf", fleet.name, "--replicas=4")
        time.sleep(began_s + AWAY_S - time.time())
        until("the API server again", lambda: answers(fleet), timeout_s=60)
        fleet.wait_settled(4, entities=CROWD, timeout_s=PATIENCE_S)
    proved(traces, fleet, tmp_path, row="apiserver away")
    # Well inside the time that it was away.
    assert adoptions(tmp_path, from_s=began_s + 5, to_s=began_s + AWAY_S - 5) > CROWD / 10


def answers(fleet: LiveFleet) -> bool:
    try:
        return bool(fleet.status())
    except Refused:
        return False


def adoptions(folder: Path, *, from_s: float, to_s: float) -> int:
    """Entities that shards took over between two Unix times, by their traces."""
    events = (json.loads(line) for path in folder.glob("*.events.jsonl") for line in path.read_text().splitlines())
    return sum(event["kind"] == "adopt" and from_s <= event["tick"] / TICK_RATE < to_s for event in events)


def test_a_cordoned_node_is_left_by_its_shards(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "cordoned", shards=3, entities=CROWD) as fleet:
        node = fleet.pods()["cordoned-0"]["spec"]["nodeName"]
        say(f"kubectl cordon {node}, which holds {sorted(fleet.on_node(node))}")
        with no_new_pods_on(fleet, node):
            fleet.kubectl("cordon", node)
            until("no shard is there", lambda: not fleet.on_node(node), timeout_s=PATIENCE_S, tell=fleet.tell)
            fleet.wait_settled(3, entities=CROWD, timeout_s=PATIENCE_S)
    proved(traces, fleet, tmp_path, row="a planned move")
