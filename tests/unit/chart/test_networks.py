"""Who may connect to whom."""

from __future__ import annotations

from shardfleet_operator.cluster import names
from shardfleet_operator.cluster.objects import FleetObjects, RedisSecret
from shardfleet_shard.config import FleetConfig

from .helm import Object, needs_helm, of_kind, pods, render

pytestmark = needs_helm


def test_networks(objects: list[Object]) -> None:
    policies, found = of_kind(objects, "NetworkPolicy"), dict(pods(objects))
    if not policies:
        assert "StatefulSet/shardfleet-redis" not in found, "only where it is said so"
        return
    operator = found["Deployment/shardfleet"]["metadata"]["labels"]
    assert policies["shardfleet"]["spec"]["podSelector"]["matchLabels"].items() <= operator.items()
    health, metrics = {"port": 8080, "protocol": "TCP"}, {"port": 8082, "protocol": "TCP"}
    assert policies["shardfleet"]["spec"]["ingress"] == [{"ports": [health, metrics]}]
    if "StatefulSet/shardfleet-redis" not in found:
        assert policies.keys() <= {"shardfleet", "shardfleet-map"}
        return
    spec = policies["shardfleet-redis"]["spec"]
    redis = found["StatefulSet/shardfleet-redis"]["metadata"]["labels"]
    assert spec["podSelector"]["matchLabels"].items() <= redis.items()
    [rule] = spec["ingress"]
    assert rule["ports"] == [{"port": 6379, "protocol": "TCP"}]
    theirs, maps, shards, own_maps = rule["from"]
    the_map = found["Deployment/shardfleet-map"]["metadata"]["labels"]
    assert maps["podSelector"]["matchLabels"].items() <= the_map.items() and "namespaceSelector" not in maps
    assert not maps["podSelector"]["matchLabels"].items() <= operator.items()
    assert theirs["podSelector"]["matchLabels"].items() <= operator.items() and "namespaceSelector" not in theirs
    assert shards == {
        "namespaceSelector": {},
        "podSelector": {"matchExpressions": [{"key": "shardfleet.dev/fleet", "operator": "Exists"}]},
    }
    assert own_maps == {
        "namespaceSelector": {},
        "podSelector": {"matchExpressions": [{"key": names.MAP_LABEL, "operator": "Exists"}]},
    }
    assert not any(spec["podSelector"]["matchLabels"].items() <= one["metadata"].get("labels", {}).items()
                   for where, one in found.items() if where != "StatefulSet/shardfleet-redis")  # fmt: skip


def test_a_fleets_network_policy_lets_this_operator_in() -> None:
    fleet = FleetObjects(
        namespace="play", name="arena", uid="u", config=FleetConfig(name="arena", namespace="play"), image="i",
        redis=RedisSecret(name="r", url="redis://r"),
    )  # fmt: skip
    selectors = [one["podSelector"]["matchLabels"] for one in fleet.network_policy()["spec"]["ingress"][0]["from"]]
    found = dict(pods(render()))
    operator = found["Deployment/shardfleet"]["metadata"]["labels"]
    assert any(selector.items() <= operator.items() for selector in selectors)
    others = [pod["metadata"].get("labels", {}) for where, pod in found.items() if where != "Deployment/shardfleet"]
    assert not any(selector.items() <= labels.items() for selector in selectors for labels in others)
