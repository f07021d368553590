"""The operator's read-only inspection port: what the commands show of a fleet, for those who cannot reach its Redis.

Everything is made by the same code as the commands on one machine. The port belongs on the loopback of the operator's
pod: what gets there comes through a forward, so the API server has asked who it is.

    GET /fleets/NAMESPACE/NAME/status
    GET /fleets/NAMESPACE/NAME/transfers
    GET /fleets/NAMESPACE/NAME/entities/ID
    GET /fleets/NAMESPACE/NAME/rows?ids=1,2&interval_us=1000000     one JSON object a line, without end
    GET /fleets/NAMESPACE/NAME/map                                  how to get to the live map that shows it:
                                                                    {"namespace", "selector", "token"}

An error is {"error": message, "code": word} with 400 (wrong use), 404 (no such fleet or entity) or 503 (not now).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from shardfleet_shard.errors import InvariantError, ShardfleetError, UsageError
from shardfleet_shard.net.api import RowsView

from .cli import entity_search, transfers
from .cli.population import living_members, numbers
from .cli.watching import follow, rows_of
from .dialing import Dial
from .local.figures import ShardProcess
from .local.status import read_view
from .local.world import World

log = logging.getLogger(__name__)

MAX_IDS = 256
"""Of one request for rows: they are in its first line, whose length is bounded. Whoever wants more asks for all."""
MAX_STREAMS = 32
"""Streams of rows at a time: each costs a connection to every shard of its fleet."""


class NotFound(UsageError):
    """No such fleet here."""

    code = "not-found"


class NotNow(ShardfleetError):
    """Nothing can be said at this moment."""

    code = "not-now"
    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSight:
    """What the operator knows of the live map that shows a fleet.

    Attributes:
        own: the spec asks for a map of the fleet's own.
        own_redis: the fleet has a Redis of its own, which the chart's map does not read.
        selector: of the own map's pod, in the fleet's namespace.
        token: the own map's; '' while it is not made.
    """

    own: bool
    own_redis: bool
    selector: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FleetSight:
    """One fleet as the operator has it.

    Attributes:
        since_us: when it was made, Unix microseconds.
        conditions: as in its status.
        processes: the shards' newest processes, at the moment of the call.
    """

    world: World
    dial: Dial
    since_us: int
    conditions: Sequence[Mapping[str, Any]]
    processes: Callable[[], Sequence[ShardProcess]]
    map: MapSight


Look = Callable[[str, str], FleetSight]
"""(namespace, name) -> the fleet. Raises ``NotFound`` or ``NotNow``."""


class Inspection:
    """The requests' handlers. Args: ``map_folder``: the Secret of the chart's map, mounted; None where it has none."""

    def __init__(self, look: Look, *, map_folder: Path | None = None) -> None:
        self._look = look
        self._map_folder = map_folder
        self._streams = 0

    def application(self) -> web.Application:
        application = web.Application(middlewares=[_errors])
        fleet = "/fleets/{namespace}/{name}"
        application.router.add_get(f"{fleet}/status", self._status)
        application.router.add_get(f"{fleet}/transfers", self._transfers)
        application.router.add_get(f"{fleet}/entities/{{id}}", self._entity)
        application.router.add_get(f"{fleet}/rows", self._rows)
        application.router.add_get(f"{fleet}/map", self._map)
        return application

    async def _status(self, request: web.Request) -> web.Response:
        sight = self._sight(request)
        phase, view = await read_view(sight.world, sight.processes)
        now_us = sight.world.clock.now_unix_us()
        return web.json_response(
            {
                **_names(request),
                "phase": phase,
                "seconds": round((now_us - sight.since_us) / 1_000_000, 1),
                **view.to_dict(),
                "conditions": [dict(one) for one in sight.conditions],
            }
        )

    async def _transfers(self, request: web.Request) -> web.Response:
        sight = self._sight(request)
        return web.json_response({**_names(request), **await transfers.read(sight.world.store)})

    async def _entity(self, request: web.Request) -> web.Response:
        sight = self._sight(request)
        (entity,) = numbers("entity", request.match_info["id"], kind=int)[:1]
        try:
            return web.json_response(await entity_search.search(sight.world.store, entity, dial=sight.dial))
        except UsageError as error:
            raise NotFound(str(error)) from error

    async def _rows(self, request: web.Request) -> web.StreamResponse:
        sight = self._sight(request)
        ids = numbers("ids", request.query["ids"], kind=int) if request.query.get("ids") else []
        (interval_us,) = numbers("interval_us", request.query.get("interval_us", "0"), kind=int)[:1]
        if len(ids) > MAX_IDS:
            raise UsageError(f"ids: {len(ids)} are asked for, at most {MAX_IDS}: leave ids out to get all")
        if self._streams >= MAX_STREAMS:
            raise NotNow(f"{MAX_STREAMS} streams of rows are open already: end one, or try again later")
        try:
            await living_members(sight.world.store)
        except UsageError as error:
            raise NotNow(f"no shard of fleet {'/'.join(request.match_info.values())} lives at this moment") from error
        self._streams += 1
        try:
            return await _stream(request, sight, ids, interval_us)
        finally:
            self._streams -= 1

    async def _map(self, request: web.Request) -> web.Response:
        """The fleet's own, else the chart's."""
        seen, namespace, name = self._sight(request).map, request.match_info["namespace"], request.match_info["name"]
        if seen.own:
            if not seen.token:
                raise NotNow(
                    f"the map of fleet {namespace}/{name} is not made yet: ask again; if it stays so, "
                    f"'kubectl describe sf {name} -n {namespace}' says why"
                )
            return web.json_response({"namespace": namespace, "selector": seen.selector, "token": seen.token})
        patch = f"""kubectl patch sf {name} -n {namespace} --type merge -p '{{"spec":{{"map":"Enabled"}}}}'"""
        if seen.own_redis:
            raise NotFound(
                f"fleet {namespace}/{name} has a Redis of its own (spec.redis), which the chart's map does not read; "
                f"give it a map of its own: {patch}"
            )
        if self._map_folder is None:
            raise NotFound(
                "the chart was installed without the map, which map.enabled=true brings; "
                f"or give this fleet one of its own: {patch}"
            )
        return web.json_response({"namespace": "", **_map_access(self._map_folder)})

    def _sight(self, request: web.Request) -> FleetSight:
        return self._look(request.match_info["namespace"], request.match_info["name"])


async def _stream(request: web.Request, sight: FleetSight, ids: Sequence[int], interval_us: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    turn = asyncio.Lock()  # shards write at the same time, and a slow reader slows them all

    async def take(view: RowsView) -> None:
        lines = [json.dumps(row, separators=(",", ":")) + "\n" for row in rows_of(view)]
        async with turn:
            await response.write("".join(lines).encode())

    try:
        await follow(sight.world.store, ids, interval_us, take, dial=sight.dial)
    except* (ConnectionError, ShardfleetError) as errors:  # the reader hung up, or the fleet goes
        log.info("a stream of rows ended: %s", errors.exceptions[0])
    return response


def _map_access(folder: Path) -> dict[str, str]:
    """Read anew each time: the Secret may have been made anew."""
    try:
        return {name: (folder / name).read_text().strip() for name in ("selector", "token")}
    except OSError as error:
        raise NotNow(f"the Secret of the chart's map cannot be read: {error.strerror}") from error


def _names(request: web.Request) -> dict[str, str]:
    return {"namespace": request.match_info["namespace"], "fleet": request.match_info["name"]}


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except InvariantError:
        raise
    except ShardfleetError as error:
        status = 404 if isinstance(error, NotFound) else 400 if isinstance(error, UsageError) else 503
        return web.json_response({"error": str(error), "code": error.code}, status=status)
