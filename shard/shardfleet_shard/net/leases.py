"""The leases of pairs of shards in Redis: whose turn it is to dial.

A lease saves dials, nothing more. Losing one, or not knowing, never breaks a link that stands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..core.clock import Clock
from ..core.frames import Hello
from ..core.requests import Done, LinkLease, Refused, RefusedReason, Reply
from .dialing import LeaseAnswer


class HandoffConnectionLeaseCoordinator:
    """Takes, renews and gives up this shard's link leases.

    Args:
        execute: asks the store; None stands for no answer.
        hello: this shard's name and epoch; None while it has none.
        ttl_us: how long a lease lasts; renewed every third of it.
    """

    def __init__(
        self,
        execute: Callable[[LinkLease], Awaitable[Reply | None]],
        *,
        hello: Callable[[], Hello | None],
        clock: Clock,
        ttl_us: int,
    ) -> None:
        self._execute = execute
        self._hello = hello
        self._clock = clock
        self._ttl_us = ttl_us
        self._held: dict[str, tuple[int, int]] = {}
        """Peer -> (own epoch, boot time before the request that took or renewed the lease)."""

    def holds(self, peer: str) -> bool:
        """Whether the pair's lease is surely ours still."""
        hello, held = self._hello(), self._held.get(peer)
        if hello is None or held is None:
            return False
        epoch, since_us = held
        return epoch == hello.epoch and self._clock.boottime_us() - since_us < self._ttl_us

    def due(self) -> list[str]:
        """Peers whose lease is to be renewed, sorted."""
        before_us = self._clock.boottime_us() - self._ttl_us // 3
        return sorted(peer for peer, (_, since_us) in self._held.items() if since_us <= before_us)

    async def take(self, peer: str) -> LeaseAnswer:
        """Takes or renews the lease of the pair with ``peer``."""
        hello = self._hello()
        if hello is None:
            return LeaseAnswer.UNKNOWN
        # Counted from before the request, so that ours ends before Redis' does.
        asked_at_us = self._clock.boottime_us()
        reply = await self._execute(
            LinkLease(shard=hello.shard, epoch=hello.epoch, peer=peer, ttl_ms=max(1, self._ttl_us // 1_000))
        )
        match reply:
            case Done():
                self._held[peer] = (hello.epoch, asked_at_us)
                return LeaseAnswer.OURS
            case Refused(reason=RefusedReason.HELD):
                self._held.pop(peer, None)
                return LeaseAnswer.THEIRS
            case _:
                return LeaseAnswer.UNKNOWN

    async def release(self, peer: str) -> None:
        """Gives the lease up, where it is held; an answer that never comes is left to the lease's end."""
        held = self._held.pop(peer, None)
        hello = self._hello()
        if held is not None and hello is not None:
            await self._execute(LinkLease(shard=hello.shard, epoch=hello.epoch, peer=peer, ttl_ms=0))
