"""The Lease by which one operator at a time acts.

Time is counted from *before* a renewal is sent, on a clock that goes on through a suspend. Whoever could not renew in
time stops acting well before anybody else may take the Lease.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from shardfleet_shard.core.clock import Clock

from .api import ApiError, KubeApi, KubeObject
from .kinds import LEASES

log = logging.getLogger(__name__)

DURATION_S = 15
RENEW_S = 3.0
RETRY_S = 1.0
STOP_AFTER_S = 10.0
"""Without a renewal for so long the holder stops: 5 s before another may begin."""


@dataclass(slots=True)
class _Seen:
    """The Lease as another holds it: it counts from when it was last seen to change, by our own clock."""

    version: str
    since_us: int


class LeaderLease:
    """Takes, keeps and gives up one Lease.

    Args:
        identity: who we are; unique to this process.
    """

    def __init__(self, api: KubeApi, clock: Clock, *, namespace: str, name: str, identity: str) -> None:
        self._api = api
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seen: _Seen | None = None
        self._renewed_us = -1
        self.holder = ""

    @property
    def held(self) -> bool:
        """Whether this process may act at this moment."""
        if self._renewed_us < 0:
            return False
        return self._clock.boottime_us() - self._renewed_us < STOP_AFTER_S * 1_000_000

    async def acquire(self) -> None:
        """Returns once this process holds the Lease. An API server that is away is waited for."""
        said = ""
        while True:
            try:
                if await self.try_once():
                    return
                words = f"waiting for the Lease {self._namespace}/{self._name}: {self.holder} holds it"
            except ApiError as error:
                words = f"waiting for the Lease {self._namespace}/{self._name}: {error}"
            if words != said:
                log.info("%s", words)
                said = words
            await asyncio.sleep(RETRY_S)

    async def keep(self) -> None:
        """Renews. Returns when the Lease is lost."""
        while self.held:
            await asyncio.sleep(RENEW_S)
            try:
                if not await self.try_once():
                    break
            except ApiError as error:
                log.warning("the Lease could not be renewed: %s", error)
        self._renewed_us = -1
        log.error("the Lease %s/%s is lost to %s", self._namespace, self._name, self.holder or "nobody yet")

    async def try_once(self) -> bool:
        """Takes or renews the Lease where that is allowed; whether it is ours now. Raises ``ApiError``."""
        asked_us = self._clock.boottime_us()
        found = await self._api.get(LEASES, self._namespace, self._name)
        try:
            if found is None:
                await self._api.create(self._body(None))
            elif self._may_take(found):
                await self._write(self._body(found))
            else:
                return False
        except ApiError as error:
            if error.status == 409:  # somebody was quicker
                return False
            raise
        self._renewed_us, self.holder = asked_us, self._identity
        return True

    async def release(self) -> None:
        """Lets the next one begin at once. Errors are of no consequence: the Lease runs out by itself."""
        if not self.held:
            return
        self._renewed_us = -1
        try:
            found = await self._api.get(LEASES, self._namespace, self._name)
            if found is not None and found["spec"].get("holderIdentity") == self._identity:
                body = self._body(found)
                body["spec"]["holderIdentity"] = ""
                await self._write(body)
        except ApiError as error:
            log.info("the Lease was not given up: %s", error)

    def _may_take(self, found: KubeObject) -> bool:
        spec, version = found.get("spec") or {}, str(found["metadata"]["resourceVersion"])
        self.holder = str(spec.get("holderIdentity") or "")
        if self.holder in ("", self._identity):
            return True
        now_us = self._clock.boottime_us()
        if self._seen is None or self._seen.version != version:
            self._seen = _Seen(version, now_us)
        lasts_us = int(spec.get("leaseDurationSeconds") or DURATION_S) * 1_000_000
        return now_us - self._seen.since_us > lasts_us

    async def _write(self, body: KubeObject) -> None:
        """Refused (409) where somebody else wrote meanwhile: the body names the version that it follows."""
        await self._api.merge(LEASES, self._namespace, self._name, body)

    def _body(self, found: KubeObject | None) -> KubeObject:
        before = (found or {}).get("spec") or {}
        now = datetime.fromtimestamp(self._clock.now_unix_us() / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_new = before.get("holderIdentity") != self._identity
        metadata = {"namespace": self._namespace, "name": self._name}
        if found is not None:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": DURATION_S,
                "acquireTime": now if is_new else before.get("acquireTime"),
                "renewTime": now,
                "leaseTransitions": int(before.get("leaseTransitions") or 0) + (found is not None and is_new),
            },
        }
