"""``kubectl shardfleet map``: a forward to the live map's pod, and a browser that is shown the way."""

from __future__ import annotations

import asyncio
import contextlib
import html
import os
import sys
import tempfile
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
from shardfleet_shard.environment import SCREEN_VARIABLES
from shardfleet_shard.errors import ShardfleetError, UsageError

from .forward import MAP_PORT, Cluster, ClusterError
from .remote import TIMEOUT_S, reached

_ANSWER = aiohttp.ClientTimeout(total=TIMEOUT_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Access:
    """How to get to the map that shows ``fleet``, its name in Redis. ``namespace``: of the map's pod."""

    fleet: str
    namespace: str
    selector: str
    token: str


async def show(cluster: Cluster, fleet: str, *, port: int, opens: bool) -> None:
    """Forwards until it is canceled; says the page's address, its token in the fragment.

    Args:
        port: of this machine; 0 for a free one.
        opens: show the page in a browser, where a person and a screen are.
    Raises:
        UsageError: no such fleet, no map, or a fleet that this map cannot show.
        ClusterError: what the cluster refused, or the forward ended.
    """
    access = await _access(cluster, fleet)
    pod = await cluster.map_pod(access.namespace, access.selector)
    async with cluster.forward(access.namespace, pod, MAP_PORT, local_port=port) as (url, ended):
        await _check(url, access)
        address = f"{url}/#{urlencode({'fleet': access.fleet, 'token': access.token})}"
        print(f"the map is at {address}", flush=True)
        with _opened(address) if opens and _has_screen() else contextlib.nullcontext():
            await asyncio.wait({ended})
    raise ClusterError("kubectl port-forward ended: the map's pod was replaced, or the connection broke; ask again")


async def _access(cluster: Cluster, fleet: str) -> _Access:
    async with reached(cluster, fleet) as remote:
        found = await remote.map_access()
        fleet_name = f"{remote.namespace}.{remote.name}"
    namespace = found["namespace"] or (await cluster.operator_pod())[0]
    return _Access(fleet=fleet_name, namespace=namespace, selector=found["selector"], token=found["token"])


async def _check(url: str, access: _Access) -> None:
    """Whether the map answers, and has this fleet. Raises ``UsageError`` or ``ShardfleetError``."""
    headers = {"Authorization": f"Bearer {access.token}"}
    try:
        async with (
            aiohttp.ClientSession(trust_env=False, timeout=_ANSWER) as session,
            session.get(f"{url}/api/fleets", headers=headers) as response,
        ):
            said = await response.json()
            if response.status != 200:
                raise ShardfleetError(f"the map answers {response.status}: {said.get('error', '')}")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise ShardfleetError(f"the map: {str(error) or 'no answer'}; ask again") from error
    if access.fleet not in said["fleets"]:
        raise UsageError(f"no fleet {access.fleet} in the Redis that the map reads: ask again once it is Available")


@contextlib.contextmanager
def _opened(address: str) -> Iterator[None]:
    """Lets the browser begin at a file that only this user can read: others see command lines, and so would a token."""
    with tempfile.TemporaryDirectory(prefix="shardfleet-map-") as folder:
        page = Path(folder) / "map.html"
        _write(page, address)
        webbrowser.open(page.as_uri())
        yield


def _write(page: Path, address: str) -> None:
    with os.fdopen(os.open(page, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(address)}">\n')


def _has_screen() -> bool:
    """Elsewhere ``webbrowser`` would begin one in the terminal."""
    desktop = sys.platform == "darwin" or any(os.environ.get(name) for name in SCREEN_VARIABLES)
    return sys.stdout.isatty() and desktop
