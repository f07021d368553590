"""The live map."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from shardfleet_operator.cli.forward import MAP_PORT
from shardfleet_operator.map.guard import checked_token

from .helm import NAMESPACE, decoded, needs_helm, of_kind, pods, render
from .variants import NOTHING

pytestmark = needs_helm


def test_the_map_has_the_redis_a_token_and_no_rights() -> None:
    found = render({"map.hosts": ["map.example"], "map.nodeSelector": {"disk": "fast"}})
    deployment = of_kind(found, "Deployment")["shardfleet-map"]["spec"]
    spec, labels = deployment["template"]["spec"], deployment["template"]["metadata"]["labels"]
    assert spec["automountServiceAccountToken"] is False and "serviceAccountName" not in spec
    assert spec["nodeSelector"] == {"disk": "fast"}
    [container] = spec["containers"]
    assert container["args"] == [
        "map",
        f"--listen=0.0.0.0:{MAP_PORT}",
        "--token-file=/etc/shardfleet-map/token",
        *(f"--host=shardfleet-map{end}" for end in ("", f".{NAMESPACE}", f".{NAMESPACE}.svc")),
        "--host=map.example",
    ]
    assert container["env"] == [
        {"name": "SHARDFLEET_REDIS_URL", "valueFrom": {"secretKeyRef": {"name": "shardfleet-redis", "key": "url"}}}
    ]
    secret = of_kind(found, "Secret")["shardfleet-map"]
    token = checked_token(decoded(secret)["token"], source="the chart")
    assert len(token) == 40
    assert token not in yaml.dump([one for one in found if one["kind"] != "Secret"])
    [volume] = spec["volumes"]
    assert volume["secret"]["items"] == [{"key": "token", "path": "token"}]
    service = of_kind(found, "Service")["shardfleet-map"]["spec"]
    assert service["selector"].items() <= labels.items() and "type" not in service
    assert [port["targetPort"] for port in service["ports"]] == ["map"]


def test_the_operator_tells_how_the_map_is_found() -> None:
    found = render()
    selector = dict(
        part.split("=") for part in decoded(of_kind(found, "Secret")["shardfleet-map"])["selector"].split(",")
    )
    matching = [where for where, pod in pods(found) if selector.items() <= pod["metadata"].get("labels", {}).items()]
    assert matching == ["Deployment/shardfleet-map"]
    spec = of_kind(found, "Deployment")["shardfleet"]["spec"]["template"]["spec"]
    assert {"name": "map", "secret": {"secretName": "shardfleet-map", "defaultMode": 0o440}} in spec["volumes"]
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": "map", "mountPath": "/etc/shardfleet-map", "readOnly": True}
    ]


def test_nobody_may_connect_to_the_map_but_who_was_named() -> None:
    policy = of_kind(render(), "NetworkPolicy")["shardfleet-map"]["spec"]
    assert policy["ingress"] == [] and policy["policyTypes"] == ["Ingress"]
    peer = {"namespaceSelector": {"matchLabels": {"name": "ingress"}}}
    policy = of_kind(render({"map.allowFrom": [peer]}), "NetworkPolicy")["shardfleet-map"]["spec"]
    assert policy["ingress"] == [{"from": [peer], "ports": [{"port": MAP_PORT, "protocol": "TCP"}]}]


@pytest.mark.parametrize("values", [{"map.enabled": False}, NOTHING])
def test_without_a_map_or_a_redis_to_read_nothing_of_it_is_there(values: dict[str, Any]) -> None:
    found = render(values)
    assert not [one for one in found if "map" in one["metadata"]["name"].split("-")]
    [container] = of_kind(found, "Deployment")["shardfleet"]["spec"]["template"]["spec"]["containers"]
    assert "--map" not in " ".join(container["args"]) and "volumeMounts" not in container
    redis = of_kind(found, "NetworkPolicy").get("shardfleet-redis")
    assert redis is None or len(redis["spec"]["ingress"][0]["from"]) == 3
