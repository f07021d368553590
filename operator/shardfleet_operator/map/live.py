"""One page's WebSocket: it asks, and gets the newest frame; so whoever is slow gets fewer frames, and none queues up.

The page sends ``next`` once it has taken what it got. It is answered, as soon as there is something new, by

- a binary ``roster`` of the slots that were given since the last one, where there are any;
- a binary ``frame``; none where there is only trouble;
- last, a text {"type": "news", "trouble": why no frame is newer, or '', "items": [...]}.
"""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from .feed import Feed
from .frame import Frame, encode_roster
from .guard import PROTOCOL

HEARTBEAT_S = 20.0
MAX_MESSAGE_BYTES = 64
"""Of the page: it has one word to say."""
SEND_TIMEOUT_S = 30.0
"""A page that takes so long for one frame is gone, or as good as."""


async def serve_live(request: web.Request, feed: Feed) -> web.WebSocketResponse:
    """Until the page goes."""
    socket = web.WebSocketResponse(
        protocols=[PROTOCOL], heartbeat=HEARTBEAT_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False, timeout=2.0
    )
    await socket.prepare(request)
    leave = feed.look()
    client = _Client(socket, feed)
    try:
        async for message in socket:
            if message.type is not WSMsgType.TEXT or message.data != "next":
                await socket.close(code=1008, message=b"a page says 'next' and nothing else")
                break
            async with asyncio.timeout(None) as patience:
                await client.answer(patience)
    except (ConnectionError, TimeoutError):
        pass  # it went, and sees by itself what to do
    finally:
        leave()
    return socket


class _Client:
    """What one page has got so far."""

    def __init__(self, socket: web.WebSocketResponse, feed: Feed) -> None:
        self._socket = socket
        self._feed = feed
        self._frame = 0
        self._revision = 0
        self._item = 0
        self._trouble = ""

    async def answer(self, patience: asyncio.Timeout) -> None:
        while not self._has_news() and not self._socket.closed:
            await self._feed.changed()
        patience.reschedule(asyncio.get_running_loop().time() + SEND_TIMEOUT_S)
        frame = self._feed.latest
        if frame is not None and frame.number != self._frame:
            await self._send_frame(frame)
        self._trouble = self._feed.trouble
        items = self._feed.news.after(self._item)
        self._item = items[-1].number if items else self._item
        await self._socket.send_json(
            {"type": "news", "trouble": self._trouble, "items": [item.to_dict() for item in items]}
        )

    async def _send_frame(self, frame: Frame) -> None:
        slots = self._feed.painter.slots
        if frame.revision > self._revision:
            roster = slots.given_after(self._revision)
            self._revision = slots.revision
            await self._socket.send_bytes(encode_roster(*roster))
        self._frame = frame.number
        await self._socket.send_bytes(frame.data)

    def _has_news(self) -> bool:
        frame = self._feed.latest
        return self._trouble != self._feed.trouble or (frame is not None and frame.number != self._frame)
