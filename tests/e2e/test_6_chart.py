"""The chart's later life: upgrades, and its end with and without fleets. The last tests, for nothing is left then."""

from __future__ import annotations

import pytest

from .fleets import LiveFleet, fleet
from .kubectl import Refused, until
from .own_redis import OwnRedis
from .release import CRD, Release


def secrets(release: Release) -> dict[str, str]:
    """The password of Redis, and the token of the map."""
    names = {"shardfleet-redis": "password", "shardfleet-map": "token"}
    return {name: release.system.json("get", "secret", name)["data"][key] for name, key in names.items()}


def test_an_upgrade_keeps_the_secrets_and_the_worlds(release: Release) -> None:
    arena = LiveFleet(kubectl=release.worlds, name="arena")
    release.worlds.apply(fleet("arena", replicas=2))
    arena.wait_settled(2, entities=50, timeout_s=120)
    uids = {pod["metadata"]["uid"] for pod in arena.pods().values()}
    before = secrets(release)
    release.upgrade("--set-string", "operator.podAnnotations.example\\.com/again=yes")
    assert secrets(release) == before
    arena.wait_handoffs(20, timeout_s=90)
    arena.wait_settled(2, entities=50, timeout_s=90)
    assert {pod["metadata"]["uid"] for pod in arena.pods().values()} == uids


def test_uninstall_refuses_while_there_are_fleets_and_names_them(release: Release) -> None:
    with pytest.raises(Refused):
        release.uninstall()
    said = release.system("logs", "job/shardfleet-uninstall")
    assert "shardfleet-worlds" in said and "arena" in said
    assert release.operator_pod()
    arena = LiveFleet(kubectl=release.worlds, name="arena")
    arena.wait_handoffs(20, timeout_s=60)


def test_uninstall_leaves_the_crd(release: Release) -> None:
    LiveFleet(kubectl=release.worlds, name="arena").delete(timeout_s=120)
    release.uninstall()
    assert release.system.exists("crd", CRD)
    left = release.system.items("pods,deployments,statefulsets,services,serviceaccounts")
    names = {f"{one['kind']}/{one['metadata']['name']}" for one in left if "deletionTimestamp" not in one["metadata"]}
    assert names == {"ServiceAccount/default"}


def test_a_redis_of_ones_own_and_an_uninstall_with_living_fleets(release: Release) -> None:
    """With ``fleets.deleteOnUninstall`` nothing hangs, and with ``crds.keep=false`` the CRD goes too."""
    own = OwnRedis(kubectl=release.system)
    own.start()
    outside = ("--set", "redis.enabled=false", "--set-string", f"redis.existingSecret={own.name}")
    release.install(*outside)
    assert not release.system.exists("statefulset", "shardfleet-redis")
    release.helm("test", "shardfleet", "--timeout", "2m")
    release.worlds.apply(fleet("arena", replicas=2))
    arena = LiveFleet(kubectl=release.worlds, name="arena")
    arena.wait_settled(2, entities=50, timeout_s=120)
    assert release.redis_keys("sf:*arena*")
    release.upgrade(*outside, "--set", "fleets.deleteOnUninstall=true", "--set", "crds.keep=false")
    arena.wait_handoffs(20, timeout_s=90)
    release.uninstall()
    until("no pods of the fleet", lambda: not arena_pods(release), timeout_s=60)
    until("no CRD", lambda: not release.system.exists("crd", CRD), timeout_s=60)
    own.stop()


def arena_pods(release: Release) -> list[str]:
    return release.worlds("get", "pods", "-l", "shardfleet.dev/fleet=arena", "-o", "name").split()
