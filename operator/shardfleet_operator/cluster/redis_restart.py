"""What a fleet does when its Redis restarted: Redis' new life begins only once no shard of the old one runs."""

from __future__ import annotations

from shardfleet_shard.core.clock import Clock

from ..platforms.kubernetes import KubernetesPlatform
from .conditions import Problem
from .events import EventRecorder
from .redis_link import RedisLink
from .situation import Situation


class RedisRestart:
    """Steps from one life of Redis to the next; each looks at what is left of the former."""

    def __init__(self, situation: Situation, clock: Clock, say: EventRecorder, redis: RedisLink) -> None:
        self._situation = situation
        self._clock = clock
        self._say = say
        self._redis = redis
        self._since_us = 0

    async def step(self, platform: KubernetesPlatform) -> None:
        """No shard acts on Redis' new life before all of them have ended; they do so by themselves.

        Raises:
            ApiError: a pod could not be deleted; call again.
            StoreError: Redis could not be told; call again.
        """
        here = self._situation
        running = [facts for facts in here.pods.pods.values() if facts.began and not facts.ended]
        if running:
            self._report(f"{len(running)} shards end, then recover from what Redis kept")
            now_us = self._clock.now_unix_us()
            self._since_us = self._since_us or now_us
            for facts in running:
                # One that cannot reach Redis does not know that it must end.
                if here.spec is not None and now_us - self._since_us > 2 * here.spec.config.lease_us:
                    await platform.stop_shard(facts.ordinal)
            return
        for process in platform.observe():
            await platform.confirm_ended(process.shard, process.epoch)
        holder = await self._redis.reopen()
        if holder:
            self._report(f"the lease of {holder} must run out first")
        else:
            self._since_us = 0
            await self._say.say("Warning", "RedisRestarted", "Redis restarted; shards recover from what it kept")

    def _report(self, what: str) -> None:
        self._situation.problems.append(Problem(reason="RedisRestarted", message=f"Redis restarted: {what}"))
