"""What one shard remembers of one other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from ..core.clock import PeerClock
from .dialing import PeerAddress
from .link import Link


@dataclass(slots=True, eq=False)
class Peer:
    """``name`` is the peer's shard. Written by links.py and dialer.py only."""

    name: str
    address: PeerAddress | None = None
    """Where the observed fleet has it; None where it is not (or no longer) in it."""
    wanted: bool = False
    wanted_until_us: int = 0
    """Someone had a frame for it: it is dialed as if it were wanted, until then (boot time)."""
    link: Link | None = None
    newest_epoch: int = -1
    """The newest that said Hello; frames of older ones are refused."""
    clock: PeerClock = field(default_factory=PeerClock)
    missing_since_us: int = 0
    """Since when a link is needed and not there (boot time)."""
    failures: int = 0
    """Dials in a row that led to no lasting link."""
    dialing: asyncio.Task[None] | None = None
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    """Ends the pause before the next dial."""

    def describe(self, now_unix_us: int) -> dict[str, Any]:
        """Plain values, for inspection."""
        link = self.link
        return {
            "peer": self.name,
            "address": self.address.address if self.address else "",
            "epoch": max(0, self.newest_epoch),
            "up": link is not None,
            "protocol_version": link.protocol_version if link else 0,
            "dialed": bool(link and link.dialed),
            "wanted": self.wanted,
            "queued_frames": link.queued_frames if link else 0,
            "queued_bytes": link.queued_bytes if link else 0,
            "frames_sent": link.frames_sent if link else 0,
            "frames_received": link.frames_received if link else 0,
            "clock_offset_us": self.clock.offset_us,
            "clock_error_us": self.clock.error_us(now_unix_us),
        }
