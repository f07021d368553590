"""An aiohttp application at an address, for as long as a block runs."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator

from aiohttp import web
from shardfleet_shard.errors import UsageError


@contextlib.asynccontextmanager
async def served(option: str, address: str | socket.socket, application: web.Application) -> AsyncIterator[str]:
    """Serves ``application`` at ``address``, and yields where that is: port 0 takes a free one.

    Args:
        option: what the address was given by, for messages.
        address: HOST:PORT, or a socket that listens already.
    Raises:
        UsageError: ``option`` is no address, or cannot be listened on.
    """
    # A request whose asker hung up is canceled, and with it its streams from the shards.
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    if isinstance(address, str):
        host, port = split_address(option, address)
    await runner.setup()
    try:
        if not isinstance(address, str):
            await web.SockSite(runner, address).start()
        else:
            try:
                await web.TCPSite(runner, host or "0.0.0.0", port).start()
            except OSError as error:
                raise UsageError(f"{option} {address}: {error.strerror or error}; choose another address") from error
        bound = runner.addresses[0]
        yield f"{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()


def split_address(option: str, address: str) -> tuple[str, int]:
    """('127.0.0.1', 8081) of '127.0.0.1:8081'; the host is '' where there is none. Raises ``UsageError``."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{option} {address!r}: an address is HOST:PORT, for example 127.0.0.1:8081")
    return host.strip("[]"), int(port)
