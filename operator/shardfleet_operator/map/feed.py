"""Reads and paints one fleet over and over, for whoever waits for the next frame."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.errors import StoreError

from .frame import Frame
from .history import FrameHistory
from .news import News
from .painter import Painter
from .reader import Reader

log = logging.getLogger(__name__)

WATCHED_S = 0.125
"""Between two readings while somebody looks. Positions are interpolated in between, states are not."""
UNWATCHED_S = 1.0
"""For the history alone."""
REST = 4
"""A reading that took t is followed by at least 4 t of rest: a large world gets fewer frames, not a busier Redis."""
SLOWEST_S = 2.0
AGAIN_S = 1.0


class Feed:
    """One fleet's frames.

    Attributes:
        latest: the newest frame, or None before the first.
        trouble: why there is no newer one; '' while all is well.
        viewers: how many pages look at it now.
    """

    def __init__(self, reader: Reader, painter: Painter, news: News, clock: Clock) -> None:
        self.painter = painter
        self.news = news
        self.history = FrameHistory()
        self.latest: Frame | None = None
        self.trouble = ""
        self.viewers = 0
        self._reader = reader
        self._clock = clock
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Until it is canceled. What cannot be read is said, and tried again."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                await self._once()
                rest_s = self._rest_s(loop.time() - began_s)
            except (StoreError, ValueError) as error:
                self._say_trouble(str(error))
                rest_s = AGAIN_S
            except Exception as error:  # this fleet's map stands still, and says so; those of others go on
                log.exception("a frame could not be made")
                self._say_trouble(f"a frame could not be made: {type(error).__name__}: {error}")
                rest_s = AGAIN_S
            await self._rest(rest_s)

    async def changed(self) -> None:
        """Returns when there is a newer frame, or other trouble, than at the call."""
        await self._changed.wait()

    def look(self) -> Callable[[], None]:
        """Somebody looks from now on, until the function that is returned is called."""
        self.viewers += 1
        self._wanted.set()

        def leave() -> None:
            self.viewers -= 1
            if not self.viewers:
                self._wanted.clear()

        return leave

    def entity(self, entity_id: int) -> dict[str, Any] | None:
        return self.painter.entity(entity_id)

    async def _once(self) -> None:
        snapshot = await self._reader.read()
        self.news.take(snapshot)
        if self.trouble:
            self.news.say(snapshot.unix_us, "redis", "Redis answers again")
            self.trouble = ""
        self.latest = self.painter.paint(snapshot)
        self.history.take(self.latest)
        self._tell()

    def _say_trouble(self, what: str) -> None:
        if self.trouble:
            return
        log.warning("%s", what)
        self.trouble = what
        self.news.say(self._clock.now_unix_us(), "redis", what)
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _rest_s(self, took_s: float) -> float:
        interval_s = WATCHED_S if self.viewers else UNWATCHED_S
        return min(SLOWEST_S, max(interval_s - took_s, REST * took_s))

    async def _rest(self, rest_s: float) -> None:
        """Cut short where somebody begins to look at what nobody looked at."""
        if self.viewers:
            await asyncio.sleep(rest_s)
            return
        try:
            async with asyncio.timeout(rest_s):
                await self._wanted.wait()
        except TimeoutError:
            return
