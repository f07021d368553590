"""One bidirectional gRPC stream of byte messages, seen alike from both ends.

Messages pass as bytes, without gRPC's own (de)serializers: a frame that cannot be parsed is then an ordinary error of
ours, counted and answered, instead of an internal one of gRPC's.

Nothing here is ever cancelled while it waits in a read or a write: grpc.aio would drop the buffer that the C core
is still going to fill. A wait is ended by ending the stream.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio

from ..errors import ShardfleetError
from .packets import MAX_FRAME_BYTES

SERVICE = "shardfleet.v1.Handoff"
METHOD = f"/{SERVICE}/Link"

MESSAGE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_FRAME_BYTES),
    ("grpc.max_send_message_length", MAX_FRAME_BYTES),
)
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    *MESSAGE_OPTIONS,
    # Peers are reached directly; a proxy from the environment must not get between them.
    ("grpc.enable_http_proxy", 0),
    # Each dial is a connection of its own: a shared one would hand a re-dial its predecessor's back-off.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    # A host that is gone without a word: found by gRPC too, where a link's own silence would not show it.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
)


# What grpc.aio raises, depending on the moment, for a stream that is over on this side already.
_OVER = (grpc.aio.AbortError, grpc.aio.InternalError, grpc.aio.UsageError, asyncio.InvalidStateError)


class StreamEnded(ShardfleetError):
    """The stream is over; the text says why."""

    code = "stream-ended"
    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """TLS of both directions; None: plain text, for one machine's loopback.

    With TLS a peer is called by its shard's name, whatever its address, and must prove that name.
    """

    server: grpc.ServerCredentials | None = None
    channel: grpc.ChannelCredentials | None = None


INSECURE = Credentials()


class LinkStream(Protocol):
    """Byte messages both ways."""

    @property
    def names(self) -> frozenset[str] | None:
        """Names in the peer's certificate; None where there is none to be checked here."""
        ...

    async def read(self) -> bytes:
        """The next message. Raises ``StreamEnded``."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns once gRPC has taken the message. Raises ``StreamEnded``."""
        ...

    async def close(self) -> None:
        """Ends the stream, as far as this side can; reads and writes that wait then return."""
        ...


def make_channel(address: str, *, credentials: Credentials, server_name: str | None = None) -> grpc.aio.Channel:
    """A channel to ``address`` (host:port); with TLS the server must prove ``server_name``."""
    if credentials.channel is None:
        return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
    options: list[tuple[str, Any]] = list(CHANNEL_OPTIONS)
    if server_name is not None:
        options.append(("grpc.ssl_target_name_override", server_name))
    return grpc.aio.secure_channel(address, credentials.channel, options=options)


class DialedStream:
    """The calling end. Must be made inside a running loop."""

    # The certificate was checked by gRPC, against the name that was called.
    names: frozenset[str] | None = None

    def __init__(self, address: str, *, credentials: Credentials = INSECURE, server_name: str | None = None) -> None:
        self._address = address
        self._closed = False
        self._channel = make_channel(address, credentials=credentials, server_name=server_name)
        self._call: Any = self._channel.stream_stream(METHOD)()
        self._first_write: asyncio.Task[None] | None = None

    async def read(self) -> bytes:
        try:
            data = await self._call.read()
        except asyncio.CancelledError:
            # grpc.aio reports a call that was closed by close() the way it reports a cancelled task.
            if self._closed:
                raise StreamEnded("closed here") from None
            raise
        except grpc.aio.AioRpcError as error:
            raise StreamEnded(self._describe(error)) from error
        if data is grpc.aio.EOF:
            raise StreamEnded("the peer hung up")
        return bytes(data)

    async def write(self, data: bytes) -> None:
        try:
            if self._first_write is None:
                self._first_write = asyncio.create_task(self._call.write(data))
                await asyncio.shield(self._first_write)
            else:
                await self._call.write(data)
        except asyncio.CancelledError:
            if self._closed:
                raise StreamEnded("closed here") from None
            raise
        except grpc.aio.AioRpcError as error:
            raise StreamEnded(self._describe(error)) from error
        except _OVER as error:
            raise StreamEnded(await self._why()) from error

    async def close(self) -> None:
        self._closed = True
        self._call.cancel()
        await self._channel.close()
        # The first write waits for the connection, and grpc.aio does not wake it when the call is cancelled before
        # there is one. What still waits a moment later waits for that, in Python, and may be cancelled.
        if self._first_write is not None and not self._first_write.done():
            await asyncio.wait({self._first_write}, timeout=0.05)
            self._first_write.cancel()

    async def _why(self) -> str:
        if not self._call.done() or self._closed:
            return "the stream is over"
        return self._phrase(await self._call.code(), await self._call.details())

    def _describe(self, error: grpc.aio.AioRpcError) -> str:
        return self._phrase(error.code(), error.details())

    def _phrase(self, code: grpc.StatusCode, details: str | None) -> str:
        if code is grpc.StatusCode.FAILED_PRECONDITION:
            return f"refused by the peer: {details}"
        return f"{code.name.lower().replace('_', ' ')} at {self._address}: {details}"


class AcceptedStream:
    """The called end: wraps the handler's context. The stream ends when the handler returns."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.names: frozenset[str] | None = _names_in(context.auth_context())

    async def read(self) -> bytes:
        try:
            data = await self._context.read()
        except _OVER as error:
            raise StreamEnded("the stream is over") from error
        if data is grpc.aio.EOF:
            raise StreamEnded("the peer hung up")
        return bytes(data)

    async def write(self, data: bytes) -> None:
        try:
            await self._context.write(data)
        except _OVER as error:
            raise StreamEnded("the stream is over") from error

    async def close(self) -> None:
        """Nothing to do: returning from the handler, or aborting with a reason, ends the stream."""


def _names_in(auth_context: dict[str, Any]) -> frozenset[str] | None:
    if auth_context.get("transport_security_type") != [b"ssl"]:
        return None
    # Not the common name: no client checks that of a server any more, and a name that one side ignores must not count
    # for the other.
    names = auth_context.get("x509_subject_alternative_name", ())
    return frozenset(name.decode("utf-8", "replace") for name in names)
