"""Connections to one Redis: a pipeline of commands in, the answers that came in time out.

redis-py makes the connection (sockets, TLS, authentication, the parser); its client, pipeline and pool stay out of
the way, because they repeat a pipeline by themselves up to ten times, and cost more than the call does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.connection import Connection as TcpConnection
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError

from ..core.histogram import Histogram
from ..errors import StoreRefused
from .commands import Command
from .scripts import pack

_log = logging.getLogger(__name__)


class Unanswered:
    """The one ``UNANSWERED``: executed or not, nobody here can say."""

    def __repr__(self) -> str:
        return "UNANSWERED"


UNANSWERED: Final = Unanswered()
Answer = Any
"""bytes, int, None, a list of these, a ``ResponseError``, or ``UNANSWERED``."""


class Connections:
    """A few connections, each used by one call at a time.

    Args:
        url: redis://, rediss:// or unix://. It may hold a password, so it is kept nowhere but in redis-py's own
            settings and never shown; ``address`` is what messages name.
        limit: connections at most; further calls wait for one, within their own time.
        timeout_s: for connecting.
    Raises:
        StoreRefused: ``url`` is none that can be used.
    """

    def __init__(self, url: str, *, limit: int, timeout_s: float) -> None:
        try:
            settings: dict[str, Any] = dict(parse_url(url))
            parts = urlsplit(url)
            host = f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
            self.address = parts.path if parts.scheme == "unix" else host
        except ValueError:
            # The parser's own message could quote the password.
            raise StoreRefused("the Redis URL cannot be read: use redis://, rediss:// or unix:///path") from None
        self._kind: type[AbstractConnection] = settings.pop("connection_class", TcpConnection)
        settings |= {"protocol": 2, "driver_info": None, "decode_responses": False}
        self._settings = settings | {"socket_timeout": None, "socket_connect_timeout": timeout_s}
        self._free = asyncio.Semaphore(limit)
        self._idle: list[AbstractConnection] = []
        self.authentication_failed = False
        self.last_error = ""
        """Of the newest call that did not get all its answers."""
        self.bytes_sent = 0
        self.call_us = Histogram()
        """From having a connection to the last answer, a call that got all of them a sample."""

    def __repr__(self) -> str:
        return f"Connections({self.address})"

    async def exchange(self, commands: Sequence[Command], timeout_s: float) -> list[Answer]:
        """Sends all and reads as many answers as come within ``timeout_s``; the others are ``UNANSWERED``."""
        answers: list[Answer] = []
        try:
            async with asyncio.timeout(timeout_s), self._free:
                connection = await self._take()
                clean = False
                began_ns = time.monotonic_ns()
                try:
                    pieces = [piece for one in commands for piece in pack(one)]
                    self.bytes_sent += sum(map(len, pieces))
                    await connection.send_packed_command(pieces)
                    for _ in commands:
                        answers.append(await self._read(connection))
                    clean = True
                    self.call_us.add((time.monotonic_ns() - began_ns) // 1000)
                finally:
                    if clean:
                        self._idle.append(connection)
                    else:  # answers may still be on their way: nobody else must read them
                        await connection.disconnect(nowait=True)
        except TimeoutError:
            self.authentication_failed = False
            self._failed(f"no answer within {timeout_s:.3g} s")
        except (RedisError, OSError) as error:
            self.authentication_failed = isinstance(error, AuthenticationError | AuthorizationError)
            self._failed(str(error) or type(error).__name__)
        answers += [UNANSWERED] * (len(commands) - len(answers))
        return answers

    async def _take(self) -> AbstractConnection:
        while self._idle:
            connection = self._idle.pop()
            # Data or an end of file between two calls: the server has gone, or the connection is out of step.
            if connection.is_connected and not await connection.can_read():
                return connection
            await connection.disconnect(nowait=True)
        connection = self._kind(**self._settings)
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    async def _read(self, connection: AbstractConnection) -> Answer:
        try:
            return await connection.read_response(timeout=math.inf)
        except ResponseError as error:
            return error

    def _failed(self, reason: str) -> None:
        self.last_error = reason
        _log.debug("redis call unanswered", extra={"redis": self.address, "reason": reason})

    async def close(self) -> None:
        """Closes what is idle; connections in use close with their call's end."""
        while self._idle:
            # One that does not close in time is dropped all the same; nobody is left to whom it matters.
            with contextlib.suppress(RedisError, OSError):
                await self._idle.pop().disconnect()
