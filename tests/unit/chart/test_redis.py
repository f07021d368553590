"""The bundled Redis, and what is left of it where there is another. The Secrets, which are made once."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import yaml
from shardfleet_shard.store.acl import acl_rule

from .api_server import ApiServer
from .helm import NAMESPACE, Object, decoded, needs_helm, notes, of_kind, render, template
from .variants import EVERYTHING, EXTERNAL, NOTHING, UNKEPT

pytestmark = needs_helm


def test_redis() -> None:
    found = render()
    data = decoded(of_kind(found, "Secret")["shardfleet-redis"])
    password = data["password"]
    assert len(password) == 32 and password.isalnum()
    assert data["url"] == f"redis://shardfleet:{password}@shardfleet-redis.{NAMESPACE}.svc:6379/0"
    lines = set(data["valkey.conf"].splitlines())
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "user default off"} <= lines
    assert f"user shardfleet on #{hashlib.sha256(password.encode()).hexdigest()} {acl_rule()}" in lines
    restore = data["restore-password"]
    assert len(restore) == 32 and restore != password
    assert f"user restore on #{hashlib.sha256(restore.encode()).hexdigest()} {acl_rule()} +restore" in lines
    assert password not in data["valkey.conf"] and restore not in data["valkey.conf"]
    redis = of_kind(found, "StatefulSet")["shardfleet-redis"]["spec"]
    [claim] = redis["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data" and claim["spec"]["resources"] == {"requests": {"storage": "8Gi"}}
    spec = redis["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]} == {"/data", "/etc/valkey"}
    others = yaml.dump([one for one in found if one["kind"] != "Secret"])
    assert password not in others and restore not in others
    assert not of_kind(found, "PodDisruptionBudget")
    assert decoded(of_kind(render(), "Secret")["shardfleet-redis"])["password"] != password, (
        "made anew, not written here"
    )


def test_redis_starts_anew_for_its_configuration_and_not_for_its_password() -> None:
    def annotations() -> Object:
        template: Object = of_kind(render(), "StatefulSet")["shardfleet-redis"]["spec"]["template"]
        return dict(template["metadata"]["annotations"])

    assert annotations() == annotations() != {}


def test_redis_without_a_volume() -> None:
    spec = of_kind(render(UNKEPT), "StatefulSet")["shardfleet-redis"]["spec"]
    assert "volumeClaimTemplates" not in spec
    assert {"name": "data", "emptyDir": {}} in spec["template"]["spec"]["volumes"]
    with ApiServer() as server:
        assert "WARNING: the bundled Redis has no volume" in notes(UNKEPT, server.kubeconfig)


def test_a_drain_waits_for_redis_where_that_is_wanted() -> None:
    found = render(EVERYTHING)
    [budget] = of_kind(found, "PodDisruptionBudget").values()
    labels = of_kind(found, "StatefulSet")["shardfleet-redis"]["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["maxUnavailable"] == 0
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("values", [EXTERNAL, NOTHING])
def test_a_redis_of_ones_own_leaves_nothing_of_the_bundled_one(values: dict[str, Any]) -> None:
    found = render(values)
    assert not of_kind(found, "StatefulSet")
    assert "shardfleet-redis" not in {**of_kind(found, "Secret"), **of_kind(found, "Service")}


@pytest.mark.parametrize(("name", "key"), [("redis", "password"), ("map", "token")])
def test_a_secret_is_kept_at_an_upgrade(name: str, key: str) -> None:
    """By helm itself, which looks the Secret up in a (very small) API server."""
    with ApiServer() as server:
        first = of_kind(server_side(server), "Secret")[f"shardfleet-{name}"]
        server.objects[f"/api/v1/namespaces/{NAMESPACE}/secrets/shardfleet-{name}"] = first
        second = of_kind(server_side(server), "Secret")[f"shardfleet-{name}"]
        other = of_kind(server_side(server, release="other"), "Secret")[f"other-shardfleet-{name}"]
    assert decoded(first) == decoded(second)
    assert decoded(other)[key] != decoded(first)[key]


def server_side(server: ApiServer, *, release: str = "shardfleet") -> list[Object]:
    result = template({}, "--dry-run=server", release=release, environ={"KUBECONFIG": server.kubeconfig})
    assert result.returncode == 0, result.stderr
    return [one for one in yaml.safe_load_all(result.stdout) if one]
