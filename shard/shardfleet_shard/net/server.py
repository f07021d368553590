"""The one gRPC server of a shard: links from peers, the ``Shard`` service, health."""

from __future__ import annotations

import json
import socket
from contextlib import aclosing
from typing import Any, NoReturn, Protocol

import grpc
import grpc.aio
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from shardfleet_proto.v1 import shard_pb2 as pb

from ..core.columns import Schema
from ..errors import ShardfleetError, UsageError
from .api import SECTIONS, ShardApi
from .messages import view_to_messages
from .service_requests import read_despawn, read_get, read_inspect, read_spawn, read_watch
from .streams import INSECURE, MESSAGE_OPTIONS, SERVICE, AcceptedStream, Credentials, LinkStream

API_SERVICE = "shardfleet.v1.Shard"
HEALTH_LIVE = ""
"""The process runs: SERVING from the start to the stop."""
HEALTH_READY = SERVICE
"""The shard takes part in handoffs: SERVING between ``set_ready(True)`` and ``set_ready(False)``."""

_OPTIONS = (
    *MESSAGE_OPTIONS,
    # Two servers on one port would share its calls between two shards; a taken port must be an error.
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", 1024),
    # Channels probe every 10 s; gRPC takes more than one in 5 minutes for an attack.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


class LinkAcceptor(Protocol):
    """Serves the streams that peers dial; ``HandoffConnectionManager`` does."""

    async def accept(self, stream: LinkStream) -> str | None:
        """Returns when the link is over: the reason to abort the stream with, or None."""
        ...


class ShardServer:
    """``bind``, ``start`` and ``stop``, once each and in one running loop.

    The address is bound before there is anything to serve, since a shard announces it when it gets its epoch; who calls
    before ``start`` waits.

    Args:
        address: host:port; port 0 takes a free one, which ``bind`` returns.
        schema: of the rows that ``Spawn`` takes.
        credentials: TLS; plain text by default.
        health_address: host:port that answers health alone, in plain text always: a kubelet's probe has no
            certificate. '' for none.
    """

    def __init__(
        self, address: str, *, schema: Schema, credentials: Credentials = INSECURE, health_address: str = ""
    ) -> None:
        self._wanted_address = address
        self._health_address = health_address
        self._address = ""
        self._schema = schema
        self._credentials = credentials
        self._server: Any = grpc.aio.server(options=_OPTIONS)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._health_server: Any = None

    @property
    def address(self) -> str:
        """host:port that is listened on; '' before ``bind``."""
        return self._address

    @property
    def health_address(self) -> str:
        """As ``address``, of health alone; '' where there is none."""
        return self._health_address

    async def bind(self) -> str:
        """Takes the address and returns it. Raises ``UsageError`` where it can't be had."""
        self._address = _listen(self._server, "--listen", self._wanted_address, self._credentials.server)
        if self._health_address:
            self._health_server = grpc.aio.server(options=_OPTIONS)
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._health_server)
            self._health_address = _listen(self._health_server, "--health", self._health_address, None)
        return self._address

    async def start(self, *, links: LinkAcceptor, api: ShardApi) -> None:
        """Serves links, the ``Shard`` service from ``api``, and health (alive, not ready yet)."""

        async def serve_link(_: Any, context: Any) -> None:
            reason = await links.accept(AcceptedStream(context))
            if reason is not None:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, reason)

        link = grpc.stream_stream_rpc_method_handler(serve_link)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Link": link}),))
        self._server.add_generic_rpc_handlers((_ShardServicer(api, self._schema).handlers(),))
        await self.set_ready(False)
        await self._server.start()
        if self._health_server is not None:
            await self._health_server.start()

    async def set_ready(self, ready: bool) -> None:
        """What health says about ``HEALTH_READY``."""
        status = health_pb2.HealthCheckResponse
        await self._health.set(HEALTH_READY, status.SERVING if ready else status.NOT_SERVING)

    async def stop(self, *, grace_s: float = 0.2) -> None:
        """Ends; calls that still run after ``grace_s`` are cut."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
        if self._health_server is not None:
            await self._health_server.stop(0)


def _listen(server: Any, option: str, wanted: str, credentials: grpc.ServerCredentials | None) -> str:
    """Takes the address and returns it with the port that it got. Raises ``UsageError`` where it can't be had."""
    host, colon, port = wanted.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"{option} {wanted!r}: an address is HOST:PORT, for example 127.0.0.1:0")
    _check_free(host.strip("[]"), int(port), f"{option} {wanted}")
    try:
        secure = credentials is not None
        bound = server.add_secure_port(wanted, credentials) if secure else server.add_insecure_port(wanted)
    except RuntimeError as error:
        raise UsageError(f"{option} {wanted}: cannot listen there; is the port taken?") from error
    if bound == 0:
        raise UsageError(f"{option} {wanted}: cannot listen there; is the port taken?")
    return f"{host}:{bound}"


