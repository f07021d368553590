"""From an empty cluster to a world that runs, and back."""

from __future__ import annotations

import time
from pathlib import Path

from .fleets import LiveFleet
from .kubectl import REPOSITORY, say, until
from .release import Release
from .traces import Traces
from .worlds import proved, world

ORBIT = REPOSITORY / "examples" / "orbit.yaml"
KINDS = "pods,services,secrets,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies,sf"


def names_of(release: Release) -> set[str]:
    """What is in the fleets' namespace, the cluster's own objects aside."""
    return set(release.worlds("get", KINDS, "-o", "name").split()) - {
        "configmap/kube-root-ca.crt",
        "serviceaccount/default",
    }


def test_the_chart_tests_itself(release: Release) -> None:
    release.helm("test", "shardfleet", "--timeout", "2m")


def test_redis_is_on_a_volume(release: Release) -> None:
    (claim,) = release.system.items("pvc")
    assert claim["status"]["phase"] == "Bound"


def test_the_example_runs_and_leaves_nothing(release: Release) -> None:
    arena = LiveFleet(kubectl=release.worlds, name="arena")
    before = names_of(release)
    began = time.monotonic()
    release.worlds("apply", "-f", str(ORBIT))
    release.worlds("wait", "--for=condition=Available", "sf/arena", "--timeout=60s")
    say(f"arena is Available after {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 60

    status = arena.wait_settled(4, entities=50, timeout_s=60)
    assert len({one["cell"] for one in status["shards"]}) == 4
    pods = arena.pods()
    assert sorted(pods) == ["arena-0", "arena-1", "arena-2", "arena-3"]
    assert len({pod["status"]["podIP"] for pod in pods.values()}) == 4
    arena.wait_handoffs(20, timeout_s=60)
    assert arena.status()["transfers"].get("canceled", 0) == 0

    header, row = release.worlds("get", "sf", "arena").splitlines()
    assert header.split() == ["NAME", "SHARDS", "READY", "ENTITIES", "HANDOFFS/S", "ACTIVE", "AGE"]
    assert row.split()[:4] == ["arena", "4", "4", "50"]
    assert release.redis_keys("sf:*arena*")

    say(f"arena is gone after {arena.delete(timeout_s=90):.1f} s")
    until("no object is left", lambda: names_of(release) == before, timeout_s=60, tell=lambda: str(names_of(release)))
    assert release.redis_keys("*") == []


def test_traces_of_pods_that_have_ended_prove_every_handoff(release: Release, traces: Traces, tmp_path: Path) -> None:
    with world(release, "traced", shards=4, entities=50) as fleet:
        fleet.wait_handoffs(50, timeout_s=90)
    report = proved(traces, fleet, tmp_path)
    assert len({one.shard for one in report.epochs}) == 4
    assert all(one.ended for one in report.epochs)
    assert report.handoffs >= 50
