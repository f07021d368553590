"""The map's server, asked by a plain client."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pytest
from shardfleet_operator.map.frame import decode
from shardfleet_operator.map.guard import HEADERS, PROTOCOL, checked_token
from shardfleet_shard.errors import UsageError

from tests.patience import PATIENCE_S

from .stand_in import FLEET, Circles, PaintedFeeds, past

TOKEN = "a-token-of-the-tests-0123456789"
LIVE = f"api/fleets/{FLEET}/live"


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Asker:
    """One page's socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.ids: dict[int, int] = {}

    async def next(self) -> tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]:
        """(news, the frame's JSON or None, its arrays)"""
        await self.socket.send_str("next")
        frame, arrays = None, {}
        while True:
            message = await self.socket.receive(timeout=PATIENCE_S)
            if message.type is aiohttp.WSMsgType.TEXT:
                return json.loads(message.data), frame, arrays
            assert message.type is aiohttp.WSMsgType.BINARY, message
            meta, parts = decode(message.data)
            if meta["type"] == "roster":
                self.ids.update(zip(parts["slot"].tolist(), parts["id"].tolist(), strict=True))
            else:
                frame, arrays = meta, parts


async def test_a_page_gets_frames_that_say_who_is_where(client: aiohttp.ClientSession) -> None:
    feeds = PaintedFeeds(Circles(50))
    async with feeds.served() as url, client.ws_connect(url + LIVE, protocols=[PROTOCOL]) as socket:
        asker = Asker(socket)
        news, frame, arrays = await asker.next()
        assert socket.protocol == PROTOCOL
        assert frame is not None
        assert (frame["entities"], len(arrays["tag"])) == (50, 50)
        assert sorted(asker.ids.values()) == list(range(1, 51))
        shard = frame["shards"][0]
        places = feeds.reader.circles.places(shard["unix_us"])
        order = np.array([asker.ids[slot] for slot in range(50)]) - 1
        assert np.abs(arrays["position"] - places[order]).max() < 0.01
        assert [item["kind"] for item in news["items"]] == ["fleet"]
        again, later, _ = await asker.next()
        assert later is not None
        assert later["number"] > frame["number"]
        assert again["items"] == []


async def test_who_is_slow_gets_the_newest_frame_and_none_in_between(client: aiohttp.ClientSession) -> None:
    feeds = PaintedFeeds(Circles(50))
    async with feeds.served() as url, client.ws_connect(url + LIVE, protocols=[PROTOCOL]) as socket:
        asker = Asker(socket)
        _, first, _ = await asker.next()
        assert first is not None
        while feeds.feed.latest is None or feeds.feed.latest.number < first["number"] + 5:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        newest = feeds.feed.latest.number
        _, second, _ = await asker.next()
        assert second is not None
        assert second["number"] >= newest


async def test_nothing_is_sent_that_was_not_asked_for(client: aiohttp.ClientSession) -> None:
    feeds = PaintedFeeds(Circles(50))
    async with feeds.served() as url, client.ws_connect(url + LIVE, protocols=[PROTOCOL]) as socket:
        asker = Asker(socket)
        await asker.next()
        number = feeds.feed.latest.number if feeds.feed.latest else 0
        received = asyncio.create_task(socket.receive())
        while feeds.feed.latest is None or feeds.feed.latest.number < number + 3:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert not received.done()
        received.cancel()
        await asyncio.gather(received, return_exceptions=True)


async def test_a_silent_redis_is_said_and_so_is_its_return(client: aiohttp.ClientSession) -> None:
    feeds = PaintedFeeds(Circles(50))
    async with feeds.served() as url, client.ws_connect(url + LIVE, protocols=[PROTOCOL]) as socket:
        asker = Asker(socket)
        await asker.next()
        feeds.reader.silent = True
        news: dict[str, Any] = {"trouble": ""}
        while not news["trouble"]:
            news, _, _ = await asker.next()
        assert news["trouble"] == "no answer from Redis at nowhere"
        feeds.reader.silent = False
        while news["trouble"]:
            news, frame, _ = await asker.next()
        assert frame is not None
        assert [item["text"] for item in news["items"]] == ["Redis answers again"]


async def test_a_page_that_says_anything_else_is_closed(client: aiohttp.ClientSession) -> None:
    async with (
        PaintedFeeds(Circles(5)).served() as url,
        client.ws_connect(url + LIVE, protocols=[PROTOCOL]) as socket,
    ):
        await socket.send_str("delete everything")
        message = await socket.receive(timeout=PATIENCE_S)
        assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1008)


async def test_only_so_many_pages_at_a_time_and_another_once_one_has_gone(client: aiohttp.ClientSession) -> None:
    feeds = PaintedFeeds(Circles(5))
    async with feeds.served(max_clients=1) as url:
        async with client.ws_connect(url + LIVE, protocols=[PROTOCOL]):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(url + LIVE, protocols=[PROTOCOL])
            assert refused.value.status == 503
        while feeds.feed.viewers:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        async with client.ws_connect(url + LIVE, protocols=[PROTOCOL]) as socket:
            assert (await Asker(socket).next())[1] is not None


