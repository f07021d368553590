"""The fleets of one Redis that are looked at: a feed each, begun by the first page and ended when nobody comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.errors import ShardfleetError
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.keys import FLEET_NAME, fleet_prefix
from shardfleet_shard.store.redis_store import PATIENT_TIMEOUT_S, RedisStore

from ..watchdog import HANDOFF_DISCREPANCY_THRESHOLD_US
from .feed import Feed
from .history import SPAN_US
from .news import News
from .painter import Box, Painter
from .reader import Reader

MAX_FEEDS = 8
"""Fleets at a time: each has a history of up to 100 MB."""
MAX_NAMES = 1_000
TIDY_S = 10.0
CONNECTIONS = 2
ANY_FLEET = "fleets"
"""A name for the connection that asks which fleets there are; no key of it is ever read."""


class NoSuchFleet(ShardfleetError):
    """No fleet of that name may be looked at here."""

    code = "not-found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a fleet's own settings say, where they are at hand."""

    box: Box | None = None
    threshold_us: int = HANDOFF_DISCREPANCY_THRESHOLD_US


@dataclass(slots=True)
class _Running:
    store: RedisStore
    feed: Feed
    task: asyncio.Task[None]
    left_us: int = 0
    """When nobody was seen to look at it first; 0 while somebody does."""


class Feeds:
    """Args: ``fleet``: the only one that may be looked at, read from the start; '' for all that this Redis has."""

    def __init__(
        self, url: str, clock: Clock, *, fleet: str = "", known: Known | None = None, max_feeds: int = MAX_FEEDS
    ) -> None:
        self._max_feeds = max_feeds
        self._url = url
        self._clock = clock
        self._fleet = fleet
        self._known = known or Known()
        self._running: dict[str, _Running] = {}
        self._admin_store = RedisStore(url, fleet or ANY_FLEET, timeout_s=PATIENT_TIMEOUT_S, connections=CONNECTIONS)
        self._lock = asyncio.Lock()
        self._tidying: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises ``StoreUnavailable`` or ``StoreRefused``, where it is one fleet's map."""
        if self._fleet:
            await self._admin_store.read_info()
            await self.get(self._fleet)
        self._tidying = asyncio.create_task(self._tidy(), name="map tidy")

    async def names(self) -> Sequence[str]:
        """Sorted. Raises ``StoreUnavailable``."""
        if self._fleet:
            return [self._fleet]
        return (await FleetAdmin(self._admin_store).fleets())[:MAX_NAMES]

    async def get(self, name: str) -> Feed:
        """The fleet's feed, which is begun where it does not run.

        Raises:
            NoSuchFleet: there is none.
            StoreUnavailable: no answer.
        """
        async with self._lock:
            if name not in self._running:
                if not await self._exists(name):
                    raise NoSuchFleet(f"no fleet {name!r} here")
                if len(self._running) >= self._max_feeds:
                    raise ShardfleetError(f"{self._max_feeds} fleets are looked at already: close the page of one")
                self._running[name] = await self._begin(name)
            return self._running[name].feed

    async def _exists(self, name: str) -> bool:
        """Without looking through all keys, as ``names`` does."""
        if self._fleet:
            return name == self._fleet
        if not FLEET_NAME.fullmatch(name):
            return False
        (found,) = await self._admin_store.call([("EXISTS", f"{fleet_prefix(name)}meta")])
        return bool(found)

    async def close(self) -> None:
        if self._tidying is not None:
            self._tidying.cancel()
        for name in list(self._running):
            await self._end(name)
        await self._admin_store.close()

    async def _begin(self, name: str) -> _Running:
        store = RedisStore(self._url, name, timeout_s=PATIENT_TIMEOUT_S, connections=CONNECTIONS)
        await store.load_scripts()
        known = self._known
        feed = Feed(
            Reader(store, self._clock),
            Painter(box=known.box),
            News(threshold_us=known.threshold_us),
            self._clock,
        )
        return _Running(store, feed, asyncio.create_task(feed.run(), name=f"map {name}"))

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_S)
            await self.end_abandoned()

    async def end_abandoned(self) -> None:
        """Ends what nobody was seen to look at for as long as the history reaches back. Is called now and then."""
        now_us = self._clock.now_unix_us()
        async with self._lock:
            for name, one in list(self._running.items()):
                if one.feed.viewers or name == self._fleet:
                    one.left_us = 0
                elif not one.left_us:
                    one.left_us = now_us
                elif now_us - one.left_us > SPAN_US:
                    await self._end(name)

    async def _end(self, name: str) -> None:
        one = self._running.pop(name)
        one.task.cancel()
        await asyncio.gather(one.task, return_exceptions=True)
        await one.store.close()
