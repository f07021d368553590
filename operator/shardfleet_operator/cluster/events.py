"""Kubernetes Events about a fleet: what ``kubectl describe sf`` shows at its end."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from typing import Any, Literal

from shardfleet_shard.core.clock import Clock

from ..kube import EVENTS, SHARD_FLEETS, ApiError, KubeApi

log = logging.getLogger(__name__)

SAME_AGAIN_US = 600_000_000
"""The same words about the same fleet are an Event at most once in ten minutes."""
MAX_REMEMBERED = 200
MAX_MESSAGE = 1_000
"""Characters; the API takes 1024."""

EventType = Literal["Normal", "Warning"]


class EventRecorder:
    """Of one fleet. An Event that the API server does not take is only logged: nothing depends on it."""

    def __init__(self, api: KubeApi, clock: Clock, *, namespace: str, fleet: str, uid: str) -> None:
        self._api = api
        self._clock = clock
        self._namespace = namespace
        self._fleet = fleet
        self._uid = uid
        self._said: dict[tuple[str, str], int] = {}

    async def say(self, kind: EventType, reason: str, message: str, **fields: str) -> None:
        """Writes an Event unless the same was said lately; ``fields`` are for the log."""
        now_us, message = self._clock.now_unix_us(), message[:MAX_MESSAGE]
        key = (reason, message)
        if now_us - self._said.get(key, -SAME_AGAIN_US) < SAME_AGAIN_US:
            return
        self._said.pop(key, None)
        self._said[key] = now_us
        while len(self._said) > MAX_REMEMBERED:
            self._said.pop(next(iter(self._said)))
        log.log(
            logging.INFO if kind == "Normal" else logging.WARNING,
            "%s: %s",
            reason,
            message,
            extra={"fleet": self._fleet, "namespace": self._namespace, **fields},
        )
        try:
            await self._api.create(self._body(kind, reason, message, now_us))
        except ApiError as error:
            log.info("an Event was not written: %s", error)

    def _body(self, kind: EventType, reason: str, message: str, now_us: int) -> dict[str, Any]:
        time = api_time(now_us)
        tag = hashlib.sha256(f"{reason} {message} {now_us}".encode()).hexdigest()[:16]
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"namespace": self._namespace, "name": f"{self._fleet}.{tag}"},
            "involvedObject": {
                "apiVersion": SHARD_FLEETS.api_version,
                "kind": SHARD_FLEETS.kind,
                "namespace": self._namespace,
                "name": self._fleet,
                "uid": self._uid,
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "source": {"component": "shardfleet-operator"},
        }


def api_time(unix_us: int) -> str:
    """As the API writes times: whole seconds."""
    return datetime.fromtimestamp(unix_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
