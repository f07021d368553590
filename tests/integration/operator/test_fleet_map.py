"""A fleet's own live map: there while the spec asks for it, and never in the fleet's way."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from shardfleet_operator.inspection import Inspection
from shardfleet_operator.kube import DEPLOYMENTS, EVENTS, SHARD_FLEETS
from shardfleet_operator.serving import served

from tests.patience import PATIENCE_S

from .bench import HollowBench
from .fake_cluster import fleet
from .test_inspection import get
from .test_survival import bench

__all__ = ["bench"]

OBJECTS = [("Deployment", "arena-map"), ("NetworkPolicy", "arena.map"), ("Secret", "arena-map")]


def there(bench: HollowBench) -> list[tuple[str, str]]:
    return sorted((kind, name) for kind, _, name in bench.cluster.objects if (kind, name) in OBJECTS)


def token(bench: HollowBench) -> str:
    return base64.b64decode(bench.cluster.objects["Secret", "play", "arena-map"]["data"]["token"]).decode()


def revision(bench: HollowBench) -> str:
    [annotation] = bench.cluster.of_kind(DEPLOYMENTS)["arena-map"]["spec"]["template"]["metadata"][
        "annotations"
    ].values()
    return str(annotation)


def said(bench: HollowBench) -> list[str]:
    events = bench.cluster.of_kind(EVENTS).values()
    return [event["message"] for event in events if event["reason"] == "MapNotMade"]


def own_redis(bench: HollowBench) -> dict[str, Any]:
    """A Secret with a Redis URL, and the spec that names it."""
    data = {"uri": base64.b64encode(bench.server.limited_url.encode()).decode()}
    metadata = {"name": "theirs", "namespace": "play"}
    bench.cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data, "spec": {}})
    return {"urlSecretRef": {"name": "theirs", "key": "uri"}}


async def access(bench: HollowBench, *, chart: Path | None = None) -> tuple[int, dict[str, Any]]:
    application = Inspection(bench.fleets.look, map_folder=chart).application()
    async with served("--inspection", "127.0.0.1:0", application) as address:
        return await get(f"http://{address}/fleets/play/arena/map")


async def test_it_comes_and_goes_with_the_spec(bench: HollowBench) -> None:
    redis = own_redis(bench)
    bench.cluster.put(fleet(redis=redis))
    await bench.until(bench.is_available)
    assert there(bench) == []
    status, answer = await access(bench)
    assert status == 404 and "kubectl patch sf arena -n play --type merge" in answer["error"]

    bench.cluster.put(fleet(redis=redis, map="Enabled"))
    await bench.until(lambda: there(bench) == OBJECTS)
    await bench.until(lambda: bench.is_settled(2))
    first = token(bench)
    expected = {"namespace": "play", "selector": "shardfleet.dev/map=arena", "token": first}
    assert await access(bench) == (200, expected)

    bench.cluster.put(fleet(redis=redis, map="Disabled"))
    await bench.until(lambda: ("Deployment", "arena-map") not in there(bench))
    assert (await access(bench))[0] == 404

    bench.cluster.put(fleet(redis=redis, map="Enabled"))
    await bench.until(lambda: there(bench) == OBJECTS)
    assert token(bench) == first
    bench.cluster.delete_now(bench.fleet())
    await bench.until(lambda: "arena" not in bench.cluster.of_kind(SHARD_FLEETS))
    assert there(bench) == []


async def test_an_operator_that_is_replaced_changes_nothing_of_it_and_ends_what_is_not_wanted(
    bench: HollowBench,
) -> None:
    bench.cluster.put(fleet(map="Enabled"))
    await bench.until(lambda: there(bench) == OBJECTS)
    await bench.until(lambda: bench.is_settled(2))
    before = {key: bench.cluster.objects[key[0], "play", key[1]] for key in OBJECTS}
    await bench.fleets.close()
    bench.fleets = bench.operator()
    bench.cluster.calls.clear()
    await bench.until(lambda: bench.cluster.calls.get(("apply", "Deployment")))
    assert {key: bench.cluster.objects[key[0], "play", key[1]] for key in OBJECTS} == before

    await bench.fleets.close()
    bench.cluster.put(fleet(map="Disabled"))
    bench.fleets = bench.operator()
    await bench.until(lambda: "arena-map" not in bench.cluster.of_kind(DEPLOYMENTS))


async def test_a_token_that_was_deleted_is_made_anew_and_the_map_started_anew(bench: HollowBench) -> None:
    bench.cluster.put(fleet(map="Enabled"))
    await bench.until(lambda: there(bench) == OBJECTS)
    old, before = token(bench), revision(bench)
    bench.cluster.remove(bench.cluster.objects["Secret", "play", "arena-map"])
    await bench.until(lambda: there(bench) == OBJECTS and revision(bench) != before)
    assert token(bench) != old
    await bench.until(lambda: bench.fleets.look("play", "arena").map.token == token(bench))


@pytest.mark.parametrize("cause", ["refused", "somebody's"])
async def test_a_map_that_cannot_be_made_holds_nothing_up(bench: HollowBench, cause: str) -> None:
    foreign = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "arena-map", "namespace": "play"},
        "spec": {"replicas": 3},
    }  # fmt: skip
    if cause == "refused":
        bench.cluster.refuse = lambda verb, body: "exceeded quota" if body["kind"] == DEPLOYMENTS.kind else None
    else:
        bench.cluster.put(foreign)
    bench.cluster.put(fleet(map="Enabled"))
    await bench.until(lambda: said(bench) and bench.is_settled(2))
    assert bench.reason("Degraded") == "AsExpected"
    [words] = said(bench)
    assert ("exceeded quota" if cause == "refused" else "arena-map is there already") in words
    status, answer = await access(bench)
    assert status == 503 and "kubectl describe sf arena -n play" in answer["error"]
    if cause != "refused":
        bench.cluster.put(fleet(map="Disabled"))
        await bench.until(lambda: bench.is_settled(2))
        assert bench.cluster.of_kind(DEPLOYMENTS)["arena-map"]["spec"] == foreign["spec"]


async def test_the_charts_map_shows_the_others(bench: HollowBench, tmp_path: Path) -> None:
    bench.cluster.put(fleet())
    await bench.until(bench.is_available)
    (tmp_path / "token").write_text("of-the-chart-0123456789")
    (tmp_path / "selector").write_text("a=b\n")
    expected = {"namespace": "", "selector": "a=b", "token": "of-the-chart-0123456789"}
    assert await access(bench, chart=tmp_path) == (200, expected)


async def test_what_its_pod_runs_shows_this_fleet_alone(bench: HollowBench, tmp_path: Path) -> None:
    """The container's own arguments, and Redis as the fleet's user."""
    bench.cluster.put(fleet(redis=own_redis(bench), map="Enabled"))
    await bench.until(lambda: there(bench) == OBJECTS)
    [container] = bench.cluster.of_kind(DEPLOYMENTS)["arena-map"]["spec"]["template"]["spec"]["containers"]
    (tmp_path / "token").write_text(token(bench))
    words = [word.replace("/etc/shardfleet-map", str(tmp_path)) for word in container["args"]]
    words = [word.replace("0.0.0.0:8090", "127.0.0.1:0") for word in words]
    assert words != container["args"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shardfleet_operator.cli", *words),
        env={**os.environ, container["env"][0]["name"]: bench.server.limited_url},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = (await process.stdout.readline()).decode()
        url = line.removeprefix("the map is at ").strip()
        headers = {"Authorization": f"Bearer {token(bench)}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{url}api/fleets") as answer:
            assert (answer.status, await answer.json()) == (200, {"fleets": ["play.arena"]})
        assert (await get(f"{url}api/fleets"))[0] == 401
    finally:
        process.terminate()
        await process.wait()
