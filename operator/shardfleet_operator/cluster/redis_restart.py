"""What a fleet does when its Redis restarted: its shards tell it what it may have forgotten, in a roll-call."""

from __future__ import annotations

from ..platforms.kubernetes import KubernetesPlatform
from .conditions import Problem
from .events import EventRecorder
from .redis_link import RedisLink
from .situation import Situation


class RedisRestart:
    """Steps from one life of Redis to the next."""

    def __init__(self, situation: Situation, say: EventRecorder, redis: RedisLink) -> None:
        self._situation = situation
        self._say = say
        self._redis = redis

    async def step(self, platform: KubernetesPlatform) -> bool:
        """Returns whether the world is open. Where no shard runs, nobody has anything to say.

        Raises:
            StoreError: Redis could not be told; call again.
        """
        here = self._situation
        restarted = bool(self._redis.stored)
        running = [facts for facts in here.pods.pods.values() if facts.began and not facts.ended]
        if not running:
            for process in platform.observe():
                await platform.confirm_ended(process.shard, process.epoch)
            if holder := await self._redis.reopen():
                self._report(f"the lease of {holder} must run out first")
                return False
        if not await self._redis.is_open():
            self._report(f"{len(running)} shards tell it what it may have forgotten")
            return False
        if restarted:
            await self._say.say("Warning", "RedisRestarted", "Redis restarted; the shards told it what they know")
        return True

    def _report(self, what: str) -> None:
        self._situation.problems.append(Problem(reason="RedisRestarted", message=f"Redis restarted: {what}"))
