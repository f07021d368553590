"""Facts of pods: what counts as an end, and that late or repeated events do no harm."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_operator.cluster.pods import FleetPods, PodFacts, pod_facts
from shardfleet_operator.platforms.kubernetes import KubernetesPlatform
from shardfleet_shard.exit_codes import ExitCode
from shardfleet_shard.system_clock import SystemClock

from .test_objects import OBJECTS

RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
ENDED = {
    "terminated": {
        "exitCode": 2, "reason": "Error", "message": "a line\nshardfleet: error: radius: must be a number\n",
        "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:05Z",
    }
}  # fmt: skip


def pod(state: dict[str, Any] | None = None, *, node: str = "n", deleting: bool = False, **status: Any) -> PodFacts:
    body: dict[str, Any] = {
        "metadata": {
            "name": "arena-3", "namespace": "play", "uid": "u1", "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"shardfleet.dev/fleet": "arena", "shardfleet.dev/ordinal": "3"},
            "annotations": {"shardfleet.dev/restarts": "2", "shardfleet.dev/revision": "abc"},
        },
        "spec": {"nodeName": node} if node else {},
        "status": status,
    }  # fmt: skip
    if deleting:
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    if state is not None:
        body["status"]["containerStatuses"] = [{"name": "sidecar", "state": {}}, {"name": "shard", "state": state}]
    facts = pod_facts(body)
    assert facts is not None
    return facts


def test_a_running_pod() -> None:
    facts = pod(RUNNING, podIP="10.0.0.4", conditions=[{"type": "Ready", "status": "True"}])
    assert facts.began and facts.ready and not facts.ended
    assert (facts.ordinal, facts.restarts, facts.revision, facts.address, facts.version) == (3, 2, "abc", "10.0.0.4", 7)


def test_an_ended_container_says_how() -> None:
    facts = pod(ENDED, phase="Failed")
    assert facts.ended and facts.exit_code == 2 and facts.ended_us - facts.started_us == 5_000_000
    assert facts.message == "exit code 2: shardfleet: error: radius: must be a number"


@pytest.mark.parametrize(
    ("facts", "ended"),
    [
        (pod(phase="Pending"), False),
        (pod(phase="Failed", reason="OutOfcpu", message="too much"), True),
        (pod(RUNNING, phase="Failed", reason="NodeLost"), False),
        (pod(phase="Failed", conditions=[{"type": "DisruptionTarget", "reason": "DeletionByPodGC"}]), False),
        (pod({"waiting": {"reason": "ContainerCreating"}}), False),
    ],
)
def test_only_the_kubelet_knows_an_end(facts: PodFacts, ended: bool) -> None:
    assert facts.ended == ended


def test_why_a_pod_waits() -> None:
    pull = pod({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
    assert (pull.waiting, pull.message) == ("ImagePullBackOff", "no such image")
    assert pod({"waiting": {"reason": "ContainerCreating"}}).waiting == ""
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    assert pod(node="", conditions=[unschedulable]).waiting == "Unschedulable"


def test_strangers_are_not_pods_of_a_fleet() -> None:
    assert pod_facts({"metadata": {"name": "x", "labels": {"shardfleet.dev/fleet": "arena"}}}) is None
    assert pod_facts({"metadata": {"name": "x"}}) is None


# --- the index ---------------------------------------------------------------------------------------------------


def test_a_pod_that_is_gone_ended_only_if_that_is_known() -> None:
    for facts, known in [
        (pod(ENDED), True),
        (pod(node=""), True),  # no kubelet ever had it
        (pod(RUNNING), False),  # deleted by force, or its node was
        (pod({"waiting": {"reason": "ContainerCreating"}}), False),
    ]:
        pods = FleetPods()
        pods.take(facts)
        assert pods.take_gone(facts)
        assert not pods.pods and ("arena-3" in pods.ended) == known


@given(st.integers(0, 10_000))
def test_events_that_come_late_twice_or_in_another_order_change_nothing(seed: int) -> None:
    generator = random.Random(seed)
    lives: list[PodFacts] = []
    version = 0
    for uid in ("u1", "u2", "u3"):
        for state in (None, RUNNING, ENDED):
            version += 1
            lives.append(replace(pod(state), uid=uid, version=version))
    newest = lives[-1]
    # What of the last pod came in order and before the late ones: the watch delivers the newest of each object.
    late = [facts for facts in lives if facts.uid == newest.uid and facts.version < newest.version]
    generator.shuffle(late)
    pods = FleetPods()
    pods.take(newest)
    for facts in late:
        assert not pods.take(facts)
    for facts in lives:
        if facts.uid != newest.uid:
            assert not pods.take_gone(facts) and pods.pods == {"arena-3": newest}
    assert pods.take_gone(newest)
    for facts in late:
        assert not pods.take(facts), "a pod whose end is known came back"


def test_a_resync_finds_what_no_event_told() -> None:
    pods = FleetPods()
    pods.take(pod(RUNNING))
    assert not pods.resync([pod(RUNNING)])
    assert pods.resync([]) and not pods.pods and not pods.ended
    assert pods.resync([pod(RUNNING)]) and "arena-3" in pods.pods


def test_an_end_for_other_columns_stands_while_it_is_tried_again() -> None:
    ended = replace(pod(ENDED, phase="Failed"), exit_code=ExitCode.SCHEMA)
    pods = FleetPods()
    pods.take(ended)
    assert pods.misfits("abc", ()) == [ended]
    assert pods.misfits("a newer spec", ()) == []
    pods.take_gone(ended)
    pods.take(replace(pod(RUNNING), uid="u2", version=9))
    assert [one.uid for one in pods.misfits("abc", ())] == ["u1"]
    assert pods.misfits("abc", {"arena-3"}) == []
    pods.take(replace(pod(ENDED, phase="Failed"), uid="u2", version=10))
    assert pods.misfits("abc", ()) == [], "it ended for another reason meanwhile"


async def test_an_end_under_another_spec_starts_no_back_off() -> None:
    async def tell_ended(shard: str, epoch: int) -> None:
        raise AssertionError(shard)

    pods = FleetPods()
    platform = KubernetesPlatform(OBJECTS, None, SystemClock(), pods, tell_ended)  # type: ignore[arg-type]
    pods.take(replace(pod(ENDED, phase="Failed"), revision=OBJECTS.revision))
    assert [one.restarts for one in platform.observe()] == [2]
    pods.take(replace(pod(ENDED, phase="Failed"), revision="another", version=8))
    assert [one.restarts for one in platform.observe()] == [0]
    pods.take(replace(pod(RUNNING), revision="another", version=9))
    assert [one.restarts for one in platform.observe()] == [2]


def test_an_answer_that_comes_after_the_event_of_the_end_brings_no_pod_back() -> None:
    pods = FleetPods()
    pods.take(pod(RUNNING))
    assert pods.take_gone(pod(RUNNING))
    assert not pods.take(replace(pod(RUNNING), deleting=True, version=99)) and not pods.pods
    assert pods.take(replace(pod(RUNNING), uid="u2", version=100))
