"""What the operator's inspection port says, asked through a forward."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from shardfleet_shard.errors import ShardfleetError, UsageError

from .forward import Cluster

TIMEOUT_S = 15.0
_ANSWER = aiohttp.ClientTimeout(total=TIMEOUT_S)
_STREAM = aiohttp.ClientTimeout(sock_connect=TIMEOUT_S)
MAX_LINE = 2**20
"""Of one row: a simulation's columns can be wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFleet:
    """One fleet behind an open forward."""

    namespace: str
    name: str
    url: str
    session: aiohttp.ClientSession

    async def get(self, what: str) -> dict[str, Any]:
        """``status``, ``transfers`` or ``entities/ID``.

        Raises:
            UsageError: no such fleet or entity.
            ShardfleetError: no answer, or not now.
        """
        async with self._ask(what, {}, _ANSWER) as response:
            return dict(await response.json())

    async def map_access(self) -> dict[str, str]:
        """``namespace`` ('' for the operator's) and ``selector`` of the live map's pod, and its ``token``.

        Raises as ``get``.
        """
        return await self.get("map")

    async def rows(self, ids: tuple[int, ...], interval_us: int) -> AsyncGenerator[dict[str, Any], None]:
        """Rows without end, as ``watching.rows_of`` made them. Raises as ``get``."""
        query = {"interval_us": str(interval_us), **({"ids": ",".join(map(str, ids))} if ids else {})}
        async with self._ask("rows", query, _STREAM) as response:
            async for line in response.content:
                yield json.loads(line)

    @contextlib.asynccontextmanager
    async def _ask(
        self, what: str, query: Mapping[str, str], limits: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = f"{self.url}/fleets/{self.namespace}/{self.name}/{what}"
        try:
            async with self.session.get(url, params=query, timeout=limits) as response:
                if response.status != 200:
                    raise await _error(response)
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or "no answer"
            raise ShardfleetError(f"the operator's inspection port: {reason}; ask again") from error


async def _error(response: aiohttp.ClientResponse) -> ShardfleetError:
    text = await response.text()
    try:
        message = str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return ShardfleetError(f"the operator's inspection port answers {response.status}: {text[:200]}")
    return UsageError(message) if response.status < 500 else ShardfleetError(message)


@contextlib.asynccontextmanager
async def reached(cluster: Cluster, fleet: str) -> AsyncIterator[RemoteFleet]:
    """A fleet (''; the only one of the namespace), for as long as the forward is open.

    Raises:
        UsageError: no kubectl, no such fleet, no operator.
        ClusterError: what the cluster refused.
    """
    namespace = await cluster.fleet_namespace()
    name = fleet or await cluster.only_fleet(namespace)
    async with (
        cluster.forwarded() as url,
        # What the environment says of proxies is not for a forward on this machine.
        aiohttp.ClientSession(trust_env=False, read_bufsize=MAX_LINE) as session,
    ):
        yield RemoteFleet(namespace=namespace, name=name, url=url, session=session)
