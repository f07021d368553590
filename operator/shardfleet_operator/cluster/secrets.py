"""The Secrets with a fleet's certificates: read once, written when one is made or renewed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Iterable, Mapping
from functools import partial

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.net.tls import TlsFiles

from ..kube import SECRETS, KubeApi
from ..platforms import give
from . import names
from .certificates import Pair, bundle, issuer_of, next_authorities, next_certificate, read_pairs
from .objects import FleetObjects
from .ownership import refuse_foreign

log = logging.getLogger(__name__)

Data = dict[str, bytes]

ASKER = "operator.shardfleet.dev"
"""Has a dot, so that no shard can have this name."""

CHECK_US = 600_000_000
"""Whether a certificate is due is looked at this often; their lives are counted in days."""


class FleetCertificates:
    """Of one fleet."""

    def __init__(self, api: KubeApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._authorities: list[Pair] = []
        self._known: dict[str, Data] = {}
        self._checked_us = 0
        self._forgotten = 0
        """How often something was: an answer that was asked for before says nothing of what is there after."""
        self._asker: Pair | None = None
        self._making_authorities = asyncio.Lock()

    async def ensure(self, objects: FleetObjects, shard: str) -> None:
        """Sees to it that the shard's Secret is there and good; for several shards at once, if need be.

        Raises:
            ApiError: the API server refused something.
            ForeignObject: somebody else has a Secret of this name.
        """
        now_us = self._clock.now_unix_us()
        async with self._making_authorities:  # two at once would each make one, and shards would trust only theirs
            await self._ensure_authorities(objects, now_us)
        name = names.tls_secret_name(shard)
        stored = await self._stored(objects, name)
        known = Pair(stored["tls.crt"], stored["tls.key"]) if {"tls.crt", "tls.key"} <= stored.keys() else None
        issuer = issuer_of(self._authorities, now_us=now_us)
        pair = next_certificate(known, issuer, shard=shard, now_us=now_us)
        wanted = {"ca.crt": bundle(self._authorities), "tls.crt": pair.certificate, "tls.key": pair.key}
        await self._store(objects, name, wanted)

    async def renew(self, objects: FleetObjects, shards: Iterable[str]) -> None:
        """As ``ensure`` for each, where one may be due. Raises ``ApiError``."""
        now_us = self._clock.now_unix_us()
        if now_us - self._checked_us < CHECK_US:
            return
        self._checked_us = now_us  # before it is done: what is deleted meanwhile must be looked at again
        try:
            await give([partial(self.ensure, objects, shard)] for shard in sorted(shards))
        except BaseException:
            self._checked_us = 0
            raise

    def asker(self, *, now_us: int) -> TlsFiles | None:
        """With what the operator asks shards: a certificate in no shard's name. None before the authorities are known.

        It is kept here only, for as long as it is good.
        """
        if not self._authorities:
            return None
        issuer = issuer_of(self._authorities, now_us=now_us)
        self._asker = pair = next_certificate(self._asker, issuer, shard=ASKER, now_us=now_us)
        return TlsFiles(bundle(self._authorities), pair.certificate, pair.key)

    def forget(self, name: str) -> None:
        """A Secret of this fleet was deleted. The authorities are still known here, so they stay."""
        self._known.pop(name, None)
        self._forgotten += 1
        self._checked_us = 0

    def recheck(self) -> None:
        """Secrets may have been deleted unseen. The authorities are still known here, so they stay."""
        self._known.clear()
        self._forgotten += 1
        self._checked_us = 0

    async def _ensure_authorities(self, objects: FleetObjects, now_us: int) -> None:
        name = names.authority_secret_name(objects.name)
        if not self._authorities:
            stored = await self._stored(objects, name)
            try:
                self._authorities = read_pairs(stored.get("ca.crt", b""), stored.get("ca.key", b""))
            except ValueError as error:
                if stored:
                    log.warning("the fleet's authority is made anew: %s", error, extra={"secret": name})
                self._authorities = []
        self._authorities = next_authorities(self._authorities, fleet=objects.config.identity, now_us=now_us)
        keys = b"".join(authority.key for authority in self._authorities)
        await self._store(objects, name, {"ca.crt": bundle(self._authorities), "ca.key": keys})

    async def _stored(self, objects: FleetObjects, name: str) -> Data:
        if name in self._known:
            return self._known[name]
        forgotten = self._forgotten
        found = await self._api.get(SECRETS, objects.namespace, name)
        refuse_foreign(found, objects.secret(name, {}))
        data = _decoded((found or {}).get("data") or {})
        if self._forgotten == forgotten:
            self._known[name] = data
        return data

    async def _store(self, objects: FleetObjects, name: str, wanted: Data) -> None:
        if self._known.get(name) != wanted:
            forgotten = self._forgotten
            await self._api.apply(objects.secret(name, wanted))
            if self._forgotten == forgotten:
                self._known[name] = wanted


def _decoded(data: Mapping[str, str]) -> Data:
    try:
        return {name: base64.b64decode(text, validate=True) for name, text in data.items()}
    except binascii.Error:
        return {}
