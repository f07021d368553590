"""An object of somebody else that has a name which a fleet needs is left as it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from shardfleet_operator.kube import SHARD_FLEETS

from .bench import HollowBench
from .fake_cluster import fleet
from .test_survival import bench

__all__ = ["bench"]


def of_a_user(kind: str, name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "play", **metadata},
        **({"data": {"mine": "c2VjcmV0"}} if kind == "Secret" else {"spec": {"selector": {"app": "web"}}}),
    }


OF_ANOTHER = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "of-web", "controller": True}


@pytest.mark.parametrize(
    "body",
    [
        of_a_user("Service", "arena"),
        of_a_user("Service", "arena", ownerReferences=[OF_ANOTHER]),
        of_a_user("Secret", "arena-redis"),
        of_a_user("Secret", "arena-ca"),
        of_a_user("Secret", "arena-0-tls"),
    ],
    ids=lambda body: f"{body['kind']}-{body['metadata']['name']}-{len(body['metadata'])}",
)
async def test_what_is_not_the_fleets_is_not_taken_over(bench: HollowBench, body: dict[str, Any]) -> None:
    key = body["kind"], "play", body["metadata"]["name"]
    bench.cluster.put(copy.deepcopy(body))
    before = copy.deepcopy(bench.cluster.objects[key])
    bench.cluster.put(fleet())
    await bench.until(lambda: bench.reason("Degraded") == "NameTaken")
    said = bench.condition("Degraded")["message"]
    assert f"{body['kind']} play/{key[2]} is there already" in said and "nothing of it was changed" in said
    assert ("Deployment web" in said) == ("ownerReferences" in body["metadata"])
    assert bench.cluster.objects[key] == before

    bench.cluster.remove(bench.cluster.objects[key])
    await bench.until(bench.is_available)
    uid = bench.fleet()["metadata"]["uid"]
    assert bench.cluster.objects[key]["metadata"]["ownerReferences"][0]["uid"] == uid


async def test_what_an_earlier_fleet_left_on_purpose_is_taken_up(bench: HollowBench) -> None:
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)
    kept = copy.deepcopy(bench.cluster.objects["Secret", "play", "arena-ca"])
    del kept["metadata"]["ownerReferences"]
    bench.cluster.delete_now(bench.fleet())
    await bench.until(lambda: "arena" not in bench.cluster.of_kind(SHARD_FLEETS))

    bench.cluster.put(kept)
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)
    found = bench.cluster.objects["Secret", "play", "arena-ca"]
    assert found["data"]["ca.crt"] == kept["data"]["ca.crt"], "shards of before still trust those of now"
