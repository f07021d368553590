"""``shardfleet map``: the live map's own process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .fleet import Data, FleetName, RedisUrl

if TYPE_CHECKING:
    import socket

    from ..map.process import MapOptions

ADDRESS = "127.0.0.1:7373"


def register(app: typer.Typer) -> None:
    app.command("map")(live_map)


def live_map(
    data: Data = None,
    redis_url: RedisUrl = None,
    fleet: FleetName = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Serve the page there; port 0 takes a free one.")
    ] = ADDRESS,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="Who looks must know the token in it. Needed where --listen is no loopback address.",
        ),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="NAME",
            help="A name, besides localhost, under which browsers reach it; may be given again.",
        ),
    ] = None,
    socket_fd: Annotated[int | None, typer.Option("--socket-fd", metavar="FD", hidden=True)] = None,
) -> None:
    """Serve the live map of a fleet that runs, until Ctrl-C.

    'shardfleet local up' does this by itself. With --redis and without --fleet, all fleets of that Redis can be looked
    at. It reads, and changes nothing.

    \b
    Example:
      shardfleet map
      SHARDFLEET_REDIS_URL=redis://127.0.0.1:6379 shardfleet map --fleet arena
    """
    import asyncio
    import logging
    import socket
    import sys

    from shardfleet_shard.system_clock import SystemClock

    from ..map.process import run_map

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    address = listen if socket_fd is None else socket.socket(fileno=socket_fd)
    options = _options(data, redis_url, fleet, address=address, hosts=host or [], token=_token(token_file))
    asyncio.run(run_map(options, SystemClock(), say=lambda url: print(f"the map is at {url}", flush=True)))


def _options(
    data: Path | None,
    redis_url: str | None,
    fleet: str | None,
    *,
    address: str | socket.socket,
    hosts: list[str],
    token: str,
) -> MapOptions:
    from ..local.folder import DataFolder
    from ..map.feeds import Known
    from ..map.process import MapOptions
    from .fleet import locate

    if data is None and fleet is None and redis_url is not None:
        return MapOptions(url=redis_url, fleet="", address=address, hosts=hosts, token=token)
    location = locate(data, redis_url, fleet)
    known = Known()
    config = DataFolder.discover(data).stored_config() if redis_url is None or data is not None else None
    if config is not None:
        low, high = config.world_low, config.world_high
        known = Known(box=((low[0], low[1]), (high[0], high[1])), threshold_us=config.discrepancy_threshold_us)
    return MapOptions(url=location.url, fleet=location.name, address=address, known=known, hosts=hosts, token=token)


def _token(file: Path | None) -> str:
    from shardfleet_shard.errors import UsageError

    from ..map.guard import checked_token

    if file is None:
        return ""
    try:
        return checked_token(file.read_text(), source=f"--token-file {file}")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {file}: cannot be read ({error})") from error
