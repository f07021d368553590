"""The process of the map: ``shardfleet map``, as a person, ``shardfleet local up`` or the chart runs it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.errors import UsageError

from ..serving import served, split_address
from .feeds import Feeds, Known
from .guard import Guard, is_loopback
from .server import MapServer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOptions:
    """What ``shardfleet map`` was asked for.

    Attributes:
        url: of Redis; may hold a password.
        fleet: the only one that may be looked at; '' for all in that Redis.
        address: HOST:PORT, or a socket that listens already.
        hosts: further names under which the server may be asked.
        token: '' for none, which only a loopback address may have.
    """

    url: str
    fleet: str
    address: str | socket.socket
    known: Known = field(default_factory=Known)
    hosts: Sequence[str] = ()
    token: str = ""


async def run_map(options: MapOptions, clock: Clock, *, say: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
        say: gets the page's address, once it is there.
    Raises:
        UsageError: an address that cannot be listened on, or one for everybody without a token.
        StoreUnavailable, StoreRefused: the fleet's Redis did not serve at the start.
    """
    if isinstance(options.address, str) and not options.token:
        host, _ = split_address("--listen", options.address)
        if not is_loopback(host):
            raise UsageError(f"--listen {options.address}: others could look at the fleet: add --token-file FILE")
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    feeds = Feeds(options.url, clock, fleet=options.fleet, known=options.known)
    try:
        await feeds.start()
        guard = Guard(hosts=options.hosts, token=options.token)
        async with served("--listen", options.address, MapServer(feeds, guard).application()) as address:
            say(f"http://{address}/")
            await ended.wait()
    finally:
        await feeds.close()
