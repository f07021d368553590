"""All links of one shard: who is dialed, which link of a pair stands, and when one goes.

The manager never waits for a peer: ``send`` puts a frame into a bounded queue or says no. Its callbacks run in the
loop's thread, between two awaits, in the order in which the frames came.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..core.clock import Clock, PeerClock
from ..core.frames import Frame, Hello
from ..errors import FrameError
from .background import Background
from .dialer import Dialer
from .dialing import LinkRank, PeerAddress, stays
from .handshake import find_objection
from .leases import HandoffConnectionLeaseCoordinator
from .limits import LinkLimits
from .link import HandoffFrame, Link
from .packets import HandoffPacketManager
from .peer import Peer
from .streams import INSECURE, Credentials, DialedStream, LinkStream, StreamEnded

logger = logging.getLogger(__name__)

MAX_PEERS = 1024
"""More shards than one Redis is meant for; bounds what callers with ever new names can make us remember."""
REPLACED = "another link of this pair stands"
RETIRE_S = 0.25
"""How long a replaced link is still read."""
DRAIN_S = 0.2
"""How long ``close`` waits for queues to run empty."""
MAX_TOLD = 1024
"""Reasons that are remembered so that each is logged once."""


class LinkRefused(Exception):
    """A rule of the handshake was broken; the text goes to the peer."""


class HandoffConnectionManager:
    """One long-lived stream to each peer that is needed.

    Args:
        hello: what this shard says first; None while it may not talk yet (links are refused, nothing is dialed).
            When the result changes, all links are closed and made anew.
        ordinal: this shard's.
        packets: the wire format.
        clock: Unix time for probes, boot time for everything that runs out.
        generator: for the jitter between dials.
        on_frame: (peer, the peer's epoch, frame) for each Offer, Answer, Final and Nudge. Must not raise: what it
            raises goes to the loop's exception handler, and the link is closed.
        on_up: (peer, epoch, Hello) when an epoch of a peer is linked for the first time since ``on_down``.
        on_down: (peer, reason) when its last link is gone.
        leases: decides who dials; None: the lower ordinal does.
        credentials: TLS; plain text by default.
    """

    def __init__(
        self,
        *,
        hello: Callable[[], Hello | None],
        ordinal: int,
        packets: HandoffPacketManager,
        clock: Clock,
        generator: random.Random,
        on_frame: Callable[[str, int, HandoffFrame], None],
        on_up: Callable[[str, int, Hello], None],
        on_down: Callable[[str, str], None],
        leases: HandoffConnectionLeaseCoordinator | None = None,
        limits: LinkLimits | None = None,
        credentials: Credentials = INSECURE,
    ) -> None:
        self._hello = hello
        self._packets = packets
        self._clock = clock
        self._on_frame = on_frame
        self._on_up = on_up
        self._on_down = on_down
        self._limits = limits or LinkLimits()
        self._credentials = credentials
        self._peers: dict[str, Peer] = {}
        self._streams: set[DialedStream] = set()
        self._background = Background(expected=StreamEnded)
        self._beat_task: asyncio.Task[None] | None = None
        self._closing = False
        self._told: dict[tuple[str, str], None] = {}
        self._ended_bytes_sent = 0
        self._dialer = Dialer(
            self._dial,
            hello=hello,
            ordinal=ordinal,
            clock=clock,
            generator=generator,
            leases=leases,
            limits=self._limits,
            background=self._background,
        )
        self.refused_by_reason: dict[str, int] = {}
        """Frames, by ``FrameError.reason``."""
        self.links_refused = 0
        """Links that were not made or were closed because a rule was broken."""
        self.dials = 0

    # --- what the authority manager calls --------------------------------------------------------------------------

    @property
    def frames_refused(self) -> int:
        return sum(self.refused_by_reason.values())

    @property
    def bytes_sent(self) -> int:
        """Payload of all frames, on all links so far."""
        return self._ended_bytes_sent + sum(p.link.bytes_sent for p in self._peers.values() if p.link)

    def set_peers(self, peers: Mapping[str, tuple[str, int, int]], wanted: Collection[str]) -> None:
        """Takes the observed fleet: shard -> (address, ordinal, epoch), and which shards need a standing link.

        May name this shard itself, which is left out. To be called inside the running loop.
        """
        hello = self._hello()
        now_us = self._clock.boottime_us()
        for name in sorted(self._peers.keys() - peers.keys()):
            self._peers[name].address = None
            self._peers[name].wanted = False
        for name in sorted(peers):
            if hello is not None and name == hello.shard:
                continue
            peer = self._find_or_add(name)
            address = PeerAddress(*peers[name])
            if address != peer.address:
                peer.address, peer.failures = address, 0
                peer.hurry.set()
            if not peer.wanted and name in wanted and peer.link is None:
                peer.missing_since_us = now_us
            peer.wanted = name in wanted
            if peer.link is not None and peer.link.epoch < address.epoch:
                peer.link.close(f"epoch {peer.link.epoch} of {name} was superseded by {address.epoch}")
            self._dialer.consider(peer)
        self._start_beating()

    def send(self, peer: str, frame: Frame) -> bool:
        """Queues a frame of the handoff for ``peer``. Never waits.

        Returns:
            False where there is no link (one is then made, as far as the peer's address is known) or its queue is
            full. True is no promise: a link that breaks loses what is on its way.
        """
        record = self._peers.get(peer)
        if record is None:
            return False
        if record.link is None:
            self._dialer.want_for_a_while(record)
            return False
        return record.link.send(frame)

    def queue_room(self, peer: str) -> int:
        """How many full offers may be planned for ``peer`` now; some room is kept back for answers and finals.

        A peer without a link has none; asking makes one, as ``send`` does.
        """
        record = self._peers.get(peer)
        if record is None:
            return 0
        if record.link is None:
            self._dialer.want_for_a_while(record)
            return 0
        return record.link.room()

    def peer_clock(self, peer: str) -> PeerClock | None:
        """What is known of the peer's clock; None where its current epoch was never linked."""
        record = self._peers.get(peer)
        return record.clock if record is not None and record.newest_epoch >= 0 else None

    def renew_credentials(self, credentials: Credentials) -> None:
        """Dials with these from now on, and makes the links anew that it dialed with others."""
        self._credentials = credentials
        for _, peer in sorted(self._peers.items()):
            if peer.link is not None and peer.link.dialed:
                peer.link.close("credentials were renewed")

    def describe(self) -> list[dict[str, Any]]:
        """One plain dict a peer, for inspection."""
        now_us = self._clock.now_unix_us()
        return [peer.describe(now_us) for _, peer in sorted(self._peers.items())]

    async def close(self) -> None:
        """Sends what is queued, as far as that takes no more than a moment, and ends all links."""
        self._closing = True
        if self._beat_task is not None:
            self._beat_task.cancel()
        links = [peer.link for peer in self._peers.values() if peer.link is not None]
        if links:
            drains = [asyncio.create_task(link.drain()) for link in links]
            await asyncio.wait(drains, timeout=DRAIN_S)
            for link in links:
                link.close("shutting down")
            await asyncio.wait(drains)
        await self._dialer.close(self._peers)
        for stream in list(self._streams):
            await stream.close()
        await self._background.wait(at_most_s=2)

    # --- links, from both ends -------------------------------------------------------------------------------------

    async def accept(self, stream: LinkStream) -> str | None:
        """Serves a stream that a peer dialed, until the link is closed.

        Returns:
            The reason to abort the stream with, where a rule was broken; else None.
        """
        mine = None if self._closing else self._hello()
        if mine is None:
            return "not ready"
        self._start_beating()
        link = self._make_link(stream, mine, dialed=False)
        return await self._serve(link, stream, expected=None)

    async def _dial(self, peer: Peer, mine: Hello) -> None:
        assert peer.address is not None
        self.dials += 1
        stream = DialedStream(peer.address.address, credentials=self._credentials, server_name=peer.name)
        self._streams.add(stream)
        try:
            await self._serve(self._make_link(stream, mine, dialed=True), stream, expected=peer.name)
        finally:
            self._streams.discard(stream)
            await stream.close()

    async def _serve(self, link: Link, stream: LinkStream, *, expected: str | None) -> str | None:
        """Handshake and life of a link. Returns the reason of a refusal by this side."""
        try:
            if link.dialed:
                await link.say_hello()
            theirs = await link.hear_hello()
            objection = find_objection(link.mine, theirs, expected=expected, names=stream.names)
            if objection is not None:
                raise LinkRefused(objection)
            if not link.dialed:
                self._check_place(link)
                await link.say_hello()
            peer = self._check_place(link)
            self._take_up(peer, link)
            await link.run(peer.clock)
        except StreamEnded as error:
            self._tell(link.peer if link.theirs else expected or "?", str(error))
            link.close(str(error))
        except FrameError as error:
            self._count_refused(error)
            link.close(str(error), refused=True)
        except LinkRefused as error:
            link.close(str(error), refused=True)
        finally:
            # Also where the task is cancelled: gRPC does that to the called side when the caller goes away.
            link.close("the peer went away")
            self._take_down(link, expected)
        return link.reason if link.refused else None

    def _make_link(self, stream: LinkStream, mine: Hello, *, dialed: bool) -> Link:
        return Link(
            stream,
            mine=mine,
            dialed=dialed,
            packets=self._packets,
            clock=self._clock,
            limits=self._limits,
            on_frame=self._pass_on,
            on_refused=self._count_refused,
        )

    def _check_place(self, link: Link) -> Peer:
        """The peer's record, if there is a place for ``link`` in it. Raises ``LinkRefused``."""
        if len(self._peers) >= MAX_PEERS and link.peer not in self._peers:
            raise LinkRefused(f"no room for more than {MAX_PEERS} peers")
        if self._closing or link.mine != self._hello():
            raise LinkRefused("not ready")
        peer = self._find_or_add(link.peer)
        newest = max(peer.newest_epoch, peer.address.epoch if peer.address else -1)
        if link.epoch < newest:
            raise LinkRefused(f"epoch {link.epoch} of {link.peer} was superseded by {newest}")
        if peer.link is not None and stays(self._rank(peer.link), self._rank(link)):
            raise LinkRefused(REPLACED)
        return peer

    def _rank(self, link: Link) -> LinkRank:
        dialer = link.mine.shard if link.dialed else link.peer
        return LinkRank(epoch=link.epoch, own_epoch=link.mine.epoch, dialer=dialer)

    def _take_up(self, peer: Peer, link: Link) -> None:
        old, peer.link = peer.link, link
        same = old is not None and old.epoch == link.epoch
        if old is not None:
            if same:
                link.take_over(old)
                # Not at once: the peer may not have taken the new link up yet, and would see itself without any.
                asyncio.get_running_loop().call_later(RETIRE_S, old.close, REPLACED)
            else:
                old.close(REPLACED)
            self._count_ended(old)
        if link.epoch != peer.newest_epoch:
            peer.newest_epoch, peer.clock = link.epoch, PeerClock()
        for told in [told for told in self._told if told[0] == peer.name]:
            del self._told[told]
        if same:
            return
        if old is not None:
            self._on_down(peer.name, f"superseded by epoch {link.epoch}")
        assert link.theirs is not None
        logger.info("link up", extra={"peer": peer.name, "peer_epoch": link.epoch, "dialed": link.dialed})
        self._on_up(peer.name, link.epoch, link.theirs)

    def _take_down(self, link: Link, expected: str | None) -> None:
        for task in link.tasks:
            self._background.watch(task)
        reason = link.reason or ""
        if link.refused and reason != REPLACED:  # crossing dials break no rule
            self.links_refused += 1
            self._tell(link.peer if link.theirs else expected or "?", reason)
        peer = self._peers.get(link.peer)
        if peer is None or peer.link is not link:
            return
        peer.link = None
        peer.missing_since_us = self._clock.boottime_us()
        self._count_ended(link)
        if not link.refused:
            logger.info("link down", extra={"peer": peer.name, "peer_epoch": link.epoch, "reason": reason})
        self._on_down(peer.name, reason)
        self._dialer.consider(peer)

    def _pass_on(self, link: Link, frame: HandoffFrame) -> None:
        peer = self._peers[link.peer]
        if link.epoch < peer.newest_epoch:
            said = f"a frame of epoch {link.epoch} after epoch {peer.newest_epoch} said Hello"
            raise FrameError(said, reason="old epoch")
        self._on_frame(peer.name, link.epoch, frame)

    # --- the beat --------------------------------------------------------------------------------------------------

    def _start_beating(self) -> None:
        if self._beat_task is None and not self._closing:
            self._beat_task = self._background.start(self._keep_beating())

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(self._limits.ping_interval_us / 1e6)
            self._beat()

    def _beat(self) -> None:
        """Probes every link, closes those that nobody needs or that are out of date, dials what is missing."""
        hello, now_us = self._hello(), self._clock.boottime_us()
        for peer in list(self._peers.values()):
            link = peer.link
            if link is None:
                self._dialer.consider(peer)
            elif link.mine != hello:
                link.close("this shard's own epoch or generation changed")
            elif self._is_idle(peer, link, now_us):
                link.close("idle")
            else:
                link.beat()
        self._dialer.renew(self._peers)

    def _is_idle(self, peer: Peer, link: Link, now_us: int) -> bool:
        # Only the dialer reaps: were both to, a link that one side wants would be closed by the other again and again.
        needed = peer.wanted or not link.dialed
        return not needed and now_us - max(link.used_at_us, peer.wanted_until_us) > self._limits.inactivity_us

    # --- small things ----------------------------------------------------------------------------------------------

    def _find_or_add(self, name: str) -> Peer:
        if name not in self._peers:
            self._peers[name] = Peer(name, missing_since_us=self._clock.boottime_us())
        return self._peers[name]

    def _count_ended(self, link: Link) -> None:
        self._ended_bytes_sent += link.bytes_sent

    def _count_refused(self, error: FrameError) -> None:
        self.refused_by_reason[error.reason] = self.refused_by_reason.get(error.reason, 0) + 1

    def _tell(self, peer: str, reason: str) -> None:
        """Logs a reason once, until the peer is linked."""
        linked = peer in self._peers and self._peers[peer].link is not None
        if linked or self._closing or (peer, reason) in self._told:
            return
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        self._told[peer, reason] = None
        logger.warning("no link to %s: %s", peer, reason)
