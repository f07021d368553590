"""Shards as real child processes, with a small script in the shard's place."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from shardfleet_operator.platforms import Platform, ShardProcess
from shardfleet_operator.platforms.local import LocalOptions, LocalPlatform
from shardfleet_shard.errors import StoreUnavailable
from shardfleet_shard.system_clock import SystemClock

FAKE_SHARD = """
import os, signal, sys, time
print("arguments", *sys.argv[1:], "redis", os.environ["SHARDFLEET_REDIS_URL"], flush=True)
kind = os.environ["FAKE_KIND"]
if kind == "fails":
    sys.exit(4)
signal.signal(signal.SIGTERM, signal.SIG_IGN if kind == "hangs" else lambda *_: sys.exit(0))
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


class Told:
    """Stands for Redis: which shards' ends it was told."""

    def __init__(self) -> None:
        self.shards: list[str] = []
        self.refuse = 0

    async def ended(self, shard: str) -> None:
        if self.refuse:
            self.refuse -= 1
            raise StoreUnavailable("no answer")
        self.shards.append(shard)


Make = Callable[[str], LocalPlatform]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def make(tmp_path: Path, told: Told) -> AsyncIterator[Make]:
    script = tmp_path / "fake_shard.py"
    script.write_text(FAKE_SHARD)
    made: list[LocalPlatform] = []

    def platform(kind: str) -> LocalPlatform:
        options = LocalOptions(
            fleet="arena",
            config=tmp_path / "config.json",
            logs=tmp_path,
            redis_url="unix:///secret",
            trace=tmp_path / "trace",
            command=(sys.executable, "-I", "-S", str(script)),
        )
        made.append(LocalPlatform(options, SystemClock(), told.ended, environment={**os.environ, "FAKE_KIND": kind}))
        return made[-1]

    yield platform
    for one in made:
        await one.end_all(term_s=0.0)


async def _ready(log: Path, times: int = 1) -> str:
    for _ in range(200):
        if (text := _read(log)).count("ready") >= times:
            return text
        await asyncio.sleep(0.02)
    raise AssertionError(f"{log} says: {_read(log)}")


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_a_shard_gets_its_arguments_and_the_url_only_in_its_environment(make: Make, tmp_path: Path) -> None:
    platform: Platform = make("obeys")
    await platform.start_shard(2)
    said = await _ready(tmp_path / "arena-2.log")
    arguments = said.splitlines()[0].split(" redis ")[0]
    assert arguments == (
        f"arguments --shard arena-2 --ordinal 2 --config {tmp_path}/config.json --listen 127.0.0.1:0 "
        f"--trace {tmp_path}/trace"
    )
    assert "redis unix:///secret" in said
    (seen,) = platform.observe()
    assert (seen.shard, seen.running, seen.starts) == ("arena-2", True, 1)
    if command_line := _read(Path(f"/proc/{seen.pid}/cmdline")):
        assert "secret" not in command_line
        assert os.getsid(seen.pid) == seen.pid, "a terminal's Ctrl-C must not reach it"


async def test_starting_a_running_shard_changes_nothing(make: Make) -> None:
    platform = make("obeys")
    await platform.start_shard(0)
    before = platform.observe()
    await platform.start_shard(0)
    assert platform.observe() == before


async def test_all_end_in_order(make: Make, tmp_path: Path) -> None:
    platform = make("obeys")
    for ordinal in (0, 1):
        await platform.start_shard(ordinal)
    for ordinal in (0, 1):
        await _ready(tmp_path / f"arena-{ordinal}.log")
    assert await platform.end_all(term_s=5.0) == []
    assert [seen.exit_code for seen in platform.observe()] == [0, 0]


async def test_one_that_does_not_end_is_killed_and_named(make: Make, tmp_path: Path) -> None:
    platform = make("hangs")
    await platform.start_shard(0)
    await _ready(tmp_path / "arena-0.log")
    (late,) = await platform.end_all(term_s=0.1)
    assert late.shard == "arena-0"
    assert platform.observe()[0].exit_code == -signal.SIGKILL


async def test_redis_is_told_of_an_end_before_the_restart(make: Make, told: Told, tmp_path: Path) -> None:
    platform = make("obeys")
    await platform.start_shard(0)
    await _ready(tmp_path / "arena-0.log")
    with pytest.raises(ValueError, match="still runs"):
        await platform.confirm_ended(0)
    os.kill(platform.observe()[0].pid, signal.SIGKILL)
    await platform.wait_for_all(5.0)
    told.refuse = 1
    with pytest.raises(StoreUnavailable):
        await platform.start_shard(0)
    assert not platform.observe()[0].running, "its lease may still stand"
    await platform.start_shard(0)
    assert told.shards == ["arena-0"]
    assert (platform.observe()[0].starts, platform.observe()[0].running) == (2, True)
    await _ready(tmp_path / "arena-0.log", times=2)


async def test_an_end_is_told_once(make: Make, told: Told) -> None:
    platform = make("fails")
    await platform.start_shard(0)
    await platform.wait_for_all(5.0)
    assert platform.observe()[0].exit_code == 4
    await platform.confirm_ended(0)
    await platform.confirm_ended(0)
    assert told.shards == ["arena-0"]
    assert platform.observe()[0].end_confirmed


async def test_ends_are_announced(tmp_path: Path, told: Told, make: Make) -> None:
    announced: list[ShardProcess] = []
    platform = make("fails")
    platform._on_end = announced.append
    await platform.start_shard(1)
    await platform.wait_for_all(5.0)
    assert [(seen.shard, seen.exit_code) for seen in announced] == [("arena-1", 4)]
