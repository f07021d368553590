"""Dials peers until each that is needed has a link; takes, renews and gives up the leases for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from ..core.clock import Clock
from ..core.frames import Hello
from .background import Background
from .dialing import LeaseAnswer, backoff_us, may_dial
from .leases import HandoffConnectionLeaseCoordinator
from .limits import LinkLimits
from .peer import Peer


class Dialer:
    """One task for each peer that is needed and not there.

    Args:
        dial: makes a link and lives through it; returns when it is over or could not be made.
    """

    def __init__(
        self,
        dial: Callable[[Peer, Hello], Awaitable[None]],
        *,
        hello: Callable[[], Hello | None],
        ordinal: int,
        clock: Clock,
        generator: random.Random,
        leases: HandoffConnectionLeaseCoordinator | None,
        limits: LinkLimits,
        background: Background,
    ) -> None:
        self._dial = dial
        self._hello = hello
        self._ordinal = ordinal
        self._clock = clock
        self._generator = generator
        self._leases = leases
        self._limits = limits
        self._background = background
        self._renewing = False
        self._closing = False

    def needs(self, peer: Peer) -> bool:
        """Whether ``peer`` is to be dialed, now or after a pause."""
        if self._closing or peer.link is not None or peer.address is None or self._hello() is None:
            return False
        return peer.wanted or peer.wanted_until_us > self._clock.boottime_us()

    def consider(self, peer: Peer) -> None:
        """Starts to dial ``peer`` where that is needed and not under way."""
        if peer.dialing is None and self.needs(peer):
            peer.dialing = self._background.start(self._keep_dialing(peer))

    def want_for_a_while(self, peer: Peer) -> None:
        """There is something to say to a peer that has no link."""
        now_us = self._clock.boottime_us()
        if not peer.wanted and peer.wanted_until_us <= now_us:
            peer.missing_since_us = now_us
        peer.wanted_until_us = now_us + self._limits.inactivity_us
        self.consider(peer)

    def renew(self, peers: Mapping[str, Peer]) -> None:
        """Renews the leases that are due, or gives them up where this side has stopped dialing."""
        if self._leases is not None and not self._renewing and not self._closing and self._leases.due():
            self._renewing = True
            self._background.start(self._renew(self._leases, peers))

    async def close(self, peers: Mapping[str, Peer]) -> None:
        """Dials nobody any more, and gives all leases up as far as that takes no more than a moment."""
        self._closing = True
        for peer in peers.values():
            peer.hurry.set()
        if self._leases is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    for name in sorted(peers):
                        await self._leases.release(name)

    async def _keep_dialing(self, peer: Peer) -> None:
        """Dials until there is a link, from either side, or no need for one."""
        try:
            while self.needs(peer):
                pause_us = await self._try_once(peer)
                if self.needs(peer):
                    peer.hurry.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause_us / 1e6):
                            await peer.hurry.wait()
        finally:
            peer.dialing = None
        if self._leases is not None and not self._closing and not self.needs(peer) and peer.link is None:
            await self._leases.release(peer.name)

    async def _try_once(self, peer: Peer) -> int:
        """Dials, if it is this side's turn. Returns the pause before the next try, in microseconds."""
        lease = LeaseAnswer.NONE if self._leases is None else await self._leases.take(peer.name)
        hello, address = self._hello(), peer.address
        if hello is None or address is None or not self.needs(peer):
            return 0
        started_us = self._clock.boottime_us()
        if not may_dial(
            lease,
            ordinal=self._ordinal,
            peer_ordinal=address.ordinal,
            missing_us=started_us - peer.missing_since_us,
            limits=self._limits,
        ):
            return self._limits.ping_interval_us
        await self._dial(peer, hello)
        # Only a link that lived for a while ends the row of failures: one that is made and broken at once would else
        # be dialed again without pause.
        lived = self._clock.boottime_us() - started_us > self._limits.backoff_max_us
        peer.failures = 0 if lived else peer.failures + 1
        return backoff_us(peer.failures, self._limits, self._generator)

    async def _renew(self, leases: HandoffConnectionLeaseCoordinator, peers: Mapping[str, Peer]) -> None:
        try:
            for name in leases.due():
                peer = peers.get(name)
                if peer is not None and (peer.dialing is not None or (peer.link and peer.link.dialed)):
                    await leases.take(name)
                else:
                    await leases.release(name)
        finally:
            self._renewing = False