class _ShardServicer:
    """The ``Shard`` service, on a ``ShardApi``. Method names are the service's; requests come as bytes."""

    def __init__(self, api: ShardApi, schema: Schema) -> None:
        self._api = api
        self._schema = schema

    def handlers(self) -> Any:
        """For gRPC, without the deserializers that it would call before anybody could look at a size."""
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        methods = {
            "Spawn": unary(self.Spawn, response_serializer=pb.SpawnReply.SerializeToString),
            "Despawn": unary(self.Despawn, response_serializer=pb.DespawnReply.SerializeToString),
            "Get": unary(self.Get, response_serializer=pb.Rows.SerializeToString),
            "Watch": stream(self.Watch, response_serializer=pb.Rows.SerializeToString),
            "Inspect": unary(self.Inspect, response_serializer=pb.InspectReply.SerializeToString),
        }
        return grpc.method_handlers_generic_handler(API_SERVICE, methods)

    async def Spawn(self, data: bytes, context: Any) -> pb.SpawnReply:
        try:
            rows = read_spawn(data, self._schema)
            await self._api.spawn(rows)
        except ShardfleetError as error:
            await _abort(context, error)
        return pb.SpawnReply(count=len(rows))

    async def Despawn(self, data: bytes, context: Any) -> pb.DespawnReply:
        try:
            ids = await self._api.despawn(np.array(read_despawn(data), "<u8"))
        except ShardfleetError as error:
            await _abort(context, error)
        return pb.DespawnReply(ids=ids.tolist())

    async def Get(self, data: bytes, context: Any) -> pb.Rows:
        try:
            view = await self._api.get(read_get(data))
        except ShardfleetError as error:
            await _abort(context, error)
        return next(view_to_messages(view))

    async def Watch(self, data: bytes, context: Any) -> None:
        try:
            wanted, interval_us = read_watch(data)
            views = self._api.watch(np.array(wanted, "<u8") if wanted else None, interval_us=interval_us)
            async with aclosing(views) as pictures:
                async for view in pictures:
                    for message in view_to_messages(view):
                        await context.write(message)
        except ShardfleetError as error:
            await _abort(context, error)

    async def Inspect(self, data: bytes, context: Any) -> pb.InspectReply:
        try:
            section = read_inspect(data)
            if section not in SECTIONS:
                raise UsageError(f"no section {section!r}; there are {', '.join(SECTIONS)}")
            values = await self._api.inspect(section)
        except ShardfleetError as error:
            await _abort(context, error)
        return pb.InspectReply(json=json.dumps(values))


async def _abort(context: Any, error: ShardfleetError) -> NoReturn:
    """Ends the call with the status that client.py turns back into an error of the same kind."""
    if isinstance(error, UsageError):
        code = grpc.StatusCode.INVALID_ARGUMENT
    elif error.retryable:
        code = grpc.StatusCode.UNAVAILABLE
    else:
        code = grpc.StatusCode.FAILED_PRECONDITION
    await context.abort(code, str(error))
    raise AssertionError("abort returns never")


def _check_free(host: str, port: int, named: str) -> None:
    """Before gRPC tries, which says more on stderr than anyone asked. Raises ``UsageError``."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            if port:
                probe.listen(1)  # two that only bind do not see each other
    except OSError as error:
        raise UsageError(f"{named}: cannot listen there ({error.strerror or error}); is the port taken?") from error
