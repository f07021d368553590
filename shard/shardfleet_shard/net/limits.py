"""Bounds and intervals of links, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from .packets import MAX_FRAME_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    """Durations in microseconds."""

    queue_frames: int = 512
    """Frames that wait for one peer: some ticks' worth for every pair. A full queue makes the planner wait."""
    queue_bytes: int = 4 * MAX_FRAME_BYTES
    """Bytes that wait for one peer; what a stuck peer can cost in memory."""
    reserved_frames: int = 64
    """Room that ``queue_room`` does not offer to the planner, with the same share of ``queue_bytes``: answers, finals
    and nudges go even while it waits."""
    hello_deadline_us: int = 2_000_000
    """A side that has not said Hello by then is no shard."""
    ping_interval_us: int = 250_000
    """Also the beat of everything periodic here: silence, reaping, dialing, renewing."""
    silent_pings: int = 7
    """Beats without a single frame after which a peer counts as dead: just under 2 s. Counted in own beats, so a
    pause of this process is not taken for the peer's."""
    inactivity_us: int = 2_000_000
    """A link that nobody wants is closed after so long without a frame of the handoff."""
    dial_grace_us: int = 1_000_000
    """How long the side that should not dial waits for the other, which may be gone or not know that it is wanted."""
    backoff_min_us: int = 50_000
    backoff_max_us: int = 1_000_000
    """Bounds of the pause between two dials, before jitter."""
