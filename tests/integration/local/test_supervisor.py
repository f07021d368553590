"""The supervisor from file to report, on a real Valkey, with processes that stand in for shards."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import redis
from shardfleet_operator.local import folder as folder_module
from shardfleet_operator.local import supervisor as supervisor_module
from shardfleet_operator.local.figures import FleetView
from shardfleet_operator.local.folder import DataFolder
from shardfleet_operator.local.status import read_status
from shardfleet_operator.local.supervisor import Outcome, Supervisor, UpOptions
from shardfleet_operator.local.world import World
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.errors import DataFolderError, StoreError, UsageError
from shardfleet_shard.system_clock import SystemClock

from tests.integration.servers import redis_server
from tests.patience import PATIENCE_S

STAND_IN = (sys.executable, str(Path(__file__).with_name("stand_in_shard.py")))


class Recorded:
    """A screen that remembers."""

    interval_s = 0.1

    def __init__(self) -> None:
        self.said: list[str] = []
        self.views: list[FleetView] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def say(self, message: str) -> None:
        self.said.append(message)

    def show(self, view: FleetView, seconds: float) -> None:
        self.views.append(view)


Make = Callable[..., Supervisor]


@pytest.fixture
def data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sf-up-", dir="/tmp") as name:
        yield Path(name) / "data"


@pytest.fixture
def make(data: Path) -> Make:
    def supervisor(kind: str = "", **changes: object) -> Supervisor:
        options = UpOptions(
            file=Path("fleet.yaml"),
            config=FleetConfig(name="arena", replicas=2, seed_entities=0),
            folder=DataFolder(data),
            shard_command=STAND_IN,
        )
        options = dataclasses.replace(options, **changes)  # type: ignore[arg-type]
        return Supervisor(options, SystemClock(), Recorded(), environment={**os.environ, "STAND_IN": kind})

    return supervisor


@asynccontextmanager
async def _running(supervisor: Supervisor) -> AsyncIterator[asyncio.Task[Outcome]]:
    """A fleet that runs; whatever happens, it has ended after the block."""
    task = asyncio.create_task(supervisor.run())
    try:
        waiting = asyncio.create_task(supervisor._runs.wait())
        await asyncio.wait([task, waiting], timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        assert supervisor._runs.is_set(), _screen(supervisor).said
        yield task
    finally:
        if not task.done():
            supervisor._settle.set()
            supervisor._abort.set()
            await asyncio.wait([task], timeout=PATIENCE_S)


def _screen(supervisor: Supervisor) -> Recorded:
    assert isinstance(supervisor.screen, Recorded)
    return supervisor.screen


async def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        await asyncio.sleep(0.025)


async def test_a_run_from_start_to_report(make: Make, data: Path) -> None:
    supervisor, began = make(duration_s=1.0), time.monotonic()
    outcome = await asyncio.wait_for(supervisor.run(), PATIENCE_S)
    passed_s = time.monotonic() - began
    assert (outcome.faults, outcome.exit_code, outcome.note) == ((), 0, "no entity was ever spawned")
    assert outcome.report is not None
    assert outcome.report["shards"] == 2
    assert 1.0 <= outcome.report["seconds"] < passed_s
    assert outcome.report["tick_ms"] == {"p50": 0.5, "p99": 0.5, "max": 0.5}
    assert DataFolder(data).read_report() == (outcome.report, {"exit_code": 0, "faults": [], "note": outcome.note})
    assert [one.process.exit_code for one in supervisor.platform.processes] == [0, 0]
    assert any(view.active == 2 for view in _screen(supervisor).views)
    assert not DataFolder(data).is_running()
    assert supervisor.redis is not None
    assert supervisor.redis.process.returncode == 0


async def test_a_killed_shard_is_started_again_at_once(make: Make) -> None:
    supervisor = make()
    async with _running(supervisor) as task:
        victim = supervisor.platform.processes[1]
        os.kill(victim.pid, signal.SIGKILL)
        await _until(lambda: supervisor.platform.processes[1].starts == 2, "a second start")
        seen = _screen(supervisor).views
        await _until(lambda: seen[-1].shards[1].restarts == 1 and seen[-1].active == 2, "both are active again")
        status = await read_status(supervisor.folder)
        assert (status.pid, len(status.view.shards), status.view.shards[1].restarts) == (os.getpid(), 2, 1)
        assert status.to_text().startswith("arena (pid ")
        supervisor.interrupt()
        outcome = await task
    assert outcome.faults == ()
    assert "arena-1 is started again: SIGKILL" in _screen(supervisor).said


async def test_the_world_goes_on_and_fresh_forgets_it(make: Make, data: Path) -> None:
    counted = []
    for fresh in (False, False, True):
        supervisor = make(duration_s=0.2, fresh=fresh)
        outcome = await supervisor.run()
        assert outcome.faults == ()
        counted.append((await _epochs(supervisor, data), len(supervisor.figures.before)))
    assert counted[1][0] > counted[0][0]
    assert [before for _, before in counted] == [0, 2, 0]


async def _epochs(supervisor: Supervisor, data: Path) -> list[int]:
    return sorted(epoch for _, epoch in supervisor.figures.stats)


async def test_a_folder_has_one_supervisor(make: Make) -> None:
    async with _running(make()):
        with pytest.raises(DataFolderError, match=f"runs already \\(pid {os.getpid()}\\)"):
            await make().run()


async def test_a_shard_that_cannot_run_ends_the_fleet_with_its_words(make: Make) -> None:
    supervisor = make("wrong-use")
    with pytest.raises(UsageError, match=r"arena-\d cannot run: .*parameters\.radius: must be a number"):
        await asyncio.wait_for(supervisor.run(), PATIENCE_S)
    assert not supervisor.folder.is_running()


async def test_an_unknown_simulation_starts_nothing(make: Make, data: Path) -> None:
    with pytest.raises(UsageError, match=r"spec\.simulation\.name: no simulation 'dance'"):
        await make(config=FleetConfig(name="arena", simulation="dance")).run()
    assert not DataFolder(data).exists()


async def test_one_that_does_not_settle_is_killed_and_said(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "SETTLE_TIMEOUT_S", 0.5)
    outcome = await make("hangs", duration_s=0.1).run()
    assert outcome.exit_code == 1
    assert outcome.faults == tuple(f"arena-{n} did not settle within 0 s and was killed" for n in (0, 1))


async def test_one_that_does_not_resign_is_a_fault(make: Make) -> None:
    outcome = await make("fails", duration_s=0.1).run()
    assert sorted(outcome.faults) == [f"arena-{n} did not resign: exit code 4" for n in (0, 1)]


async def test_the_second_interrupt_ends_at_once(make: Make) -> None:
    supervisor = make("hangs")
    async with _running(supervisor) as task:
        supervisor.interrupt()
        await asyncio.sleep(0.2)
        assert not task.done()
        supervisor.interrupt()
        outcome = await asyncio.wait_for(task, PATIENCE_S)
    assert (outcome.report, outcome.exit_code) == (None, 1)
    assert supervisor.platform.running == []
    assert supervisor.redis is not None
    assert supervisor.redis.process.returncode is not None


async def test_a_redis_that_was_killed_comes_back_and_the_shards_with_it(make: Make) -> None:
    supervisor = make()
    async with _running(supervisor) as task:
        assert supervisor.redis is not None
        first = supervisor.redis
        os.kill(first.process.pid, signal.SIGKILL)
        await _until(lambda: supervisor.redis is not first, "another Valkey")
        await _until(lambda: all(one.starts > 1 for one in supervisor.platform.processes), "the shards start again")
        epochs = await _epochs(supervisor, supervisor.folder.path)
        await _until(lambda: len(supervisor.figures.stats) >= 4, f"new epochs beside {epochs}")
        supervisor.interrupt()
        outcome = await task
    assert outcome.faults == (), _screen(supervisor).said


async def test_a_redis_of_ones_own_and_its_world_in_another_folder(make: Make, data: Path) -> None:
    with redis_server(options=["--appendfsync", "everysec"]) as server:
        supervisor = make(redis_url=server.limited_url, duration_s=0.2)
        assert (await supervisor.run()).faults == ()
        assert any("RedisNotDurable" in line for line in _screen(supervisor).said)
        elsewhere = DataFolder(data.with_name("other"))
        for _ in range(2):  # having asked once makes it no more its own
            with pytest.raises(DataFolderError, match="a world of fleet 'arena' that is not this data folder's"):
                await make(redis_url=server.limited_url, folder=elsewhere, duration_s=0.2).run()
        elsewhere = DataFolder(data.with_name("third"))
        assert (
            await make(redis_url=server.limited_url, folder=elsewhere, fresh=True, duration_s=0.2).run()
        ).faults == ()
        assert (await make(redis_url=server.limited_url, duration_s=0.2).run()).faults == ()


@pytest.mark.parametrize("step", ["take_up", "conclude"])
async def test_a_redis_that_takes_its_time_ends_no_run(make: Make, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Where there is no next time to ask: before the shards begin, and when all is counted at the end."""
    with redis_server() as server:
        supervisor = make(redis_url=server.limited_url, duration_s=0.2)
        owner, name = (World, "take_up") if step == "take_up" else (Supervisor, "_conclude")
        original = getattr(owner, name)

        async def slowly(*arguments: Any, **named: Any) -> Any:
            with redis.Redis.from_url(server.url) as client:
                client.client_pause(2_000)
            return await original(*arguments, **named)

        monkeypatch.setattr(owner, name, slowly)
        outcome = await supervisor.run()
    assert (outcome.report is not None, outcome.faults) == (True, ())


