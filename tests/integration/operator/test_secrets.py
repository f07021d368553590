"""Certificates of many shards, made at once: one authority, one Secret a shard, no more calls than that."""

from __future__ import annotations

import asyncio

from shardfleet_operator.cluster.objects import FleetObjects, RedisSecret
from shardfleet_operator.cluster.secrets import FleetCertificates
from shardfleet_operator.kube import SECRETS, Kind, KubeObject
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.system_clock import SystemClock

from .fake_cluster import FakeCluster

SHARDS = [f"arena-{ordinal}" for ordinal in range(100)]


class SlowCluster(FakeCluster):
    """Every answer takes a turn of the loop, so that calls overlap."""

    async def get(self, kind: Kind, namespace: str, name: str) -> KubeObject | None:
        found = await super().get(kind, namespace, name)
        await asyncio.sleep(0)
        return found


def objects() -> FleetObjects:
    config = FleetConfig(name="arena", namespace="play", replicas=len(SHARDS))
    redis = RedisSecret(name="arena-redis")
    return FleetObjects(namespace="play", name="arena", uid="u", config=config, image="x", redis=redis)


async def test_many_shards_at_once_have_one_authority() -> None:
    cluster = SlowCluster()
    certificates = FleetCertificates(cluster, SystemClock())
    await certificates.renew(objects(), SHARDS)
    made = cluster.of_kind(SECRETS)
    assert len(made) == len(SHARDS) + 1
    trusted = {body["data"]["ca.crt"] for body in made.values()}
    assert len(trusted) == 1, "shards trust different authorities"
    assert cluster.calls == {("get", "Secret"): len(SHARDS) + 1, ("apply", "Secret"): len(SHARDS) + 1}


async def test_an_operator_that_is_replaced_reads_each_secret_once_and_writes_none() -> None:
    cluster = SlowCluster()
    await FleetCertificates(cluster, SystemClock()).renew(objects(), SHARDS)
    cluster.calls.clear()
    certificates = FleetCertificates(cluster, SystemClock())
    await certificates.renew(objects(), SHARDS)
    await certificates.renew(objects(), SHARDS)
    assert cluster.calls == {("get", "Secret"): len(SHARDS) + 1}


async def test_secrets_deleted_while_others_are_made_are_made_as_well() -> None:
    """Each deletion's event comes at another moment of the renewal that the first one began."""
    for moment in range(1, 12):
        cluster = SlowCluster()
        certificates = FleetCertificates(cluster, SystemClock())
        await certificates.renew(objects(), SHARDS[:3])
        wanted = set(cluster.of_kind(SECRETS))

        def delete(shard: str, cluster: SlowCluster = cluster, certificates: FleetCertificates = certificates) -> None:
            cluster.remove(cluster.objects["Secret", "play", f"{shard}-tls"])
            certificates.forget(f"{shard}-tls")

        delete(SHARDS[0])
        renewal = asyncio.create_task(certificates.renew(objects(), SHARDS[:3]))
        for _ in range(moment):
            await asyncio.sleep(0)
        delete(SHARDS[1])
        await renewal
        await certificates.renew(objects(), SHARDS[:3])
        assert set(cluster.of_kind(SECRETS)) == wanted, f"deleted at moment {moment}"
