"""``Connections``: what must not be able to stop their owner."""

from __future__ import annotations

import redis.exceptions
from shardfleet_shard.store.connections import Connections


class Stuck:
    """Redis' end does not answer: its client gives up waiting for the close."""

    async def disconnect(self) -> None:
        raise redis.exceptions.TimeoutError("Timed out closing connection after 1.0")


async def test_a_connection_that_does_not_close_is_dropped() -> None:
    connections = Connections("redis://127.0.0.1:1/0", limit=2, timeout_s=1.0)
    connections._idle += [Stuck(), Stuck()]  # type: ignore[list-item]
    await connections.close()
    assert not connections._idle
