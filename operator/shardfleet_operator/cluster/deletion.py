"""The end of a fleet: shards settle and end, its keys go from Redis, then its finalizer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.errors import ShardfleetError

from ..kube import PODS, SHARD_FLEETS, ApiError, ApiUnavailable, KubeApi
from ..local.world import World
from ..platforms import give
from . import names
from .events import EventRecorder
from .pods import FleetPods
from .redis_link import RedisLink
from .spec import FleetSpec

log = logging.getLogger(__name__)

PODS_PATIENCE_US = (names.GRACE_S + 30) * 1_000_000
"""Pods that are still there after their grace are on a node that is gone; the cluster removes them in its own time."""
REDIS_PATIENCE_US = 45_000_000
"""A Redis that does not answer for so long keeps the fleet's keys."""


class Deletion:
    """Steps towards the end; each looks at what is left."""

    def __init__(self, api: KubeApi, clock: Clock, say: EventRecorder, redis: RedisLink) -> None:
        self._api = api
        self._clock = clock
        self._say = say
        self._redis = redis
        self._redis_since_us = 0

    async def step(self, body: Mapping[str, Any], spec: FleetSpec | None, pods: FleetPods) -> bool:
        """Does what can be done now. Returns whether the fleet is gone.

        Raises:
            ApiError: the API server refused something; call again.
        """
        metadata = body["metadata"]
        if names.FINALIZER not in (metadata.get("finalizers") or ()):
            return True
        if spec is not None and await self._still_running(metadata, spec, pods):
            return False
        if spec is not None and not await self._keys_gone(metadata, spec):
            return False
        return await self._release(metadata)

    async def _still_running(self, metadata: Mapping[str, Any], spec: FleetSpec, pods: FleetPods) -> bool:
        if not pods.pods:
            return False
        waited_us = self._clock.now_unix_us() - _unix_us(metadata["deletionTimestamp"])
        if waited_us > PODS_PATIENCE_US:
            left = ", ".join(sorted(pods.pods))
            await self._say.say("Warning", "PodsLeft", f"these pods did not end in {waited_us // 1_000_000} s: {left}")
            return False
        try:
            world = await self._world(metadata, spec)
            if await world.admin.phase() != "settle":
                await world.admin.set_phase("settle")
        except ShardfleetError as error:
            log.info("shards settle by SIGTERM alone: %s", error)
        going_on = sorted(
            (facts for facts in pods.pods.values() if not facts.deleting), key=lambda facts: facts.ordinal
        )
        await give([partial(self._api.delete, PODS, facts.namespace, facts.name, uid=facts.uid)] for facts in going_on)
        return True

    async def _keys_gone(self, metadata: Mapping[str, Any], spec: FleetSpec) -> bool:
        """Whether nothing more is to be done in Redis."""
        now_us = self._clock.now_unix_us()
        self._redis_since_us = self._redis_since_us or now_us
        try:
            world = await self._world(metadata, spec)
            living = [member.shard for member in (await world.observe()).members if member.living]
            if living and now_us - self._redis_since_us < 2 * spec.config.lease_us:
                return False  # its pod is gone without a word, so its lease must run out
            deleted = await world.admin.delete_fleet()
            log.info(
                "keys deleted", extra={"fleet": spec.config.name, "namespace": spec.config.namespace, "keys": deleted}
            )
            return True
        except ApiUnavailable:
            raise  # says nothing of Redis
        except ShardfleetError as error:
            if now_us - self._redis_since_us < REDIS_PATIENCE_US:
                return False
            await self._say.say(
                "Warning", "RedisKeysLeft", f"the keys sf:{spec.config.identity}:* were not deleted: {error}"
            )
            return True

    async def _world(self, metadata: Mapping[str, Any], spec: FleetSpec) -> World:
        _, url = await self._redis.find(metadata["namespace"], metadata["name"], spec)
        return await self._redis.open(url, spec.config)

    async def _release(self, metadata: Mapping[str, Any]) -> bool:
        finalizers = [one for one in metadata["finalizers"] if one != names.FINALIZER]
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": finalizers}}
        try:
            await self._api.merge(SHARD_FLEETS, metadata["namespace"], metadata["name"], patch)
        except ApiError as error:
            if error.status != 404:
                raise
        return True


def _unix_us(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000_000)
