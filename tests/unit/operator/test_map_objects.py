"""The objects of a fleet's own live map."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from shardfleet_operator.cluster import names
from shardfleet_operator.cluster.map_objects import map_objects
from shardfleet_operator.cluster.objects import FleetObjects, RedisSecret
from shardfleet_operator.map.guard import checked_token

from .test_objects import OBJECTS, restricted

TOKEN = "a-token-of-the-tests-0123456789"
URL = "rediss://shardfleet:s3cret@redis.example:6380/0"
FLEET = replace(OBJECTS, image="shards:1", redis=RedisSecret(name="theirs", key="uri"))
TEMPLATE = {
    "metadata": {"labels": {"team": "blue"}},
    "spec": {
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"operator": "Exists"}],
        "imagePullSecrets": [{"name": "hub"}],
        "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["redis.example"]}],
        "affinity": {"podAntiAffinity": {}},
        "containers": [
            {
                "name": "shard",
                "env": [{"name": "KEY", "value": "of the simulation"}],
                "volumeMounts": [
                    {"name": "authority", "mountPath": "/etc/redis-ca", "readOnly": True},
                    {"name": "models", "mountPath": "/models"},
                ],
            },
            {"name": "sidecar", "image": "side:1"},
        ],
        "volumes": [
            {"name": "authority", "configMap": {"name": "redis-ca"}},
            {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
        ],
    },
}


def made(fleet: FleetObjects = FLEET, *, token: str = TOKEN, url: str = URL) -> dict[str, dict[str, Any]]:
    return {body["kind"]: body for body in map_objects(fleet, token=token, url=url)}


def pod(fleet: FleetObjects = FLEET, *, token: str = TOKEN, url: str = URL) -> dict[str, Any]:
    template: dict[str, Any] = made(fleet, token=token, url=url)["Deployment"]["spec"]["template"]
    return template


def test_it_reads_one_fleet_by_the_shards_secret_and_asks_for_a_token() -> None:
    [container] = pod()["spec"]["containers"]
    assert container["image"] == "shards:1"
    assert container["args"] == [
        "map",
        "--fleet=play.arena",
        "--listen=0.0.0.0:8090",
        "--token-file=/etc/shardfleet-map/token",
    ]
    reference = {"secretKeyRef": {"name": "theirs", "key": "uri"}}
    assert container["env"] == [{"name": "SHARDFLEET_REDIS_URL", "valueFrom": reference}]
    [volume], [mount] = pod()["spec"]["volumes"], container["volumeMounts"]
    assert volume["secret"]["secretName"] == made()["Secret"]["metadata"]["name"] == "arena-map"
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/etc/shardfleet-map")


def test_it_has_no_rights_and_a_bound() -> None:
    spec = pod()["spec"]
    [container] = spec["containers"]
    assert restricted(pod()) == [] and container["securityContext"]["readOnlyRootFilesystem"]
    assert spec["automountServiceAccountToken"] is False
    assert container["resources"]["limits"]["memory"]


def test_secrets_are_in_the_secret_alone() -> None:
    told = [kind for kind, body in made().items() if TOKEN in json.dumps(body) or "s3cret" in json.dumps(body)]
    assert told == [], "not even there in plain text"
    assert checked_token(TOKEN, source="here")


def test_all_of_it_goes_with_the_fleet() -> None:
    for body in made().values():
        [owner] = body["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("ShardFleet", "u1")
        assert body["metadata"]["labels"][names.FLEET_LABEL] == "arena"


def test_what_picks_shards_does_not_pick_it_and_nobody_may_connect() -> None:
    labels, deployment = pod()["metadata"]["labels"], made()["Deployment"]["spec"]
    for selector in (
        FLEET.service()["spec"]["selector"],
        FLEET.budget()["spec"]["selector"]["matchLabels"],
        FLEET.network_policy()["spec"]["podSelector"]["matchLabels"],
    ):
        assert not selector.items() <= labels.items()
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    assert names.map_selector("arena") == "shardfleet.dev/map=arena" and labels[names.MAP_LABEL] == "arena"
    policy = made()["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert (policy["policyTypes"], policy["ingress"]) == (["Ingress"], [])


def test_it_runs_where_shards_run_and_has_nothing_else_of_theirs() -> None:
    spec = pod(replace(FLEET, template=TEMPLATE, trace_claim="traces"))["spec"]
    given = TEMPLATE["spec"]
    for field in ("nodeSelector", "tolerations", "imagePullSecrets", "hostAliases"):
        assert spec[field] == given[field]  # type: ignore[index]
    assert "affinity" not in spec, "it is about shards"
    [container] = spec["containers"]
    assert [variable["name"] for variable in container["env"]] == ["SHARDFLEET_REDIS_URL"]
    assert [volume["name"] for volume in spec["volumes"]] == ["shardfleet-map"]


def test_files_that_the_url_names_are_there() -> None:
    spec = pod(replace(FLEET, template=TEMPLATE), url=f"{URL}?ssl_ca_certs=/etc/redis-ca/ca.crt")["spec"]
    [container] = spec["containers"]
    assert container["volumeMounts"][1:] == [{"name": "authority", "mountPath": "/etc/redis-ca", "readOnly": True}]
    assert spec["volumes"][1:] == [{"name": "authority", "configMap": {"name": "redis-ca"}}]


def test_another_token_or_url_starts_it_anew() -> None:
    assert pod() == pod()
    assert len({json.dumps(one) for one in (pod(), pod(token=TOKEN[::-1]), pod(url="redis://elsewhere"))}) == 3
