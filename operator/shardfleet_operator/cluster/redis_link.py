"""A fleet's way to its Redis: which URL, one connection, and which of Redis' lives the world belongs to."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.clock import Clock
from shardfleet_shard.core.requests import Done, Reopen
from shardfleet_shard.errors import ShardfleetError
from shardfleet_shard.store.redis_store import PATIENT_TIMEOUT_S, RedisStore

from ..kube import SECRETS, KubeApi
from ..local.world import World
from . import names
from .objects import RedisSecret
from .spec import FleetSpec


class NoRedis(ShardfleetError):
    """Nobody says where the fleet's Redis is; the message says what to do."""

    code = "no-redis"


@dataclass(slots=True)
class RedisLink:
    """Of one fleet.

    Args:
        default_url: the Redis of the operator's own, for fleets that name none; '' for none.
    Attributes:
        world: None while there is no connection.
        stored: the generation that the world's data belong to.
    """

    api: KubeApi
    clock: Clock
    default_url: str
    world: World | None = None
    stored: str = ""
    _url: str = ""
    _store: RedisStore | None = None

    async def find(self, namespace: str, fleet: str, spec: FleetSpec) -> tuple[RedisSecret, str]:
        """The Secret for the pods, and the URL in it.

        Raises:
            NoRedis: there is none.
            ApiError: the Secret cannot be read.
        """
        if not spec.redis_secret:
            if not self.default_url:
                raise NoRedis(
                    "spec.redis is left out, and the operator has no Redis of its own: set spec.redis.urlSecretRef, "
                    "or install the chart with redis.enabled=true"
                )
            return RedisSecret(name=names.redis_secret_name(fleet), url=self.default_url), self.default_url
        where = f"Secret {namespace}/{spec.redis_secret} (spec.redis.urlSecretRef)"
        found = await self.api.get(SECRETS, namespace, spec.redis_secret)
        if found is None:
            raise NoRedis(f"{where} does not exist: create it with the Redis URL under the key {spec.redis_key!r}")
        encoded = (found.get("data") or {}).get(spec.redis_key)
        if not encoded:
            raise NoRedis(f"{where} has no key {spec.redis_key!r}: put the Redis URL there")
        try:
            url = base64.b64decode(encoded, validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise NoRedis(f"{where}: what is under the key {spec.redis_key!r} is no text") from error
        return RedisSecret(name=spec.redis_secret, key=spec.redis_key), url

    async def open(self, url: str, config: FleetConfig, *, founds: bool = False) -> World:
        """The world behind ``url``; the connection is kept for the next call.

        Args:
            founds: no shard of the fleet runs: where there is no world, one begins.
        Raises:
            StoreUnavailable: no answer.
            StoreRefused: a Redis that cannot serve.
            DataFolderError: data of another format.
        """
        if self._store is None or url != self._url:
            await self.close()
            # Kept from now on, also where it does not answer yet: it connects by itself.
            self._store = RedisStore(url, config.identity, timeout_s=PATIENT_TIMEOUT_S, connections=4)
            self._url = url
        if self.world is None:
            await self._store.connect()
            await self._store.join(founds=founds)
            self.world = World(self._store, config, self.clock, owned=False)
            self.stored = ""
        self.world.config = config
        return self.world

    async def reopen(self) -> str:
        """Makes the world belong to Redis' present life. '' where it does now, else who still has a lease.

        Raises:
            StoreUnavailable: no answer.
        """
        assert self._store is not None
        (reply,) = await self._store.execute([Reopen()])
        return "" if isinstance(reply, Done) else str(getattr(reply, "detail", "") or "somebody")

    async def is_open(self) -> bool:
        """Whether no roll-call goes on; if so, the world is known to belong to Redis' present life.

        Raises:
            StoreUnavailable: no answer.
        """
        assert self._store is not None and self.world is not None
        is_open = await self.world.is_open()
        if is_open:
            self.stored = self._store.generation
        return is_open

    async def close(self) -> None:
        """The next ``open`` connects anew."""
        store, self._store, self.world = self._store, None, None
        if store is not None:
            await store.close()
