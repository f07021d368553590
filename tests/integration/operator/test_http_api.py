"""Calls to an API server over HTTP: what a client owes a server that has much to do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import web
from shardfleet_operator.kube import PODS, http_api
from shardfleet_operator.kube.http_api import CONNECTIONS, HttpKubeApi


@dataclass(frozen=True)
class Login:
    server: str

    def as_http_headers(self) -> dict[str, str]:
        return {}

    def as_ssl_context(self) -> ssl.SSLContext:
        raise AssertionError("not over http")


class SlowServer:
    """Needs a good part of a call's time-out for each.

    Attributes:
        most: calls that it had at once.
    """

    def __init__(self) -> None:
        self.most = self._now = 0

    async def answer(self, _: web.Request) -> web.Response:
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0.4 * http_api.TIMEOUT_S)
        self._now -= 1
        return web.json_response({"metadata": {}})


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[SlowServer, HttpKubeApi]]:
    monkeypatch.setattr(http_api, "TIMEOUT_S", 5.0)
    server, application = SlowServer(), web.Application()
    application.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    api = HttpKubeApi(lambda: Login(f"http://{host}:{port}"))
    try:
        yield server, api
    finally:
        await api.close()
        await runner.cleanup()


async def test_a_call_that_waits_for_its_turn_is_not_timed_out_by_it(slow: tuple[SlowServer, HttpKubeApi]) -> None:
    server, api = slow
    # As many as hundreds of fleets make that begin at once: the last are sent when more than a time-out has passed.
    found = await asyncio.gather(*(api.get(PODS, "play", f"arena-{number}") for number in range(4 * CONNECTIONS)))
    assert len(found) == 4 * CONNECTIONS and server.most == CONNECTIONS
