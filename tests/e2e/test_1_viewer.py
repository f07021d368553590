"""``kubectl shardfleet`` as somebody who has the rights of ClusterRole shardfleet-viewer and no others."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from shardfleet_operator.map.frame import decode
from shardfleet_operator.map.guard import PROTOCOL

from .fleets import LiveFleet, fleet
from .kubectl import Refused, run, until
from .release import SYSTEM, WORLDS, Release

USER = "viewer@e2e.shardfleet.dev"


@pytest.fixture(scope="module")
def seen(release: Release) -> Iterator[LiveFleet]:
    """A fleet, and a user who may look at it."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "shardfleet-e2e-viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "shardfleet-viewer"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    }
    release.system.apply(binding)
    live = LiveFleet(kubectl=release.worlds, name="seen")
    release.worlds.apply(fleet("seen", replicas=2))
    try:
        live.wait_settled(2, entities=50, timeout_s=120)
        yield live
    finally:
        live.delete(timeout_s=120)
        release.system("delete", "clusterrolebinding", "shardfleet-e2e-viewer")


def look(*words: str, release: Release) -> str:
    """``kubectl shardfleet``, which kubectl finds on the PATH, beside the Python that runs this."""
    program = Path(sys.executable).with_name("kubectl-shardfleet")
    path = f"{Path(release.tools.kubectl).parent}{os.pathsep}{os.environ['PATH']}"
    user = ("-n", WORLDS, "--as", USER)
    return run(["env", f"PATH={path}", str(program), *words, *user], timeout_s=60)


def test_status(release: Release, seen: LiveFleet) -> None:
    said = look("status", "seen", release=release)
    assert "seen-0" in said and "seen-1" in said
    assert json.loads(look("status", "seen", "--json", release=release))


def test_transfers(release: Release, seen: LiveFleet) -> None:
    json.loads(look("transfers", "seen", "--json", release=release))


def test_entity(release: Release, seen: LiveFleet) -> None:
    said = look("entity", "17", "seen", release=release)
    assert "seen-0" in said or "seen-1" in said


def test_watch(release: Release, seen: LiveFleet) -> None:
    lines = look("watch", "seen", "--ids", "1,2,3", "--duration", "4s", "--json", release=release).splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["entity"] for row in rows if "entity" in row} == {1, 2, 3}


def test_map(release: Release, seen: LiveFleet) -> None:
    assert shards_on_map("seen", release=release) == {"seen-0", "seen-1"}


def test_map_of_a_fleet_with_a_redis_of_its_own(release: Release, seen: LiveFleet) -> None:
    """The chart's map does not read that; the fleet gets a map of its own, and a viewer's rights are enough for it."""
    url = release.system.json("get", "secret", "shardfleet-redis")["data"]["url"]
    release.worlds.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "redis-of-apart"}, "data": {"url": url}},
        fleet("apart", replicas=1, redis={"urlSecretRef": {"name": "redis-of-apart"}}),
    )
    apart = LiveFleet(kubectl=release.worlds, name="apart")
    try:
        apart.wait_settled(1, entities=50, timeout_s=120)
        with pytest.raises(Refused, match="has a Redis of its own"):
            look("map", "apart", "--no-open", release=release)
        apart.patch({"map": "Enabled"})
        until("a map", lambda: release.worlds.exists("deployment", "apart-map"), timeout_s=60)
        release.worlds("rollout", "status", "deployment/apart-map", "--timeout=90s")
        assert shards_on_map("apart", release=release) == {"apart-0"}
        apart.patch({"map": "Disabled"})
        until("no map", lambda: not release.worlds.exists("deployment", "apart-map"), timeout_s=60)
        apart.wait_settled(1, entities=50, timeout_s=60)
    finally:
        apart.delete(timeout_s=120)
        release.worlds("delete", "secret", "redis-of-apart")


def shards_on_map(name: str, *, release: Release) -> set[str]:
    """The page is served, and says where all entities are, to who knows the token alone."""
    program = str(Path(sys.executable).with_name("kubectl-shardfleet"))
    path = f"{Path(release.tools.kubectl).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [program, "map", name, "--no-open", "-n", WORLDS, "--as", USER],
        env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("the map is at http://127.0.0.1:"), line
        address = urlsplit(line.removeprefix("the map is at ").strip())
        given = {name: values[0] for name, values in parse_qs(address.fragment).items()}
        frame = asyncio.run(first_whole_frame(f"http://{address.netloc}", given["fleet"], given["token"], entities=50))
        return {shard["name"] for shard in frame["shards"]}
    finally:
        process.terminate()
        process.communicate()


async def first_whole_frame(url: str, fleet: str, token: str, *, entities: int) -> dict[str, Any]:
    """The map's first frame with so many entities."""
    path = f"{url}/api/fleets/{fleet}"
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        async with session.get(f"{path}/history") as refused:
            assert refused.status == 401
        async with session.ws_connect(f"{path}/live", protocols=[PROTOCOL, f"token.{token}"]) as socket:
            while True:
                await socket.send_str("next")
                while (message := await socket.receive()).type is aiohttp.WSMsgType.BINARY:
                    meta, _ = decode(message.data)
                    if meta["type"] == "frame" and meta["entities"] == entities:
                        return meta
                assert message.type is aiohttp.WSMsgType.TEXT, message


def test_logs(release: Release, seen: LiveFleet) -> None:
    said = look("logs", "seen", "--tail", "5", release=release)
    assert any(line.startswith("seen-0") for line in said.splitlines())


def test_logs_follow(release: Release, seen: LiveFleet) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            [Path(sys.executable).with_name("kubectl-shardfleet"), "logs", "seen", "-f", "-n", WORLDS, "--as", USER],
            timeout=5,
            capture_output=True,
            check=True,
        )


@pytest.mark.parametrize("words", [("get", "secrets"), ("delete", "sf", "seen"), ("get", "secrets", "-n", SYSTEM)])
def test_a_viewer_changes_nothing_and_reads_no_password(
    release: Release, seen: LiveFleet, words: tuple[str, ...]
) -> None:
    with pytest.raises(Refused, match="forbidden"):
        release.worlds(*words, "--as", USER)
