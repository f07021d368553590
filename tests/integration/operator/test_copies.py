"""The operator's own copies of a world: one of each of Redis' lives, the newest named in the status."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from shardfleet_operator.backup import read_backup
from shardfleet_operator.cluster.fleets import Fleets
from shardfleet_operator.cluster.settings import OperatorSettings
from shardfleet_operator.kube import EVENTS, KubeApi

from ..servers import RedisServer
from .bench import CLOCK, HollowBench, take
from .fake_cluster import fleet


class CopyingBench(HollowBench):
    def __init__(self, server: RedisServer, copies: Path) -> None:
        self.copies = copies
        super().__init__(server)

    def operator(self, api: KubeApi | None = None) -> Fleets:
        settings = OperatorSettings(
            image="shardfleet:test", redis_url=self.server.limited_url, copies=self.copies, copy_interval_us=200_000
        )
        fleets = Fleets(self.cluster, CLOCK, settings, on_failure=self.failures.append)
        self.cluster.listeners = [lambda event, body: take(fleets, event, body)]
        return fleets

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.copies.glob("*.backup"))

    def events(self, reason: str) -> list[str]:
        return [body["message"] for body in self.cluster.of_kind(EVENTS).values() if body["reason"] == reason]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[CopyingBench]:
    with RedisServer(tcp=True) as server:
        bench = CopyingBench(server, tmp_path / "copies")
        try:
            yield bench
        finally:
            await bench.fleets.close()
            await bench.hollow.close()
        assert not bench.failures


async def generation(bench: CopyingBench) -> str:
    store = bench.store()
    try:
        await store.connect()
        return (await store.join()).generation
    finally:
        await store.close()


async def test_a_world_is_copied_again_and_again_and_the_status_says_of_when(bench: CopyingBench) -> None:
    bench.cluster.put(fleet())
    await bench.until(lambda: bench.fleet().get("status", {}).get("copy"))
    name = f"play.arena.{(await generation(bench))[:8]}.backup"

    def counted() -> tuple[int, int]:
        """In the file and by the status, which is written less often."""
        return read_backup(bench.copies / name).entities, bench.fleet()["status"]["copy"]["entities"]

    await bench.until(lambda: len(set(counted())) == 1)
    first = bench.fleet()["status"]["copy"]
    assert bench.files == [first["file"]] == [name]
    backup = read_backup(bench.copies / name)
    assert backup.fleet == "play.arena"
    assert first["bytes"] > 1_000 and first["time"].endswith("Z")
    await bench.until(lambda: read_backup(bench.copies / first["file"]).unix_us > backup.unix_us)


async def test_of_earlier_lives_of_redis_the_newest_copy_stays(bench: CopyingBench) -> None:
    bench.copies.mkdir()
    others = ["play.arena.00000001.backup", "play.arena.00000002.backup", "play.arena-2.00000003.backup"]
    for age_s, name in enumerate(reversed(others), start=1):
        path = bench.copies / name
        path.write_bytes(b"")
        seconds = CLOCK.now_unix_us() / 1e6 - 60 * age_s
        os.utime(path, (seconds, seconds))
    bench.cluster.put(fleet())
    await bench.until(lambda: len(bench.files) == 3 and others[0] not in bench.files)
    assert others[1] in bench.files, "the world before this one"
    assert others[2] in bench.files, "another fleet's"


async def test_a_disk_that_refuses_is_said_once_and_costs_the_fleet_nothing(bench: CopyingBench) -> None:
    bench.copies.write_text("a file where the folder should be")
    bench.cluster.put(fleet())
    await bench.until(lambda: bench.events("CopyFailed"))
    await bench.until(bench.is_available)
    assert bench.fleet()["status"].get("copy") is None
    bench.copies.unlink()
    await bench.until(lambda: bench.fleet()["status"].get("copy") and bench.reason("Degraded") == "AsExpected")
    assert len(bench.events("CopyFailed")) == 1
