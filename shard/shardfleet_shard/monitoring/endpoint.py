"""GET /metrics: as little of an HTTP server as Prometheus needs. A library's would cost a shard 10 MB of its 80.

One answer a connection. What is asked for is made inside the loop, from values that nobody else changes meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from ..errors import UsageError
from .exposition import CONTENT_TYPE

log = logging.getLogger(__name__)

PATH = "/metrics"
MAX_HEAD_BYTES = 8192
"""Of a request; Prometheus sends some hundred."""
MAX_CONNECTIONS = 16
"""At a time: a few servers that ask, and a person. Whoever comes on top is hung up on."""
DEADLINE_S = 5.0
"""For a connection's whole life: Prometheus asks at once and reads at once."""


@contextlib.asynccontextmanager
async def metrics_served(option: str, address: str, make: Callable[[], bytes]) -> AsyncIterator[str]:
    """Serves what ``make`` returns, and yields where: port 0 takes a free one.

    Raises:
        UsageError: ``option`` is no address, or cannot be listened on.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"{option} {address!r}: an address is HOST:PORT, for example 127.0.0.1:9464")
    endpoint = _Endpoint(make)
    try:
        server = await asyncio.start_server(endpoint.serve, host.strip("[]"), int(port), limit=MAX_HEAD_BYTES)
    except OSError as error:
        raise UsageError(f"{option} {address}: cannot listen there: {error.strerror or error}") from error
    try:
        yield f"{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await endpoint.close()


class _Endpoint:
    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if len(self._serving) >= MAX_CONNECTIONS:
                return
            self._serving.add(task)
            async with asyncio.timeout(DEADLINE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head.split(b"\r\n", 1)[0]))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asks so gets no answer
        finally:
            self._serving.discard(task)
            writer.close()

    def _answer(self, line: bytes) -> bytes:
        method, _, rest = line.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != PATH.encode():
            return _response("404 Not Found", f"only {PATH} is here\n".encode(), head=method == b"HEAD")
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", b"only GET and HEAD\n", extra="Allow: GET, HEAD\r\n")
        try:
            body = self._make()
        except Exception:
            log.exception("metrics could not be read")
            return _response("500 Internal Server Error", b"see the log\n", head=method == b"HEAD")
        return _response("200 OK", body, content_type=CONTENT_TYPE, head=method == b"HEAD")

    async def close(self) -> None:
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


def _response(
    status: str, body: bytes, *, content_type: str = "text/plain; charset=utf-8", extra: str = "", head: bool = False
) -> bytes:
    lines = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{lines}{extra}Connection: close\r\n\r\n".encode() + (b"" if head else body)
