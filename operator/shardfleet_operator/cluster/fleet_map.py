"""A fleet's own live map: made where the spec asks for it, taken away where it does not.

It is the last thing that a fleet needs. Whatever the API server has against it becomes an Event, and holds up nothing.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import sys
from collections.abc import Mapping
from typing import Any

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.errors import UsageError

from ..kube import DEPLOYMENTS, SECRETS, ApiError, ApiUnavailable, KubeApi, kind_of
from ..map.guard import checked_token
from . import names
from .events import EventRecorder
from .map_objects import TOKEN_KEY, map_objects
from .objects import FleetObjects
from .ownership import ForeignObject, refuse_foreign

CHECK_US = 120_000_000
"""Deployments are not watched: one that somebody deleted is back after so long."""
RETRY_US = 30_000_000
NEVER_US = sys.maxsize


class FleetMap:
    """Of one fleet.

    Attributes:
        token: of the map that is there; '' for none.
    """

    def __init__(self, api: KubeApi, clock: Clock, say: EventRecorder) -> None:
        self.token = ""
        self._api = api
        self._clock = clock
        self._say = say
        self._wanted: tuple[FleetObjects, str] | None = None
        self._due_us = 0

    async def keep(self, objects: FleetObjects, url: str, *, enabled: bool) -> None:
        """Sees to it that the map is there, or is not; asks nobody anything while that is so.

        Args:
            url: of the fleet's Redis.
        Raises:
            ApiUnavailable: no answer; call again.
            SpecError: spec.template does not fit.
        """
        now_us, wanted = self._clock.now_unix_us(), (objects, url) if enabled else None
        if now_us < self._due_us and wanted == self._wanted:
            return
        self._wanted, self._due_us = wanted, 0
        try:
            if enabled:
                await self._make(objects, url)
                self._due_us = now_us + CHECK_US
            else:
                await self._end(objects)
                self._due_us = NEVER_US
        except ApiUnavailable:
            raise
        except (ApiError, ForeignObject) as error:
            self._due_us = now_us + RETRY_US
            if enabled and not error.retryable:
                await self._say.say("Warning", "MapNotMade", f"the fleet's own map (spec.map): {error}")

    def recheck(self) -> None:
        """Something of it may have been deleted."""
        if self._wanted is not None:
            self._due_us = 0

    async def _make(self, objects: FleetObjects, url: str) -> None:
        stored = await self._api.get(SECRETS, objects.namespace, names.map_name(objects.name))
        token = _token_in(stored) or secrets.token_hex(32)
        for body in map_objects(objects, token=token, url=url):
            refuse_foreign(await self._api.get(kind_of(body), objects.namespace, body["metadata"]["name"]), body)
            await self._api.apply(body)
        self.token = token

    async def _end(self, objects: FleetObjects) -> None:
        """The Secret and the NetworkPolicy stay until the fleet goes: a map that comes back has the token of before."""
        self.token = ""
        name = names.map_name(objects.name)
        found = await self._api.get(DEPLOYMENTS, objects.namespace, name)
        if found is None:
            return
        with contextlib.suppress(ForeignObject):
            refuse_foreign(found, objects.owned(DEPLOYMENTS.api_version, DEPLOYMENTS.kind, name))
            await self._api.delete(DEPLOYMENTS, objects.namespace, name, uid=found["metadata"]["uid"])


def _token_in(secret: Mapping[str, Any] | None) -> str:
    """'' where it has none that the map would take."""
    try:
        encoded = ((secret or {}).get("data") or {})[TOKEN_KEY]
        return checked_token(base64.b64decode(encoded, validate=True).decode(), source="the map's Secret")
    except (KeyError, ValueError, UsageError):
        return ""
