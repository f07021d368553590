"""The live map as a child of the supervisor, whose end changes nothing for the fleet."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

from shardfleet_shard.errors import UsageError

from ..platforms.children import describe_exit, end_child, start_child
from .folder import DataFolder

log = logging.getLogger(__name__)

MAP_COMMAND = (sys.executable, "-m", "shardfleet_operator.cli", "map")
DEFAULT_PORT = 7373
BACKLOG = 16
AGAIN_S = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Before it is started again; the last one repeats."""
TERM_S = 2.0


def listening_socket(port: int | None) -> socket.socket:
    """On the loopback. The supervisor keeps it, so that the page's address outlives the process that serves it.

    Args:
        port: None for the usual one, or another where that is taken.
    Raises:
        UsageError: ``port`` is taken.
    """
    try:
        return _listening(DEFAULT_PORT if port is None else port)
    except OSError as error:
        if port is None:
            return _listening(0)
        raise UsageError(
            f"--map-port {port}: {error.strerror}; choose another one, or leave it out for a free one"
        ) from error


class MapChild:
    """Args: ``listener``: as of ``listening_socket``; it is closed at the end."""

    def __init__(
        self,
        folder: DataFolder,
        listener: socket.socket,
        *,
        environment: Mapping[str, str],
        command: Sequence[str] = MAP_COMMAND,
    ) -> None:
        self._folder = folder
        self._listener = listener
        self._environment = environment
        self._command = command

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}/"

    async def run(self) -> None:
        """Keeps it running until it is canceled; no error of its own gets out of here."""
        ends = 0
        while True:
            try:
                await self._run_once()
            except OSError as error:
                log.warning("the map cannot be started: %s", error)
            await asyncio.sleep(AGAIN_S[min(ends, len(AGAIN_S) - 1)])
            ends += 1

    def close(self) -> None:
        self._listener.close()

    async def _run_once(self) -> None:
        descriptor = self._listener.fileno()
        arguments = ("--data", str(self._folder.path), "--socket-fd", str(descriptor))
        with (self._folder.logs / "map.log").open("ab") as output:
            process = await start_child(
                (*self._command, *arguments),
                parent_death=signal.SIGKILL,
                environment=self._environment,
                output=output,
                pass_fds=(descriptor,),
            )
        try:
            log.info("started the map (pid %d)", process.pid)
            code = await process.wait()
            log.warning("the map (pid %d) ended: %s", process.pid, describe_exit(code))
        finally:
            with contextlib.suppress(ProcessLookupError):
                await asyncio.shield(end_child(process, term_s=TERM_S))


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