async def test_the_past_and_one_entitys_owners(client: aiohttp.ClientSession) -> None:
    feeds = PaintedFeeds(Circles(50))
    past(feeds, 60)
    feeds.reader.silent = True  # nothing is added to it
    async with feeds.served() as url:
        fleet = f"{url}api/fleets/{FLEET}"
        times = (await (await client.get(f"{fleet}/history")).json())["times"]
        assert len(times) >= 58
        meta, arrays = decode(await (await client.get(f"{fleet}/frames/{times[10] + 1}")).read())
        assert (meta["unix_us"], len(arrays["tag"])) == (times[10], 50)
        roster, parts = decode(await (await client.get(f"{fleet}/roster")).read())
        assert (roster["count"], sorted(parts["id"].tolist())) == (50, list(range(1, 51)))
        found = await (await client.get(f"{fleet}/entities/7")).json()
        # 0.35 radians a second: a border every 4.5 s.
        assert 12 <= len(found["owners"]) <= 16
        turns = [one["owner"] for one in found["owners"]]
        assert all(before != after for before, after in itertools.pairwise(turns))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"api/fleets/{FLEET}/entities/999", 404),
        (f"api/fleets/{FLEET}/entities/{2**64}", 404),
        (f"api/fleets/{FLEET}/entities/x", 404),
        (f"api/fleets/{FLEET}/frames/0", 404),
        ("api/fleets/other/live", 404),
        ("api/fleets/other/history", 404),
        ("page/../server.py", 404),
        ("page/nothing.js", 404),
        ("healthz", 200),
        ("", 200),
    ],
)
async def test_what_is_there_and_what_is_not(client: aiohttp.ClientSession, path: str, status: int) -> None:
    feeds = PaintedFeeds(Circles(5))
    feeds.reader.silent = True  # nothing is kept
    async with feeds.served() as url, client.get(url + path) as answer:
        assert answer.status == status
        if status == 404:
            assert (await answer.json())["error"]


async def test_nothing_can_be_changed(client: aiohttp.ClientSession) -> None:
    async with PaintedFeeds(Circles(5)).served() as url:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            async with client.request(method, f"{url}api/fleets") as answer:
                assert answer.status == 405


async def test_every_answer_tells_browsers_what_they_may_not(client: aiohttp.ClientSession) -> None:
    async with PaintedFeeds(Circles(5)).served() as url:
        for path in ("", "page/main.js", "api/fleets", "page/nothing.js", "nowhere"):
            async with client.get(url + path) as answer:
                assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path


async def test_the_page_asks_nobody_else(client: aiohttp.ClientSession) -> None:
    async with PaintedFeeds(Circles(5)).served() as url:
        text = await (await client.get(url)).text()
        assert "://" not in text
        assert "style=" not in text  # the policy would drop it


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:80"}, 421),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:1"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_other_names_and_pages_of_others_are_refused(
    client: aiohttp.ClientSession, headers: dict[str, str], status: int
) -> None:
    async with PaintedFeeds(Circles(5)).served() as url:
        for path in ("", "api/fleets"):
            async with client.get(url + path, headers=headers) as answer:
                assert answer.status == status
        if status != 200:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(url + LIVE, headers=headers)
            assert refused.value.status == status


async def test_its_own_page_may_ask(client: aiohttp.ClientSession) -> None:
    async with (
        PaintedFeeds(Circles(5)).served() as url,
        client.get(f"{url}api/fleets", headers={"Origin": url.rstrip("/")}) as answer,
    ):
        assert await answer.json() == {"fleets": [FLEET]}


async def test_with_a_token_only_who_knows_it_is_told_anything(client: aiohttp.ClientSession) -> None:
    async with PaintedFeeds(Circles(5)).served(token=TOKEN) as url:
        async with client.get(url) as page:  # the page itself is no secret, and asks for all else
            assert page.status == 200
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {TOKEN}x"}):
            for path in ("api/fleets", f"api/fleets/{FLEET}/history", f"api/fleets/{FLEET}/entities/1"):
                async with client.get(url + path, headers=wrong) as answer:
                    assert answer.status == 401
        for protocols in ([PROTOCOL], [PROTOCOL, "token.wrong"]):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(url + LIVE, protocols=protocols)
            assert refused.value.status == 401
        async with client.get(f"{url}api/fleets", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 200
        async with client.ws_connect(url + LIVE, protocols=[PROTOCOL, f"token.{TOKEN}"]) as socket:
            assert (await Asker(socket).next())[1] is not None
            assert socket.protocol == PROTOCOL  # the answer does not repeat it


@pytest.mark.parametrize("text", ["", "short", "with a blank, long enough", "ümlaut-and-long-enough"])
def test_a_token_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="a token is at least 16"):
        checked_token(text, source="--token-file x")


def test_a_token_of_a_file_ends_with_its_line() -> None:
    assert checked_token(f"{TOKEN}\n", source="x") == TOKEN
