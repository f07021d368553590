"""Asks one shard, for the command line and other tools."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from types import TracebackType
from typing import Any, NoReturn, Self

import grpc
import grpc.aio
from shardfleet_proto.v1 import shard_pb2 as pb
from shardfleet_proto.v1 import shard_pb2_grpc

from ..errors import FrameError, ShardfleetError, ShardUnavailable, UsageError
from .api import NewEntity, RowsView
from .messages import ViewReader, entity_to_pb
from .streams import INSECURE, Credentials, make_channel

DEADLINE_S = 5.0
"""A shard that has not answered by then is not there for a person who waits."""


class ShardClient:
    """An asynchronous context manager around one connection.

    Every method raises ``UsageError`` (the shard refused what was asked), ``ShardUnavailable`` (no shard answers at the
    address, or not now) or ``ShardfleetError``.

    Args:
        address: host:port of a shard.
        server_name: the shard's name, which its certificate must carry; only with TLS.
    """

    def __init__(
        self,
        address: str,
        *,
        credentials: Credentials = INSECURE,
        server_name: str | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._address = address
        self._deadline_s = deadline_s
        self._channel = make_channel(address, credentials=credentials, server_name=server_name)
        self._stub: Any = shard_pb2_grpc.ShardStub(self._channel)  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    async def spawn(self, entities: Sequence[NewEntity]) -> int:
        """Brings ``entities`` into the world, all or none; returns how many."""
        request = pb.SpawnRequest(rows=[entity_to_pb(entity) for entity in entities])
        return int((await self._ask(self._stub.Spawn, request)).count)

    async def despawn(self, ids: Iterable[int]) -> list[int]:
        """Takes out those that this shard holds, and returns them."""
        return list((await self._ask(self._stub.Despawn, pb.DespawnRequest(ids=ids))).ids)

    async def get(self, entity: int) -> RowsView:
        """One row, or none where this shard does not hold the entity."""
        view = ViewReader().add(await self._ask(self._stub.Get, pb.GetRequest(id=entity)))
        if view is None:
            raise FrameError("one row in more than one part")
        return view

    async def watch(self, ids: Sequence[int] = (), *, interval_us: int = 0) -> AsyncGenerator[RowsView, None]:
        """Pictures without end; hanging up is leaving the loop (``contextlib.aclosing`` makes that prompt).

        Args:
            ids: empty for all that the shard holds.
            interval_us: 0 for the shard's publish interval.
        """
        call = self._stub.Watch(pb.WatchRequest(ids=ids, interval_us=interval_us))
        reader = ViewReader()
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                view = reader.add(message)
                if view is not None:
                    yield view
        except grpc.aio.AioRpcError as error:
            self._raise(error)
        finally:
            call.cancel()

    async def inspect(self, section: str) -> dict[str, Any]:
        """One of api.SECTIONS."""
        reply = await self._ask(self._stub.Inspect, pb.InspectRequest(section=section))
        section_values: dict[str, Any] = json.loads(reply.json)
        return section_values

    async def _ask(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            self._raise(error)

    def _raise(self, error: grpc.aio.AioRpcError) -> NoReturn:
        details = error.details() or error.code().name
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            raise UsageError(details) from error
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise ShardUnavailable(f"no answer from a shard at {self._address}: {details}") from error
        raise ShardfleetError(f"shard at {self._address}: {details}") from error
