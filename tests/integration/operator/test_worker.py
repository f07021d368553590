"""A fleet's worker in a cluster of this process, with real shards on a real Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from shardfleet_operator.checker import check_directory
from shardfleet_operator.cluster import names
from shardfleet_operator.kube import (
    CONFIG_MAPS,
    EVENTS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    SHARD_FLEETS,
)
from shardfleet_shard.errors import ShardUnavailable
from shardfleet_shard.net.client import ShardClient
from shardfleet_shard.store.admin import FleetAdmin

from tests.patience import PATIENCE_S

from ..servers import RedisServer
from .bench import CLOCK, Bench
from .fake_cluster import fleet


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    with RedisServer(tcp=True) as server:
        bench = Bench(tmp_path, server)
        try:
            yield bench
        finally:
            await bench.fleets.close()
            assert bench.cluster.kubelet is not None
            await bench.cluster.kubelet.close()
        assert not bench.failures


async def test_a_fleet_comes_up_and_goes_without_a_trace(bench: Bench) -> None:
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)

    assert set(bench.cluster.of_kind(PODS)) == {"arena-0", "arena-1"}
    assert bench.fleet()["metadata"]["finalizers"] == [names.FINALIZER]
    for kind in (CONFIG_MAPS, SECRETS, SERVICES, SERVICE_ACCOUNTS, POD_DISRUPTION_BUDGETS, NETWORK_POLICIES):
        made = next(iter(bench.cluster.of_kind(kind).values()))
        assert made["metadata"]["ownerReferences"][0]["uid"] == bench.fleet()["metadata"]["uid"]

    def is_well() -> bool:
        """All of it by one status: on a busy machine a fleet that was well is not so at each moment after."""
        status = bench.fleet()["status"]
        return (
            status["readyReplicas"] == status["replicas"] == 2
            and (status.get("transfers") or {}).get("completed", 0) > 0
            and (status.get("entities") or {}).get("owned") == status["entities"]["expected"] == 50
            and bench.reason("TransfersHealthy") == bench.reason("Degraded") == "AsExpected"
            and bench.reason("RedisDurable") == "AppendOnly"
        )

    await bench.until(is_well)
    assert not [key for key in bench.fleet()["metadata"].get("annotations", {}) if "kopf" in key]

    bench.cluster.delete_now(bench.fleet())
    await bench.until(lambda: "arena" not in bench.cluster.of_kind(SHARD_FLEETS))
    assert not bench.cluster.of_kind(PODS)
    left = {kind for kind, _, _ in bench.cluster.objects} - {EVENTS.kind}
    assert not left
    store = bench.store()
    try:
        assert await FleetAdmin(store).fleets() == []
    finally:
        await store.close()


async def test_shards_link_by_certificates_alone(bench: Bench) -> None:
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)
    await bench.until(lambda: (bench.fleet()["status"].get("transfers") or {}).get("completed", 0) > 0)
    pod = bench.cluster.of_kind(PODS)["arena-0"]
    assert "--tls" in pod["spec"]["containers"][0]["args"]
    client = ShardClient(f"{pod['status']['podIP']}:7000")
    try:
        with pytest.raises(ShardUnavailable):
            await client.inspect("links")
    finally:
        await client.close()


async def test_a_killed_shard_and_one_deleted_by_hand_come_back(bench: Bench) -> None:
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)
    await _seeded(bench)  # which comes a moment after the cells are claimed
    before = _uids(bench)

    assert bench.cluster.kubelet is not None
    bench.cluster.kubelet.kill("arena-0")
    bench.cluster.delete_now(bench.cluster.of_kind(PODS)["arena-1"])
    await bench.until(lambda: set(_uids(bench).values()).isdisjoint(before.values()) and bench.is_available())
    await bench.until(lambda: len(_uids(bench)) == 2)

    store = bench.store()
    try:
        assert await FleetAdmin(store).entities_expected() == 50
    finally:
        await store.close()


async def _seeded(bench: Bench) -> None:
    store = bench.store()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await FleetAdmin(store).entities_expected() != 50:  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.05)
    finally:
        await store.close()


def _uids(bench: Bench) -> dict[str, str]:
    return {name: body["metadata"]["uid"] for name, body in bench.cluster.of_kind(PODS).items()}


async def test_an_operator_that_is_replaced_changes_nothing(bench: Bench) -> None:
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)
    before, made = _uids(bench), bench.cluster.calls["apply", "Pod"]

    await bench.fleets.close()
    bench.fleets = bench.operator()
    calls = dict(bench.cluster.calls)
    await bench.until(lambda: bench.cluster.calls["apply", "Service"] > calls["apply", "Service"])
    await asyncio.sleep(0.5)
    assert _uids(bench) == before and bench.cluster.calls["apply", "Pod"] == made
    await bench.until(bench.is_available)


async def test_a_deletion_that_began_without_an_operator_is_finished(bench: Bench) -> None:
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)
    await bench.fleets.close()
    bench.cluster.listeners = []
    bench.cluster.delete_now(bench.fleet())
    bench.fleets = bench.operator()
    await bench.until(lambda: "arena" not in bench.cluster.of_kind(SHARD_FLEETS))
    assert not bench.cluster.of_kind(PODS)


async def test_two_fleets_of_one_name_do_not_meet(bench: Bench) -> None:
    bench.cluster.put(fleet(namespace="play", replicas=1))
    bench.cluster.put(fleet(namespace="work", replicas=1, simulation={"seedEntities": 7}))

    def entities(namespace: str) -> int:
        status = bench.cluster.objects["ShardFleet", namespace, "arena"].get("status", {})
        return int((status.get("entities") or {}).get("owned", 0))

    await bench.until(lambda: (entities("play"), entities("work")) == (50, 7))


async def test_what_the_api_server_refuses_is_said_and_heals(bench: Bench) -> None:
    bench.cluster.refuse = lambda verb, body: "exceeded quota: pods=0" if body["kind"] == "Pod" else None
    bench.cluster.put(fleet())
    await bench.until(lambda: bench.reason("Degraded") == "ApiRefused")
    assert "exceeded quota: pods=0" in bench.condition("Degraded")["message"]
    await bench.until(lambda: bench.reason("Available") == "CellsUnclaimed")
    tries, began_us = bench.cluster.calls["apply", "Pod"], CLOCK.boottime_us()
    await asyncio.sleep(1.0)
    passed_s = (CLOCK.boottime_us() - began_us) / 1e6
    assert bench.cluster.calls["apply", "Pod"] - tries <= 2 * passed_s

    bench.cluster.refuse = lambda verb, body: None
    await bench.until(bench.is_available)
    await bench.until(lambda: bench.reason("Degraded") == "AsExpected")


async def test_an_image_that_cannot_be_pulled_is_said_and_replaced(bench: Bench) -> None:
    assert bench.cluster.kubelet is not None
    bench.cluster.kubelet.image_fault = "no such image: nowhere/shardfleet:x"
    bench.cluster.put(fleet(image="nowhere/shardfleet:x"))
    await bench.until(lambda: bench.reason("Degraded") == "ImagePullBackOff")
    assert "no such image" in bench.condition("Degraded")["message"]

    bench.cluster.kubelet.image_fault = ""
    bench.cluster.put(fleet(image="somewhere/shardfleet:y"))
    await bench.until(bench.is_available)


async def test_wrong_parameters_do_not_end_the_fleet(bench: Bench) -> None:
    bench.cluster.put(fleet(simulation={"name": "orbit", "parameters": {"radius": "wide"}}))
    await bench.until(lambda: bench.reason("Degraded") == "ShardFailed")
    assert "radius" in bench.condition("Degraded")["message"]
    bench.cluster.put(fleet(simulation={"name": "orbit", "parameters": {"radius": 40}}))
    await bench.until(bench.is_available)


async def test_a_fleet_grows_rolls_and_shrinks_while_entities_move(bench: Bench, tmp_path: Path) -> None:
    trace = {"trace": {"claimName": "traces"}}
    bench.cluster.put(fleet(replicas=2, **trace))
    await bench.until(lambda: bench.is_settled(2))
    bench.cluster.put(fleet(replicas=4, **trace))
    await bench.until(lambda: bench.is_settled(4))

    before = _uids(bench)
    template = {"metadata": {"labels": {"team": "blue"}}}
    bench.cluster.put(fleet(replicas=4, template=template, **trace))
    bench.cluster.delete_now(bench.cluster.of_kind(PODS)["arena-1"])
    await bench.until(lambda: bench.is_settled(4) and set(_uids(bench).values()).isdisjoint(before.values()))
    assert all(pod["metadata"]["labels"]["team"] == "blue" for pod in bench.cluster.of_kind(PODS).values())

    bench.cluster.put(fleet(replicas=1, template=template, **trace))
    await bench.until(lambda: bench.is_settled(1))
    bench.cluster.delete_now(bench.fleet())
    await bench.until(lambda: "arena" not in bench.cluster.of_kind(SHARD_FLEETS))

    # How long an entity may wait is for the simulation and the end-to-end tests: here others take their turn.
    report = check_directory(tmp_path / "trace", bound_s=PATIENCE_S)
    assert report.ok, report.to_text()


async def test_redis_restarts_under_a_fleet(bench: Bench) -> None:
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)
    await _seeded(bench)
    bench.server.stop()
    await bench.until(lambda: bench.reason("Degraded") == "RedisUnavailable")
    assert bench.reason("Available") == "RedisUnavailable"
    bench.server.start()
    await bench.until(bench.is_available)
    store = bench.store()
    try:
        assert await FleetAdmin(store).entities_expected() == 50
    finally:
        await store.close()


async def test_a_fleet_whose_redis_hangs_can_be_deleted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shardfleet_operator.cluster.deletion.REDIS_PATIENCE_US", 2_000_000)
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)
    assert bench.server.process is not None
    bench.server.process.send_signal(signal.SIGSTOP)
    try:
        bench.cluster.delete_now(bench.fleet())
        assert bench.cluster.kubelet is not None
        await asyncio.sleep(0.5)
        for process in bench.cluster.kubelet.processes.values():
            if process.returncode is None:  # one of before may have been followed by another
                process.kill()  # the grace's end: a shard without Redis cannot resign
        await bench.until(lambda: "arena" not in bench.cluster.of_kind(SHARD_FLEETS))
    finally:
        bench.server.process.send_signal(signal.SIGCONT)
    said = [body for body in bench.cluster.of_kind(EVENTS).values() if body["reason"] == "RedisKeysLeft"]
    assert said and "sf:play.arena:*" in said[0]["message"]


async def test_a_secret_and_a_service_deleted_by_hand_come_back(bench: Bench) -> None:
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)
    for kind in (SECRETS, SERVICES, NETWORK_POLICIES):
        for name, made in bench.cluster.of_kind(kind).items():
            bench.cluster.remove(made)
            await bench.until(lambda kind=kind, name=name: name in bench.cluster.of_kind(kind))
            again = bench.cluster.of_kind(kind)[name]
            if name == "arena-ca":
                assert again["data"] == made["data"], "shards trust another authority"


async def test_an_api_server_that_goes_away_and_comes_back(bench: Bench) -> None:
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)
    bench.cluster.away = True
    assert bench.cluster.kubelet is not None
    bench.cluster.kubelet.kill("arena-0")
    await asyncio.sleep(1.5)
    bench.cluster.come_back()
    await bench.until(lambda: bench.is_available() and bench.fleet()["status"]["readyReplicas"] == 2)
