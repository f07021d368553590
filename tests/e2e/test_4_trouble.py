"""What goes wrong becomes a condition with the words of whoever said no, and heals when its cause goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .fleets import LiveFleet, condition, fleet
from .kubectl import Kubectl, until
from .release import Release, restricted_namespace

SMALL = {"resources": {"requests": {"cpu": "20m", "memory": "64Mi"}}}
TEMPLATE: dict[str, Any] = {"spec": {"containers": [{"name": "shard", **SMALL}]}}


@contextmanager
def fleet_with(kubectl: Kubectl, name: str, **spec: Any) -> Iterator[LiveFleet]:
    live = LiveFleet(kubectl=kubectl, name=name)
    kubectl.apply(fleet(name, **{"replicas": 2, "template": TEMPLATE, **spec}))
    try:
        yield live
    finally:
        live.delete(timeout_s=240)


def wait_degraded(live: LiveFleet, *words: str) -> None:
    """Until the condition holds all of ``words``."""

    def is_said(status: dict[str, Any]) -> bool:
        degraded = condition(status, "Degraded")
        return degraded["status"] == "True" and all(word in degraded["message"] for word in words)

    live.wait(f"Degraded with {words}", is_said, timeout_s=90)


def wait_healed(live: LiveFleet, shards: int) -> None:
    live.wait_settled(shards, entities=50, timeout_s=150)
    live.wait("not Degraded", lambda status: condition(status, "Degraded")["status"] == "False", timeout_s=60)


def test_an_image_that_cannot_be_pulled(release: Release) -> None:
    with fleet_with(release.worlds, "pulled", image="localhost:1/nothing:here") as live:
        wait_degraded(live, "localhost:1/nothing:here")
        live.patch({"image": ""})
        wait_healed(live, 2)


def test_a_template_that_the_api_server_refuses(release: Release) -> None:
    bad = {"spec": {**TEMPLATE["spec"], "nodeSelector": {"not a label": "x"}}}
    with fleet_with(release.worlds, "misplaced", template=bad) as live:
        wait_degraded(live, "not a label")
        live.patch({"template": {"spec": {"nodeSelector": {"not a label": None}}}})
        wait_healed(live, 2)


def test_a_template_below_the_pod_security_level(release: Release) -> None:
    """A privileged sidecar: the namespace says no, and the operator hands its words on."""
    sidecar = {"name": "side", "image": "x", "securityContext": {"privileged": True}}
    bad = {"spec": {"containers": [*TEMPLATE["spec"]["containers"], sidecar]}}
    with fleet_with(release.worlds, "unsafe", template=bad) as live:
        wait_degraded(live, "violates PodSecurity", "restricted")
        live.patch({"template": TEMPLATE})
        wait_healed(live, 2)


def test_a_quota(release: Release) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    release.worlds.apply(quota)
    try:
        with fleet_with(release.worlds, "many") as live:
            wait_degraded(live, "exceeded quota: few")
            release.worlds("delete", "quota", "few")
            wait_healed(live, 2)
    finally:
        release.worlds("delete", "quota", "few", "--ignore-not-found")


def test_parameters_that_the_simulation_refuses(release: Release) -> None:
    with fleet_with(release.worlds, "wrong", simulation={"name": "orbit", "parameters": {"radiux": 1}}) as live:
        wait_degraded(live, "radiux")
        live.patch({"simulation": {"parameters": {"radiux": None}}})
        wait_healed(live, 2)


def test_a_redis_that_says_no(release: Release) -> None:
    right = release.system.json("get", "secret", "shardfleet-redis")["data"]["url"]
    wrong = {"stringData": {"url": "redis://:wrong@shardfleet-redis.shardfleet-system.svc:6379/0"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own-redis"}}
    release.worlds.apply({**secret, **wrong})
    with fleet_with(release.worlds, "unwelcome", redis={"urlSecretRef": {"name": "own-redis"}}) as live:
        wait_degraded(live, "refuses the user or password")
        release.worlds.apply({**secret, "data": {"url": right}})
        wait_healed(live, 2)
    release.worlds("delete", "secret", "own-redis")


def test_redis_restarts(release: Release) -> None:
    with fleet_with(release.worlds, "kept") as live:
        wait_healed(live, 2)
        uid = release.system.json("get", "pod", "shardfleet-redis-0")["metadata"]["uid"]
        release.system("delete", "pod", "shardfleet-redis-0")
        until(
            "another Redis",
            lambda: (
                release.system.exists("pod", "shardfleet-redis-0")
                and release.system.json("get", "pod", "shardfleet-redis-0")["metadata"]["uid"] != uid
            ),
            timeout_s=90,
        )
        release.system("wait", "--for=condition=Ready", "pod/shardfleet-redis-0", "--timeout=90s")
        wait_healed(live, 2)
        live.wait_handoffs(20, timeout_s=90)


@pytest.mark.parametrize("kind", ["secret/tended-0-tls", "service/tended", "configmap/tended-config", "pdb/tended"])
def test_what_was_deleted_by_hand_comes_back(release: Release, kind: str) -> None:
    word, _, name = kind.partition("/")
    with fleet_with(release.worlds, "tended") as live:
        wait_healed(live, 2)
        uid = release.worlds.json("get", word, name)["metadata"]["uid"]
        release.worlds("delete", word, name)
        until(kind, lambda: release.worlds.exists(word, name), timeout_s=60)
        assert release.worlds.json("get", word, name)["metadata"]["uid"] != uid
        wait_healed(live, 2)


def test_two_fleets_of_one_name_in_two_namespaces(release: Release) -> None:
    other = Kubectl(tools=release.tools, namespace="shardfleet-worlds-too")
    other.apply(restricted_namespace(other.namespace))
    try:
        with fleet_with(release.worlds, "twin") as one, fleet_with(other, "twin") as two:
            wait_healed(one, 2)
            wait_healed(two, 2)
            one.delete(timeout_s=120)
            two.wait_handoffs(20, timeout_s=60)
            wait_healed(two, 2)
            release.worlds.apply(fleet("twin", replicas=1, template=TEMPLATE))
            wait_healed(one, 1)
    finally:
        other("delete", "namespace", other.namespace, timeout_s=180)


def test_events_say_what_happened(release: Release) -> None:
    with fleet_with(release.worlds, "told") as live:
        wait_healed(live, 2)
        selector = f"involvedObject.name={live.name},involvedObject.kind=ShardFleet"
        events = release.worlds.items("events", "--field-selector", selector)
        assert "AllCellsClaimed" in {event["reason"] for event in events}, json.dumps(events)
