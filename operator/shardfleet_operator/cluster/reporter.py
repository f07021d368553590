"""Says what is: writes a fleet's status, and an Event where a condition turned."""

from __future__ import annotations

from typing import Any

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.core.damage import words_of

from ..kube import SHARD_FLEETS, KubeApi
from .conditions import Facts, conditions, turned
from .copies import CopyTask
from .events import EventRecorder, api_time
from .redis_link import RedisLink
from .situation import Situation
from .status import Picture, build_status, is_due
from .watch import WatchdogTask


class StatusReporter:
    """The only writer of one fleet's status.

    Attributes:
        written: the status as it was written last.
    """

    def __init__(
        self,
        situation: Situation,
        api: KubeApi,
        clock: Clock,
        say: EventRecorder,
        *,
        redis: RedisLink,
        watchdog: WatchdogTask,
        copies: CopyTask,
    ) -> None:
        self.written: dict[str, Any] = dict(situation.body.get("status") or {})
        self._situation = situation
        self._api = api
        self._clock = clock
        self._say = say
        self._redis = redis
        self._watchdog = watchdog
        self._copies = copies
        self._written_us = 0

    async def write(self) -> None:
        """Writes what is worth it. Raises ``ApiError``."""
        now_us, here = self._clock.now_unix_us(), self._situation
        status = build_status(self._picture(), conditions(self._facts()), self.written, time=api_time(now_us))
        if not is_due(status, self.written, since_us=now_us - self._written_us):
            return
        await self._api.merge(SHARD_FLEETS, here.namespace, here.name, {"status": status}, subresource="status")
        for kind, one in turned(self.written.get("conditions") or (), status["conditions"]):
            await self._say.say(kind, one["reason"], one["message"])
        self.written, self._written_us = status, now_us

    def _picture(self) -> Picture:
        here = self._situation
        return Picture(
            generation=here.generation,
            fleet=here.name,
            pods=list(here.pods.pods.values()),
            layout=here.layout,
            claims=here.observed.claims if here.observed is not None else None,
            stats=here.figures.stats,
            counters=here.figures.counters,
            handoffs_per_second=here.figures.handoffs_per_second,
            active_transfers=here.figures.active_transfers,
            census=self._watchdog.census,
            copy=self._copies.latest,
        )

    def _facts(self) -> Facts:
        here, census, world = self._situation, self._watchdog.census, self._redis.world
        info = world.store.info if world is not None else None
        return Facts(
            problems=here.problems,
            pods=sorted(here.pods.pods.values(), key=lambda facts: facts.ordinal),
            misfits=here.misfits,
            wanted=here.spec.config.replicas if here.spec is not None else 0,
            cells=here.cells,
            claimed=here.claimed,
            redis_answers=here.observed is not None,
            durable=info.durable if info is not None else None,
            findings=[str(finding) for finding in self._watchdog.standing],
            missing=len(census.missing) if census is not None else None,
            doubled=len(census.doubled) if census is not None else None,
            damaged=words_of(census.damages, most=3) if census is not None and census.damages else "",
            skewed=here.figures.skewed,
            changing=here.changing,
            deleting=here.deleting,
            leaving=here.leaving,
            placed=frozenset(here.layout.shards) if here.layout is not None else frozenset(),
        )
