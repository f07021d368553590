"""What goes wrong becomes a condition with the words of whoever said no, and heals when its cause goes.

All troubled fleets are there at once, and all are mended at once: most of the time of each is waiting.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from .fleets import LiveFleet, condition, fleet
from .kubectl import Kubectl, until
from .release import SYSTEM, WORLDS_TOO, Release, restricted_namespace
from .worlds import SMALL

QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
OWN_REDIS = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own-redis"}}
WRONG_URL = f"redis://:wrong@shardfleet-redis.{SYSTEM}.svc:6379/0"
_SHARD = SMALL["spec"]["containers"][0]
_SIDECAR = {"name": "side", "image": "x", "securityContext": {"privileged": True}}


def patched(spec: Mapping[str, Any]) -> Callable[[Release, LiveFleet], None]:
    return lambda release, live: live.patch(spec)


def without_quota(release: Release, live: LiveFleet) -> None:
    live.kubectl("delete", "quota", "few")


def with_the_right_url(release: Release, live: LiveFleet) -> None:
    url = release.system.json("get", "secret", "shardfleet-redis")["data"]["url"]
    live.kubectl.apply({**OWN_REDIS, "data": {"url": url}})


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A fleet that cannot be as its spec says. ``said``: in its condition; ``mend``: takes the cause away."""

    name: str
    said: tuple[str, ...]
    mend: Callable[[Release, LiveFleet], None]
    spec: Mapping[str, Any] = field(default_factory=dict)
    shards: int = 1
    namespace: str = ""


TROUBLES = (
    Trouble(
        name="image-that-cannot-be-pulled",
        spec={"image": "localhost:1/nothing:here"},
        said=("localhost:1/nothing:here",),
        mend=patched({"image": ""}),
    ),
    Trouble(
        name="template-that-the-api-server-refuses",
        spec={"template": {"spec": {**SMALL["spec"], "nodeSelector": {"not a label": "x"}}}},
        said=("not a label",),
        mend=patched({"template": {"spec": {"nodeSelector": {"not a label": None}}}}),
    ),
    Trouble(
        name="template-below-the-pod-security-level",
        spec={"template": {"spec": {"containers": [_SHARD, _SIDECAR]}}},
        said=("violates PodSecurity", "restricted"),
        mend=patched({"template": SMALL}),
    ),
    Trouble(
        name="parameters-that-the-simulation-refuses",
        spec={"simulation": {"name": "orbit", "parameters": {"radiux": 1}}},
        said=("radiux",),
        mend=patched({"simulation": {"parameters": {"radiux": None}}}),
    ),
    Trouble(
        name="redis-that-says-no",
        spec={"redis": {"urlSecretRef": {"name": "own-redis"}}},
        said=("refuses the user or password",),
        mend=with_the_right_url,
    ),
    Trouble(
        name="quota",
        said=("exceeded quota: few",),
        mend=without_quota,
        shards=2,
        namespace=WORLDS_TOO,
    ),
)


@pytest.fixture(scope="module")
def narrow(release: Release) -> Iterator[Kubectl]:
    other = Kubectl(tools=release.tools, namespace=WORLDS_TOO)
    other.apply(restricted_namespace(WORLDS_TOO), QUOTA)
    yield other
    other("delete", "namespace", WORLDS_TOO, timeout_s=180)


@pytest.fixture(scope="module")
def troubled(release: Release, narrow: Kubectl) -> Iterator[dict[str, LiveFleet]]:
    """By the trouble's name."""
    release.worlds.apply({**OWN_REDIS, "stringData": {"url": WRONG_URL}})
    fleets = {}
    for one in TROUBLES:
        kubectl = narrow if one.namespace else release.worlds
        kubectl.apply(fleet(one.name, **{"replicas": one.shards, "template": SMALL, **one.spec}))
        fleets[one.name] = LiveFleet(kubectl=kubectl, name=one.name)
    yield fleets
    for live in fleets.values():
        live.kubectl("delete", "sf", live.name, "--wait=false")
    for live in fleets.values():
        live.delete(timeout_s=240)
    release.worlds("delete", "secret", "own-redis")


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
def test_it_is_said(troubled: dict[str, LiveFleet], trouble: Trouble) -> None:
    def is_said(status: dict[str, Any]) -> bool:
        degraded = condition(status, "Degraded")
        return degraded["status"] == "True" and all(word in degraded["message"] for word in trouble.said)

    troubled[trouble.name].wait(f"is Degraded with {trouble.said}", is_said, timeout_s=120)


@pytest.fixture(scope="module")
def mended(release: Release, troubled: dict[str, LiveFleet]) -> dict[str, LiveFleet]:
    for one in TROUBLES:
        one.mend(release, troubled[one.name])
    return troubled


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
def test_it_heals(mended: dict[str, LiveFleet], trouble: Trouble) -> None:
    wait_well(mended[trouble.name], trouble.shards)


def wait_well(live: LiveFleet, shards: int) -> None:
    live.wait_settled(shards, entities=50, timeout_s=150)
    live.wait("not Degraded", lambda status: condition(status, "Degraded")["status"] == "False", timeout_s=60)


# --- fleets that were well --------------------------------------------------------------------------------------


@contextmanager
def fleet_of_two(kubectl: Kubectl, name: str) -> Iterator[LiveFleet]:
    live = LiveFleet(kubectl=kubectl, name=name)
    kubectl.apply(fleet(name, replicas=2, template=SMALL))
    try:
        wait_well(live, 2)
        yield live
    finally:
        live.delete(timeout_s=240)


@pytest.fixture(scope="module")
def tended(release: Release) -> Iterator[LiveFleet]:
    with fleet_of_two(release.worlds, "tended") as live:
        yield live


@pytest.mark.parametrize("kind", ["secret/tended-0-tls", "service/tended", "configmap/tended-config", "pdb/tended"])
def test_what_was_deleted_by_hand_comes_back(tended: LiveFleet, kind: str) -> None:
    word, _, name = kind.partition("/")
    uid = tended.kubectl.json("get", word, name)["metadata"]["uid"]
    tended.kubectl("delete", word, name)
    until(kind, lambda: tended.kubectl.exists(word, name), timeout_s=60)
    assert tended.kubectl.json("get", word, name)["metadata"]["uid"] != uid
    wait_well(tended, 2)


def test_events_say_what_happened(tended: LiveFleet) -> None:
    selector = f"involvedObject.name={tended.name},involvedObject.kind=ShardFleet"
    events = tended.kubectl.items("events", "--field-selector", selector)
    assert "AllCellsClaimed" in {event["reason"] for event in events}, json.dumps(events)


def test_redis_restarts(release: Release, tended: LiveFleet) -> None:
    release.restart_redis()
    wait_well(tended, 2)
    tended.wait_handoffs(20, timeout_s=90)


def test_two_fleets_of_one_name_in_two_namespaces(release: Release, tended: LiveFleet, narrow: Kubectl) -> None:
    narrow("delete", "quota", "few", "--ignore-not-found")
    with fleet_of_two(narrow, tended.name) as other:
        tended.wait_handoffs(20, timeout_s=60)
        other.delete(timeout_s=120)
        tended.wait_handoffs(20, timeout_s=60)
        wait_well(tended, 2)
        narrow.apply(fleet(other.name, replicas=1, template=SMALL))
        wait_well(other, 1)