async def test_settings_that_are_not_the_worlds_are_refused_and_forgotten(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server() as server:
        first = make(redis_url=server.limited_url, duration_s=0.2)
        assert (await first.run()).faults == ()
        replicas = make(redis_url=server.limited_url, config=dataclasses.replace(first.config, replicas=3))
        with pytest.raises(DataFolderError, match=r"spec\.replicas: 3, but the stored world has 2"):
            await replicas.run()
        monkeypatch.setattr(folder_module, "_IMMUTABLE", {})  # what shardfleet.json says is not asked
        for change, words in (
            ({"tick_rate": 25}, r"spec\.tickRate: 25, but the stored world has 20"),
            ({"world_low": (-99.0, -99.0)}, r"spec\.world: .*but the stored world has"),
            ({"simulation": "linear"}, r"spec\.simulation\.name: linear, but the stored world has orbit"),
        ):
            config = dataclasses.replace(first.config, **change)  # type: ignore[arg-type]
            with pytest.raises(DataFolderError, match=words):
                await make(redis_url=server.limited_url, config=config).run()
        assert (await make(redis_url=server.limited_url, duration_s=0.2).run()).faults == ()


async def test_a_fleet_that_runs_elsewhere_on_the_same_redis_is_left_alone(make: Make, data: Path) -> None:
    quick = FleetConfig(name="arena", replicas=2, seed_entities=0, lease_us=1_500_000)
    with redis_server() as server:
        first = make(redis_url=server.limited_url, config=quick)
        async with _running(first) as task:
            other = make(
                redis_url=server.limited_url, config=quick, folder=DataFolder(data.with_name("other")), fresh=True
            )
            with pytest.raises(UsageError, match=r"arena-\d of fleet 'arena' runs already on Redis"):
                await other.run()
            first.interrupt()
            assert (await task).faults == ()


async def test_a_redis_that_cannot_serve_is_refused_by_name(make: Make) -> None:
    with (
        redis_server(options=["--maxmemory-policy", "allkeys-lru"]) as server,
        pytest.raises(UsageError, match="maxmemory-policy allkeys-lru"),
    ):
        await make(redis_url=server.limited_url).run()
    with pytest.raises(StoreError, match="no answer from Redis at"):
        await make(redis_url=server.limited_url, fresh=True).run()
