"""Shards as real child processes, with a small script in the shard's place."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from shardfleet_operator.plan import (
    ConfirmEnded,
    FailFleet,
    ProcessState,
    RestartShard,
    StartShard,
    StopShard,
    Wait,
    WriteLayout,
    first_layout,
)
from shardfleet_operator.platforms import Performed, Platform, perform
from shardfleet_operator.platforms.local import LocalOptions, LocalPlatform, LocalProcess
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.errors import InvariantError, StoreUnavailable
from shardfleet_shard.system_clock import SystemClock

from tests.patience import PATIENCE_S

FAKE_SHARD = """
import os, signal, sys, time
print("arguments", *sys.argv[1:], "redis", os.environ["SHARDFLEET_REDIS_URL"], flush=True)
kind = os.environ["FAKE_KIND"]
if kind == "fails":
    print("2026-11-24 08:27:49,001 ERROR arena-1 a.module: the simulation 'x' cannot go on\\n", file=sys.stderr)
    sys.exit(4)
signal.signal(signal.SIGTERM, signal.SIG_IGN if kind == "hangs" else lambda *_: sys.exit(0))
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


class Told:
    """Stands for Redis: what it was told."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, int]] = []
        self.layouts: list[Layout] = []
        self.refuse = 0

    async def ended(self, shard: str, epoch: int) -> None:
        if self.refuse:
            self.refuse -= 1
            raise StoreUnavailable("no answer")
        self.ends.append((shard, epoch))

    async def write_layout(self, layout: Layout) -> None:
        self.layouts.append(layout)

    async def take_over(self, shard: str, epoch: int, *, gone: str, gone_epoch: int, unix_us: int) -> str:
        raise AssertionError(f"{shard} was to take over {gone}")


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
            tls=tmp_path / "tls",
            command=(sys.executable, "-I", "-S", str(script)),
        )
        made.append(LocalPlatform(options, SystemClock(), told.ended, environment={**os.environ, "FAKE_KIND": kind}))
        return made[-1]

    yield platform
    for one in made:
        await one.end_all(term_s=0.0)


async def _ready(log: Path, times: int = 1) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while (text := _read(log)).count("ready") < times:
        assert time.monotonic() < deadline, f"{log} says: {text}"
        await asyncio.sleep(0.02)
    return text


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_a_shard_gets_its_arguments_and_the_url_only_in_its_environment(make: Make, tmp_path: Path) -> None:
    platform: Platform = make("obeys")
    await platform.start_shard(2)
    said = await _ready(tmp_path / "arena-2.log")
    arguments = said.splitlines()[0].split(" redis ")[0]
    assert arguments == (
        f"arguments --shard arena-2 --ordinal 2 --config {tmp_path}/config.json --listen 127.0.0.1:0 "
        f"--parent-pid {os.getpid()} "
        f"--trace {tmp_path}/trace --tls {tmp_path}/tls"
    )
    assert "redis unix:///secret" in said
    (seen,) = platform.processes
    assert (seen.shard, seen.running, seen.starts) == ("arena-2", True, 1)
    if command_line := _read(Path(f"/proc/{seen.pid}/cmdline")):
        assert "secret" not in command_line
        assert os.getsid(seen.pid) == seen.pid, "a terminal's Ctrl-C must not reach it"


async def test_starting_a_running_shard_changes_nothing(make: Make) -> None:
    platform = make("obeys")
    await platform.start_shard(0)
    before = platform.processes
    await platform.start_shard(0, restarts=7)
    assert platform.processes == before


async def test_all_end_in_order(make: Make, tmp_path: Path) -> None:
    platform = make("obeys")
    for ordinal in (1, 0):
        await platform.start_shard(ordinal)
    for ordinal in (0, 1):
        await _ready(tmp_path / f"arena-{ordinal}.log")
    await platform.stop_shard(0)
    assert [process.state for process in platform.observe()] == [ProcessState.STOPPING, ProcessState.RUNNING]
    assert await platform.end_all(term_s=PATIENCE_S) == []
    assert [(process.state, process.exit_code) for process in platform.observe()] == [(ProcessState.ENDED, 0)] * 2


async def test_one_that_does_not_end_is_killed_and_named(make: Make, tmp_path: Path) -> None:
    platform = make("hangs")
    await platform.start_shard(0)
    await _ready(tmp_path / "arena-0.log")
    (late,) = await platform.end_all(term_s=0.1)
    assert late.shard == "arena-0"
    (process,) = platform.observe()
    assert (process.exit_code, process.detail) == (-signal.SIGKILL, "SIGKILL")


async def test_an_end_is_told_only_when_it_was_seen(make: Make, told: Told, tmp_path: Path) -> None:
    platform = make("obeys")
    await platform.start_shard(0)
    await _ready(tmp_path / "arena-0.log")
    with pytest.raises(InvariantError, match="arena-0 runs"):
        await platform.confirm_ended("arena-0", 5)
    os.kill(platform.processes[0].pid, signal.SIGKILL)
    await platform.wait_for_all(PATIENCE_S)
    await platform.confirm_ended("arena-0", 5)
    assert told.ends == [("arena-0", 5)]
    await platform.start_shard(0, restarts=1)
    (again,) = platform.processes
    assert (again.starts, again.running, again.process.restarts) == (2, True, 1)
    await _ready(tmp_path / "arena-0.log", times=2)


async def test_last_words_of_this_process_alone(make: Make) -> None:
    platform = make("fails")
    announced: list[LocalProcess] = []
    platform._on_end = announced.append
    for _ in range(2):
        await platform.start_shard(1)
        await platform.wait_for_all(PATIENCE_S)
    assert platform.observe()[0].detail == "exit code 4: the simulation 'x' cannot go on"
    assert [one.process.exit_code for one in announced] == [4, 4]


async def test_an_epoch_from_before_the_start_is_anothers(make: Make) -> None:
    platform = make("obeys")
    await platform.start_shard(0)
    platform.learn_epoch("arena-0", platform.observe()[0].started_us - 1)
    assert platform.observe()[0].epoch == 0
    later = platform.observe()[0].started_us + 1
    platform.learn_epoch("arena-0", later)
    assert platform.observe()[0].epoch == later


async def test_a_plan_is_carried_out_in_order(make: Make, told: Told) -> None:
    platform: Platform = make("obeys")
    said: list[str] = []
    layout = first_layout(FleetConfig(name="arena", replicas=2))
    done = await perform(
        [
            WriteLayout(layout=layout),
            ConfirmEnded(shard="arena-1", epoch=3),
            StartShard(shard="arena-0", ordinal=0),
            RestartShard(shard="arena-1", ordinal=1, restarts=2, reason="SIGKILL"),
            StopShard(shard="arena-0", ordinal=0),
            Wait(until_us=77),
        ],
        platform,
        told,
        say=said.append,
    )
    assert done == Performed(failed="", look_again_us=77)
    assert (told.layouts, told.ends) == ([layout], [("arena-1", 3)])
    stopping, running = platform.observe()  # what is told to stop before it can listen has ended by now, maybe
    assert (stopping.shard, stopping.restarts) == ("arena-0", 0) and stopping.state is not ProcessState.RUNNING
    assert (running.shard, running.state, running.restarts) == ("arena-1", ProcessState.RUNNING, 2)
    assert said == ["arena-1 is started again: SIGKILL"]
    assert (await perform([FailFleet(reason="no use")], platform, told)).failed == "no use"


async def test_a_plan_stops_at_the_first_failure(make: Make, told: Told) -> None:
    platform = make("obeys")
    told.refuse = 1
    with pytest.raises(StoreUnavailable):
        await perform([ConfirmEnded(shard="arena-0", epoch=1), StartShard(shard="arena-0", ordinal=0)], platform, told)
    assert platform.observe() == []
