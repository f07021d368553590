"""``kubectl shardfleet map``: how it is told the way, with a kubectl that forwards nowhere but here."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from shardfleet_operator.cli import remote_map
from shardfleet_operator.cli.forward import Cluster
from shardfleet_operator.inspection import FleetSight, Inspection, MapSight
from shardfleet_operator.serving import served

from tests.integration.map.stand_in import Circles, PaintedFeeds
from tests.patience import PATIENCE_S

from .test_inspection import Kubectl, pod

TOKEN = "a-token-of-the-tests-0123456789"
SELECTOR = "app.kubernetes.io/instance=shardfleet,app.kubernetes.io/component=map"

Begin = Callable[..., Awaitable[Kubectl]]


PATCH = """kubectl patch sf arena -n play --type merge -p '{"spec":{"map":"Enabled"}}'"""
CHARTS = MapSight(own=False, own_redis=False, selector="", token="")
OWN = MapSight(own=True, own_redis=True, selector="shardfleet.dev/map=arena", token=TOKEN)


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    """Begins an operator's inspection port and a map, and gives the command with a kubectl that finds both."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "token").write_text(TOKEN)
    (secret / "selector").write_text(SELECTOR)
    async with AsyncExitStack() as stack:

        async def start(
            *,
            map_folder: Path | None = secret,
            fleet: str = "play.arena",
            token: str = TOKEN,
            sight: MapSight = CHARTS,
        ) -> Kubectl:
            def look(namespace: str, name: str) -> FleetSight:
                assert (namespace, name) == ("play", "arena")
                return cast(FleetSight, SimpleNamespace(map=sight))

            application = Inspection(look, map_folder=map_folder).application()
            inspection = await stack.enter_async_context(served("--inspection", "127.0.0.1:0", application))
            page = await stack.enter_async_context(PaintedFeeds(Circles(50), name=fleet).served(token=token))
            kubectl = Kubectl(tmp_path / "bin", inspection.rpartition(":")[2])
            (kubectl.folder / "map-port").write_text(page.rstrip("/").rpartition(":")[2])
            return kubectl

        yield start


async def test_it_says_the_address_and_forwards_until_ctrl_c(begin: Begin) -> None:
    kubectl = await begin()
    process = await kubectl.start("map", "--port", "7373", "--as", "eve")
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        line = (await process.stdout.readline()).decode()
    address = urlsplit(line.removeprefix("the map is at ").strip())
    assert parse_qs(address.fragment) == {"fleet": ["play.arena"], "token": [TOKEN]}
    assert (address.query, address.path) == ("", "/")
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.get(f"http://{address.netloc}/api/fleets") as answer,
    ):
        assert await answer.json() == {"fleets": ["play.arena"]}
    asked = [call.removeprefix("--as=eve ") for call in kubectl.calls]
    assert f"get pods -n system -l {SELECTOR} -o json" in asked
    assert asked[-1] == "port-forward -n system --address=127.0.0.1 operator-0 7373:8090"
    assert TOKEN not in "".join(kubectl.calls)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(PATIENCE_S):
        output, errors = await process.communicate()
    assert (process.returncode, output, errors) == (0, b"", b"")
    with pytest.raises(ProcessLookupError):
        os.kill(int((kubectl.folder / "forward.pid").read_text()), 0)


async def test_a_map_of_the_fleets_own_is_in_the_fleets_namespace(begin: Begin) -> None:
    kubectl = await begin(map_folder=None, sight=OWN)
    process = await kubectl.start("map")
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        line = (await process.stdout.readline()).decode()
    assert parse_qs(urlsplit(line.strip()).fragment) == {"fleet": ["play.arena"], "token": [TOKEN]}
    assert f"get pods -n play -l {OWN.selector} -o json" in kubectl.calls
    assert kubectl.calls[-1].startswith("port-forward -n play ")
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(PATIENCE_S):
        await process.communicate()


async def test_a_forward_that_ends_is_said(begin: Begin) -> None:
    kubectl = await begin()
    process = await kubectl.start("map")
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        await process.stdout.readline()
        os.kill(int((kubectl.folder / "forward.pid").read_text()), signal.SIGTERM)
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"port-forward ended: the map's pod was replaced" in errors


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"map_folder": None}, "the chart was installed without the map, which map.enabled=true brings"),
        ({"map_folder": None}, f"; or give this fleet one of its own: {PATCH}"),
        (
            {"sight": replace(CHARTS, own_redis=True)},
            "fleet play/arena has a Redis of its own (spec.redis), which the chart's map does not read; "
            f"give it a map of its own: {PATCH}",
        ),
        ({"sight": replace(OWN, token="")}, "the map of fleet play/arena is not made yet: ask again; if it stays so"),
        ({"map_folder": Path("nowhere")}, "the Secret of the chart's map cannot be read: No such file or directory"),
        ({"fleet": "play.other"}, "no fleet play.arena in the Redis that the map reads: ask again once it"),
        ({"token": f"{TOKEN}-of-yesterday"}, "the map answers 401: the token is missing or wrong"),
    ],
)
async def test_what_can_be_wrong(begin: Begin, how: dict[str, object], words: str) -> None:
    kubectl = await begin(**how)
    code, output, errors = await kubectl.run("map", "arena")
    assert (code, output) == (2, "")
    assert words in errors and TOKEN not in errors


async def test_a_map_that_is_not_ready(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = await begin()
    monkeypatch.setenv("PATH", f"{kubectl.folder}:/usr/bin:/bin")
    kubectl.pods(pod("map-0", ready=False))
    with pytest.raises(Exception, match="the map's pod in namespace system is not ready"):
        await Cluster().map_pod("system", SELECTOR)
    kubectl.pods()
    with pytest.raises(Exception, match="the map's pod in namespace system is not there"):
        await Cluster().map_pod("system", SELECTOR)


def test_a_browser_is_shown_the_way_by_a_file_that_others_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(remote_map.webbrowser, "open", lambda url: opened.append(url))
    address = f"http://127.0.0.1:7373/#fleet=play.arena&token={TOKEN}"
    with remote_map._opened(address):
        [url] = opened
        assert url.startswith("file://") and TOKEN not in url
        page = Path(urlsplit(url).path)
        assert page.stat().st_mode & 0o777 == 0o600
        assert f"url=http://127.0.0.1:7373/#fleet=play.arena&amp;token={TOKEN}" in page.read_text()
    assert not page.exists()
