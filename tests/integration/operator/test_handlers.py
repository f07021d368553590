"""The whole operator process on kopf, against a fake API over HTTP: what it watches, what it sends, how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import kmock as kmock_module
import pytest
from shardfleet_operator.cluster import names
from shardfleet_operator.cluster.settings import OperatorSettings
from shardfleet_operator.handlers import CHILDREN
from shardfleet_operator.kube import LEASES, PODS, SECRETS, SHARD_FLEETS, Kind
from shardfleet_operator.operator_process import Operator, OperatorOptions
from shardfleet_shard.system_clock import SystemClock

from tests.patience import PATIENCE_S

from ..servers import RedisServer
from .fake_cluster import fleet, now

CLOCK = SystemClock()


class Emulator(kmock_module.KubernetesEmulator):
    """kmock's, with server-side apply of what is not there yet, and uids and versions for what is made."""

    async def _handle(self, request: Any) -> Any:
        kind = request.headers.get("Content-Type", "")
        if kind == "application/apply-patch+yaml" and request.resource is not None:
            key = (request.resource, request.namespace, request.name)
            if key not in self.objects or self.objects[key].deleted:
                made = json.loads(json.dumps(request.data))
                made["metadata"] |= {"uid": f"uid-{request.name}", "resourceVersion": "1", "creationTimestamp": now()}
                self.objects[key] = made
        elif request.method == "POST" and request.resource is not None:
            request.data["metadata"] |= {"uid": "uid-created", "resourceVersion": "1"}
        return await super()._handle(request)


def nobody() -> str:
    """In a container the user has no name."""
    raise KeyError("getpwuid(): uid not found: 65532")


def key(kind: Kind, name: str, namespace: str = "play") -> tuple[Any, str, str]:
    group, _, version = kind.api_version.rpartition("/")
    return kmock_module.resource(group, version, kind.plural), namespace, name


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)


@pytest.fixture
async def operator(kmock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operator]:
    for kind in (SHARD_FLEETS, *CHILDREN, LEASES):
        group, _, version = kind.api_version.rpartition("/")
        kmock.resources[group, version, kind.plural] = {
            "kind": kind.kind, "namespaced": True, "verbs": ["list", "watch", "get", "patch", "create", "delete"],
            "subresources": ["status"] if kind is SHARD_FLEETS else [],
        }  # fmt: skip
    kmock.resources["v1/nodes"] = {"kind": "Node", "namespaced": False, "verbs": ["list", "watch"]}
    for resource in ("v1/namespaces", "v1/events", "apiextensions.k8s.io/v1/customresourcedefinitions"):
        kmock.resources[resource] = {"verbs": ["list", "watch"]}  # kopf looks for them
    config = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "system"}}],
        "clusters": [{"name": "test", "cluster": {"server": str(kmock.url)}}],
        "users": [{"name": "test", "user": {"token": "t"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr("getpass.getuser", nobody)
    with RedisServer(tcp=True) as server:
        settings = OperatorSettings(image="shardfleet:test", redis_url=server.limited_url)
        operator = Operator(OperatorOptions(settings=settings), CLOCK)
        running = asyncio.create_task(operator.run())
        try:
            yield operator
        finally:
            operator.stop()
            assert await running == 0
    assert kmock.objects[key(LEASES, "shardfleet-operator", "system")]["spec"]["holderIdentity"] == ""


def body(**spec: Any) -> dict[str, Any]:
    result = fleet(**spec)
    result["metadata"] |= {"uid": "uid-fleet", "resourceVersion": "1", "generation": 1, "creationTimestamp": now()}
    return result


@pytest.mark.kmock(cls=Emulator)
async def test_a_fleet_that_is_there_and_one_that_comes_get_their_objects(kmock: Any, operator: Operator) -> None:
    kmock.objects[key(SHARD_FLEETS, "arena")] = body()
    await until(lambda: key(PODS, "arena-1") in kmock.objects)

    made = kmock.objects[key(SHARD_FLEETS, "arena")]
    assert made["metadata"]["finalizers"] == [names.FINALIZER]
    assert "annotations" not in made["metadata"], "kopf left something"
    await until(lambda: kmock.objects[key(SHARD_FLEETS, "arena")].get("status", {}).get("conditions"))
    (pod,) = kmock.objects[key(PODS, "arena-0")]["spec"]["containers"]
    assert pod["image"] == "shardfleet:test"
    watched = {str(one.url).split("?")[0].rsplit("/", 1)[1]: one for one in kmock[kmock_module.action.WATCH]}
    assert "nodes" in watched
    for kind in CHILDREN:
        assert watched[kind.plural].params["labelSelector"] == names.FLEET_LABEL


@pytest.mark.kmock(cls=Emulator)
async def test_an_object_that_somebody_deletes_is_made_again(kmock: Any, operator: Operator) -> None:
    kmock.objects[key(SHARD_FLEETS, "arena")] = body()
    await until(lambda: key(PODS, "arena-1") in kmock.objects)
    await operator.api.delete(SECRETS, "play", "arena-redis")
    await until(lambda: not kmock.objects[key(SECRETS, "arena-redis")].deleted)


@pytest.mark.kmock(cls=Emulator)
async def test_a_node_that_is_cordoned_is_known(kmock: Any, operator: Operator) -> None:
    worker = kmock_module.resource("", "v1", "nodes"), None, "worker-1"
    kmock.objects[worker] = {"metadata": {"name": "worker-1", "resourceVersion": "1"}, "spec": {"unschedulable": True}}
    await until(lambda: operator.fleets.nodes.reasons == {"worker-1": "is cordoned"})
