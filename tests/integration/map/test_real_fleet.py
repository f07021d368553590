"""The map of a fleet that runs: ``shardfleet local up`` with it, and ``shardfleet map`` beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from shardfleet_operator.map.feeds import Feeds, NoSuchFleet
from shardfleet_operator.map.frame import ABSENT, decode
from shardfleet_operator.map.guard import PROTOCOL
from shardfleet_shard.system_clock import SystemClock

from tests.integration.servers import redis_server
from tests.patience import PATIENCE_S, beside_lateness, kept_up

from .stand_in import answered
from .test_server import Asker

SHARDFLEET = (sys.executable, "-m", "shardfleet_operator.cli")
ORBIT = Path(__file__).parents[3] / "examples" / "orbit.yaml"


def wait(what: str, condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.1)
    return value


@dataclass(frozen=True)
class Running:
    """A fleet on a Redis of its own, as whose limited user it connects. ``url``: its map's."""

    process: subprocess.Popen[str]
    data: Path
    redis_url: str
    url: str


@pytest.fixture(scope="module")
def fleet() -> Iterator[Running]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sf-map-", dir="/tmp")))
        server = stack.enter_context(redis_server("valkey", tcp=True))
        output = folder / "stderr"
        with output.open("w") as stderr:
            process = subprocess.Popen(
                [*SHARDFLEET, "local", "up", "-f", str(ORBIT), "--data", str(folder / "data"), "--report", "json"],
                stdout=subprocess.PIPE, stderr=stderr, text=True,
                env={**os.environ, "SHARDFLEET_REDIS_URL": server.limited_url},
            )  # fmt: skip
        try:
            found = wait("the map", lambda: re.search(r"the map is at (\S+)", output.read_text()))
            yield Running(process, folder / "data", server.limited_url, found[1])
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


@contextlib.asynccontextmanager
async def asked(url: str) -> AsyncIterator[Asker]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}api/fleets/arena/live", protocols=[PROTOCOL]) as socket,
    ):
        yield Asker(socket)


async def settled_frame(asker: Asker) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first frame in which the whole fleet is there, its stream owned and its links known."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            _, frame, arrays = await asker.next()
            if (
                frame is not None
                and frame["entities"] == 50
                and all(one["living"] for one in frame["shards"])
                and sum(one["leader"] for one in frame["shards"]) == 1
                and len(frame["links"]) == 6
            ):
                return frame, arrays


async def test_the_map_of_local_up_shows_the_fleet(fleet: Running) -> None:
    async with asked(fleet.url) as asker:
        frame, arrays = await settled_frame(asker)
        there = arrays["tag"] != ABSENT
        assert (
            sorted(asker.ids[slot] for slot in np.flatnonzero(there).tolist()) == list(range(1, 51))
            or there.sum() == 50
        )
        assert np.hypot(*arrays["position"][there].T) == pytest.approx(45.0, abs=0.5)  # the orbit's radius
        assert frame["world"] == [-120.0, -120.0, 120.0, 120.0]
        assert frame["tick_rate"] == 20
        assert [one["name"] for one in frame["shards"]] == [f"arena-{number}" for number in range(4)]
        assert sorted(cell["path"] for cell in frame["cells"]) == ["00", "01", "10", "11"]


async def test_handoffs_are_seen_and_remembered(fleet: Running) -> None:
    async with asked(fleet.url) as asker, aiohttp.ClientSession() as session:
        await settled_frame(asker)
        transfers, handoffs, states = 0, 0, set()
        async with asyncio.timeout(PATIENCE_S):
            while not (transfers and handoffs > 10):
                _, frame, _ = await asker.next()
                if frame is None:  # a busy machine's Redis does not answer at each moment
                    continue
                transfers += len(frame["transfers"])
                handoffs += sum(line[2] for line in frame["handoffs"])
                states |= {one["state"] for one in frame["transfers"]}
        assert states <= {"started", "accepted", "released", "adopted"}
        longest = 0
        for entity in list(asker.ids.values())[:25]:
            async with session.get(f"{fleet.url}api/fleets/arena/entities/{entity}") as answer:
                owners = (await answer.json())["owners"]
            versions = [one["version"] for one in owners[1:]]
            assert versions == sorted(set(versions))
            longest = max(longest, len(owners))
        assert longest > 1


async def test_all_fleets_of_a_redis_and_no_others(fleet: Running) -> None:
    feeds = Feeds(fleet.redis_url, SystemClock())
    try:
        await feeds.start()
        assert await answered(feeds.names) == ["arena"]
        for name in ("other", "arena:meta", "*", ""):
            with pytest.raises(NoSuchFleet):
                await answered(lambda name=name: feeds.get(name))  # type: ignore[misc]
        feed = await answered(lambda: feeds.get("arena"))
        async with asyncio.timeout(PATIENCE_S):
            while feed.latest is None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        meta, _ = decode(feed.latest.data)
        assert meta["world"] == [-120.0, -120.0, 120.0, 120.0]  # no file says so: its shards do
    finally:
        await feeds.close()


def test_a_map_beside_it(fleet: Running) -> None:
    beside = subprocess.Popen(
        [*SHARDFLEET, "map", "--data", str(fleet.data), "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert beside.stdout is not None
        assert beside.stdout.readline().startswith("the map is at http://127.0.0.1:")
    finally:
        beside.send_signal(signal.SIGINT)
        assert beside.wait(PATIENCE_S) == 0
        beside.communicate()


async def test_a_map_that_dies_comes_back_and_the_fleet_goes_on(fleet: Running) -> None:
    """The last test: at its end the fleet settles."""
    pids = re.findall(r"started the map \(pid (\d+)\)", (fleet.data / "logs" / "supervisor.log").read_text())
    os.kill(int(pids[-1]), signal.SIGKILL)
    await asyncio.to_thread(
        wait,
        "another map",
        lambda: (
            len(re.findall("started the map", (fleet.data / "logs" / "supervisor.log").read_text())) == len(pids) + 1
        ),
    )
    async with asked(fleet.url) as asker:  # the same address
        await settled_frame(asker)
    fleet.process.send_signal(signal.SIGINT)
    report = json.loads((await asyncio.to_thread(fleet.process.communicate, timeout=PATIENCE_S))[0])
    outcome = json.loads((fleet.data / "outcome.json").read_text())
    assert (outcome["faults"] if kept_up(report) else beside_lateness(outcome["faults"])) == [], report
    assert report["entities"]["owned"] == 50
    with pytest.raises(aiohttp.ClientConnectorError):
        async with asked(fleet.url):
            pass
