"""GET /metrics, from requests that are well formed and from others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from shardfleet_shard.errors import UsageError
from shardfleet_shard.monitoring import endpoint
from shardfleet_shard.monitoring.endpoint import metrics_served

from tests.patience import PATIENCE_S


class Room:
    """An endpoint whose text can be made to fail."""

    def __init__(self) -> None:
        self.address = ""
        self.broken = False

    def make(self) -> bytes:
        if self.broken:
            raise RuntimeError("torn")
        return b"a 1\n"

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.address.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def ask(self, request: bytes) -> tuple[str, bytes]:
        """Status line and body; ('', b'') where the connection was closed without an answer."""
        reader, writer = await self.open()
        writer.write(request)
        try:
            answer = await reader.read()
        except ConnectionResetError:
            answer = b""
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return head.split(b"\r\n")[0].decode(), body


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    room = Room()
    async with metrics_served("--metrics", "127.0.0.1:0", room.make) as room.address:
        yield room


async def test_answers(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    assert await room.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") == ("HTTP/1.1 200 OK", b"a 1\n")
    assert await room.ask(b"GET /metrics?x=1 HTTP/1.0\r\n\r\n") == ("HTTP/1.1 200 OK", b"a 1\n")
    assert await room.ask(b"HEAD /metrics HTTP/1.1\r\n\r\n") == ("HTTP/1.1 200 OK", b"")
    assert (await room.ask(b"GET / HTTP/1.1\r\n\r\n"))[0] == "HTTP/1.1 404 Not Found"
    assert (await room.ask(b"POST /metrics HTTP/1.1\r\n\r\n"))[0] == "HTTP/1.1 405 Method Not Allowed"
    room.broken = True
    assert await room.ask(b"GET /metrics HTTP/1.1\r\n\r\n") == ("HTTP/1.1 500 Internal Server Error", b"see the log\n")
    assert "torn" in caplog.text


@pytest.mark.parametrize("request_bytes", [b"", b"\r\n\r\n", b"x" * 20_000, b"\x16\x03\x01\x00\r\n\r\n"])
async def test_nonsense_harms_nobody(room: Room, request_bytes: bytes) -> None:
    reader, writer = await room.open()
    writer.write(request_bytes)
    if not request_bytes:
        writer.write_eof()
    with contextlib.suppress(ConnectionResetError):
        assert b" 200 " not in await reader.read()
    writer.close()
    assert (await room.ask(b"GET /metrics HTTP/1.1\r\n\r\n"))[0] == "HTTP/1.1 200 OK"


async def test_who_does_not_speak_is_hung_up_on(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "DEADLINE_S", 0.05)
    reader, writer = await room.open()
    assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    writer.close()


async def test_no_more_connections_than_the_bound(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are there stay; one more is closed at once."""
    monkeypatch.setattr(endpoint, "DEADLINE_S", PATIENCE_S)
    held = [await room.open() for _ in range(endpoint.MAX_CONNECTIONS)]
    assert await room.ask(b"GET /metrics HTTP/1.1\r\n\r\n") == ("", b"")
    for reader, writer in held:
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert (await reader.read()).endswith(b"a 1\n")
        writer.close()
    assert (await room.ask(b"GET /metrics HTTP/1.1\r\n\r\n"))[1] == b"a 1\n"


@pytest.mark.parametrize("address", ["9464", ":9464", "x:y", "127.0.0.1:99999"])
async def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError, match=r"--metrics .*HOST:PORT"):
        async with metrics_served("--metrics", address, bytes):
            pass


async def test_a_taken_port(room: Room) -> None:
    with pytest.raises(UsageError, match=f"--metrics {room.address}: cannot listen there"):
        async with metrics_served("--metrics", room.address, bytes):
            pass
