"""Who dials, when, and which of two links stays. Pure: no clock, no sockets; randomness is handed in."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import NamedTuple

from .limits import LinkLimits


class PeerAddress(NamedTuple):
    """Where the fleet says a shard is. ``epoch``: of the process that announced the address."""

    address: str
    ordinal: int
    epoch: int


class LeaseAnswer(StrEnum):
    """What is known of the pair's lease."""

    OURS = "ours"
    THEIRS = "theirs"
    UNKNOWN = "unknown"
    """No answer from Redis."""
    NONE = "none"
    """The fleet runs without link leases."""


def may_dial(lease: LeaseAnswer, *, ordinal: int, peer_ordinal: int, missing_us: int, limits: LinkLimits) -> bool:
    """Whether this side dials now.

    The lease's holder dials; where there is none, the lower ordinal. Both are a matter of thrift, not of safety: two
    links of a pair are sorted out by ``stays``. So once ``dial_grace_us`` has passed without a link the other side
    dials too: the one whose turn it is may be dead, with a lease that lives on for seconds, or not want this link.
    """
    if missing_us >= limits.dial_grace_us or lease is LeaseAnswer.OURS:
        return True
    return lease is not LeaseAnswer.THEIRS and ordinal < peer_ordinal


def backoff_us(failures: int, limits: LinkLimits, generator: random.Random) -> int:
    """Pause before the next dial: doubles with each failure in a row up to a bound, half to one and a half of it."""
    pause_us = min(limits.backoff_max_us, limits.backoff_min_us << min(failures, 16))
    return round(pause_us * generator.uniform(0.5, 1.5))


class LinkRank(NamedTuple):
    """What decides between two links of one pair; the same on both sides."""

    epoch: int
    """The peer's."""
    own_epoch: int
    """Under which this side said Hello."""
    dialer: str
    """Name of the shard that dialed."""


def stays(old: LinkRank, new: LinkRank) -> bool:
    """Whether ``old`` stays and ``new`` is refused.

    The newer epoch wins. Within the same epochs a second dial of the same side replaces the first (its dialer has
    lost it), and of two crossing dials that of the lower name wins, so that both sides keep the same one.
    """
    if (old.epoch, old.own_epoch) != (new.epoch, new.own_epoch):
        return (old.epoch, old.own_epoch) > (new.epoch, new.own_epoch)
    return old.dialer < new.dialer
