"""A roll to an image whose simulation has other columns, with real shards on a real Redis."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shardfleet_operator.checker import check_directory
from shardfleet_operator.kube import PODS, SHARD_FLEETS
from shardfleet_operator.plan.plan import backoff_us
from shardfleet_shard.core.journal_requests import FleetRecords, ReadFleet, ShardRecord
from shardfleet_shard.core.manifest import AuthorityManifest
from shardfleet_shard.store.redis_store import RedisStore

from tests.patience import PATIENCE_S

from ..plugin_versions import VERSIONS, install
from .bench import CLOCK
from .fake_cluster import fleet
from .test_worker import Bench, bench

__all__ = ["bench"]


ENTITIES = 50
BUSY = ("RedisUnavailable", "CellsUnclaimed")
"""What a busy machine may be for a moment: a Redis that does not answer in time, a shard that does not ask in time."""
SIMULATION = {"name": "drift", "seedEntities": ENTITIES}


def with_images(bench: Bench, folder: Path) -> None:
    assert bench.cluster.kubelet is not None
    bench.cluster.kubelet.images = {f"drift:{name}": install(folder, name) for name in VERSIONS}


def use_image(bench: Bench, image: str) -> None:
    body = bench.fleet()
    bench.cluster.put({**body, "spec": {**body["spec"], "image": image}})


def owned(bench: Bench) -> int:
    return int((bench.fleet()["status"].get("entities") or {}).get("owned", -1))


def uids(bench: Bench, *shards: str) -> list[str]:
    pods = bench.cluster.of_kind(PODS)
    return [pods[shard]["metadata"]["uid"] for shard in shards if shard in pods]


async def test_a_roll_to_other_columns_stops_before_its_first_pod_and_heals(bench: Bench, tmp_path: Path) -> None:
    with_images(bench, tmp_path)
    bench.cluster.put(fleet(simulation=SIMULATION, image="drift:first"))
    await bench.until(lambda: bench.is_settled(2))
    await bench.until(lambda: (bench.fleet()["status"].get("entities") or {}).get("owned") == ENTITIES)
    before, layout = uids(bench, "arena-0", "arena-1"), bench.fleet()["status"]["layoutVersion"]
    started, began_us = bench.cluster.calls["apply", "Pod"], CLOCK.boottime_us()

    use_image(bench, "drift:second")
    await bench.until(lambda: bench.reason("Degraded") == "SchemaChanged")
    for kind in ("Degraded", "Progressing"):
        one = bench.condition(kind)
        assert one["reason"] == "SchemaChanged", one
        assert "arena-2 cannot join, so no running shard is replaced: age uint32 is new" in one["message"]
        assert "mood float32 became mood float64" in one["message"]
        assert "the fleet has bounces uint32, mood float32, simulation 'drift' has bounces uint32" in one["message"]
        assert "give the simulation an upgrade from the fleet's columns, or put its old image" in one["message"]
    assert bench.condition("Degraded")["status"] == "True" and bench.condition("Progressing")["status"] == "False"

    for _ in range(40):  # while it is tried again, nothing flickers, and nobody else is touched
        await asyncio.sleep(0.1)
        assert uids(bench, "arena-0", "arena-1") == before
        if bench.reason("Available") in BUSY or bench.reason("Degraded") in BUSY:
            continue
        assert bench.reason("Degraded") == bench.reason("Progressing") == "SchemaChanged"
        assert bench.is_available()
    assert bench.fleet()["status"]["layoutVersion"] == layout
    await bench.until(lambda: bench.cluster.calls["apply", "Pod"] - started >= 2)
    tries, passed_us = bench.cluster.calls["apply", "Pod"] - started, CLOCK.boottime_us() - began_us
    assert sum(map(backoff_us, range(tries - 1))) <= passed_us, "it is tried again, ever more rarely"

    use_image(bench, "drift:first")
    await bench.until(lambda: bench.is_settled(2) and bench.reason("Degraded") == "AsExpected")
    assert uids(bench, "arena-0", "arena-1") == before
    assert bench.fleet()["status"]["layoutVersion"] == layout


async def test_a_roll_with_an_upgrade_takes_every_entity_along(bench: Bench, tmp_path: Path) -> None:
    with_images(bench, tmp_path)
    spec = {"simulation": SIMULATION, "trace": {"claimName": "traces"}}
    bench.cluster.put(fleet(image="drift:first", **spec))
    await bench.until(lambda: bench.is_settled(2))
    await bench.until(lambda: owned(bench) == ENTITIES)
    before = uids(bench, "arena-0", "arena-1")

    use_image(bench, "drift:upgrade")
    await bench.until(
        lambda: (
            bench.is_settled(2)
            and not set(uids(bench, *bench.cluster.of_kind(PODS))) & set(before)
            and bench.reason("Degraded") == "AsExpected"
            and owned(bench) == ENTITIES
        )
    )
    store = bench.store()
    try:
        await store.connect()
        known, (schema,) = await store.call([("HGETALL", f"{store.prefix}schemas")]), await newest_schema(store)
        assert known == [[schema, known[0][1]]] and b'["age","<u4",0]' in known[0][1]
        ages: list[NDArray[np.uint32]] = []
        async with asyncio.timeout(PATIENCE_S):
            while sum(map(len, ages)) < ENTITIES - 5:  # others are on their way, and in journals alone
                await asyncio.sleep(0.05)
                records = (await store.execute([ReadFleet()]))[0]
                assert isinstance(records, FleetRecords)
                ages = [ages_of(record) for record in records.records if record.header]
    finally:
        await store.close()
    # Each was upgraded once, and has been simulated with today's columns since.
    assert all((one > 1_000_000).all() for one in ages)

    bench.cluster.delete_now(bench.fleet())
    await bench.until(lambda: "arena" not in bench.cluster.of_kind(SHARD_FLEETS))
    report = check_directory(tmp_path / "trace", bound_s=PATIENCE_S)
    assert report.ok, report.to_text()


async def newest_schema(store: RedisStore) -> list[bytes]:
    return list(await store.call([("HGET", f"{store.prefix}meta", "schema")]))


def ages_of(record: ShardRecord) -> NDArray[np.uint32]:
    manifest = AuthorityManifest.from_chunks(json.loads(record.header), record.chunks)
    return np.asarray(manifest.rows["age"]) if len(manifest.rows) else np.zeros(0, np.uint32)
