"""The map's web server: a page, a WebSocket with frames, and what is asked of one entity or of the past.

    GET /                                     the page, and its files under /page/
    GET /healthz                              200 while the process works
    GET /api/fleets                           {"fleets": [names]}
    GET /api/fleets/NAME/live                 a WebSocket, see ``live.py``
    GET /api/fleets/NAME/history              {"times": [Unix us, ...]}
    GET /api/fleets/NAME/frames/UNIX_US       the frame nearest to that time, as in ``frame.py``
    GET /api/fleets/NAME/roster               ids by slot, as in ``frame.py``
    GET /api/fleets/NAME/entities/ID          who owned it, and when

An error is {"error": message}. Nothing here changes anything.
"""

from __future__ import annotations

import logging
from pathlib import Path

from aiohttp import web
from shardfleet_shard.errors import ShardfleetError, StoreError

from .feed import Feed
from .feeds import Feeds, NoSuchFleet
from .frame import encode_roster
from .guard import Guard
from .live import serve_live

log = logging.getLogger(__name__)

PAGE = Path(__file__).with_name("page")
MAX_CLIENTS = 32
"""Pages at a time: each gets every frame that it has time for."""
MAX_REQUEST_BYTES = 4096
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class MapServer:
    """The handlers. Args: ``feeds``: the fleets that may be looked at."""

    def __init__(self, feeds: Feeds, guard: Guard, *, max_clients: int = MAX_CLIENTS) -> None:
        self._feeds = feeds
        self._guard = guard
        self._max_clients = max_clients
        self._clients = 0
        self._files = {path.name: path.read_bytes() for path in sorted(PAGE.iterdir()) if path.suffix in _TYPES}

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard.middleware], client_max_size=MAX_REQUEST_BYTES)
        fleet = "/api/fleets/{fleet}"
        application.router.add_get("/", self._page)
        application.router.add_get("/page/{file}", self._page)
        application.router.add_get("/healthz", _healthz)
        application.router.add_get("/api/fleets", self._fleets)
        application.router.add_get(f"{fleet}/live", self._live)
        application.router.add_get(f"{fleet}/history", self._history)
        application.router.add_get(f"{fleet}/frames/{{unix_us:[0-9]+}}", self._frame)
        application.router.add_get(f"{fleet}/roster", self._roster)
        application.router.add_get(f"{fleet}/entities/{{id:[0-9]+}}", self._entity)
        return application

    async def _page(self, request: web.Request) -> web.Response:
        name = request.match_info.get("file", "index.html")
        body = self._files.get(name)
        if body is None:
            raise web.HTTPNotFound(reason="no such file of the page")
        return web.Response(body=body, content_type=_TYPES[Path(name).suffix], charset="utf-8")

    async def _fleets(self, _: web.Request) -> web.Response:
        try:
            return web.json_response({"fleets": await self._feeds.names()})
        except ShardfleetError as error:
            return _unavailable(error)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if self._clients >= self._max_clients:
            return web.json_response({"error": f"{self._max_clients} pages look already: close one"}, status=503)
        self._clients += 1
        try:
            return await serve_live(request, await self._feed(request))
        finally:
            self._clients -= 1

    async def _history(self, request: web.Request) -> web.Response:
        return web.json_response({"times": (await self._feed(request)).history.times()})

    async def _frame(self, request: web.Request) -> web.Response:
        frame = (await self._feed(request)).history.at(int(request.match_info["unix_us"]))
        if frame is None:
            raise web.HTTPNotFound(reason="nothing is kept yet")
        return web.Response(body=frame.data, content_type="application/octet-stream")

    async def _roster(self, request: web.Request) -> web.Response:
        slots = (await self._feed(request)).painter.slots
        return web.Response(body=encode_roster(*slots.given_after(0)), content_type="application/octet-stream")

    async def _entity(self, request: web.Request) -> web.Response:
        entity = int(request.match_info["id"])
        found = (await self._feed(request)).entity(entity) if entity < 2**64 else None
        if found is None:
            raise web.HTTPNotFound(reason=f"no shard has shown entity {entity} of late")
        return web.json_response(found)

    async def _feed(self, request: web.Request) -> Feed:
        try:
            return await self._feeds.get(request.match_info["fleet"])
        except NoSuchFleet as error:
            raise web.HTTPNotFound(reason=str(error)) from None
        except ShardfleetError as error:
            log.warning("%s", error)
            reason = "Redis does not answer" if isinstance(error, StoreError) else str(error)
            raise web.HTTPServiceUnavailable(reason=reason) from None


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _unavailable(error: ShardfleetError) -> web.Response:
    return web.json_response({"error": str(error)}, status=503)
