"""A shard process' own figures: plain integers on the hot path, published in each manifest's header.

They count from the process' start. A reader sums over (shard, epoch), keeping the last it saw of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from .histogram import Histogram


@dataclass(slots=True)
class ShardStats:
    """All counts are of this process alone; entities unless the name says otherwise."""

    state: str = "starting"
    """starting, recovering, active, fenced, draining, settling, simulation-error, resigned"""
    cells: str = ""
    """Claimed cell paths, comma-separated."""
    world: list[float] = field(default_factory=list)
    """The box of the fleet's spec: the low corner, then the high one. A reader of Redis alone has it from here."""
    ticks: int = 0
    ticks_skipped: int = 0
    ticks_thrown_away: int = 0
    """Simulated, then dropped because the lease had ended meanwhile."""
    frozen_entity_ticks: int = 0
    entities: int = 0
    passing: int = 0
    frozen: int = 0
    transfers_open: int = 0
    handoff_delay_us: int = 0
    """From the plan to the switch, as it is now: the fleet's own, or longer after late answers."""
    late_answers: int = 0
    """Transfers whose answer came after their deadline."""
    final_state_used: int = 0
    fast_forwarded: int = 0
    continuity_checked: int = 0
    continuity_error_max: float = 0.0
    overlap_ticks: int = 0
    """Entity ticks that both sides of a handoff simulated: the source's final tick against the first one here."""
    catch_up_ticks: int = 0
    frames_stale: int = 0
    """Frames refused: offers to a former process, or that came after their transfer time."""
    frames_contradicting: int = 0
    """Frames refused: answers that take a former answer back."""
    frames_unfit: int = 0
    """Frames refused: final states that do not belong to their offer."""
    offers_refused: int = 0
    transfers_completed: int = 0
    """Transfers, not entities, of which this shard was the source, as the three below."""
    transfers_canceled: int = 0
    transfers_rejected: int = 0
    transfers_frozen: int = 0
    """Whose switch came in doubt."""
    redis_requests: int = 0
    redis_unanswered: int = 0
    damaged_records: int = 0
    """Headers, chunks and journal entries in Redis, of whatever shard, that this process had to leave out."""
    not_restored: int = 0
    """Entities that were in no record that is whole, when this process last met damaged ones."""
    roll_calls: int = 0
    """Redis restarted so often since this process began."""
    taken_over: int = 0
    """Entities of dead shards that this one took up, those in ``handed_over_in`` included."""
    publishes: int = 0
    publish_bytes: int = 0
    publish_us: int = 0
    """Time that ticks spent on making manifests."""
    publish_interval_us: int = 0
    simulation_errors: int = 0
    spawns_refused: int = 0
    handed_over_out: int = 0
    handed_over_in: int = 0
    link_bytes_sent: int = 0
    skewed_peers: str = ""
    """Peers whose clock is out of the limit, comma-separated."""
    clock_offset_us_max: int = 0
    last_error: str = ""
    tick_us: Histogram = field(default_factory=Histogram)
    """Duration of the six steps."""
    gap_us: Histogram = field(default_factory=Histogram)
    """Signed wall time from the source's last tick to the target's first, beyond one tick, an entity a sample."""
    transfer_us: Histogram = field(default_factory=Histogram)
    """From BEGIN to the source knowing of the acceptance, a transfer a sample."""

    @property
    def frames_refused(self) -> int:
        return self.frames_stale + self.frames_contradicting + self.frames_unfit

    def to_dict(self) -> dict[str, Any]:
        return {
            f.name: value.to_dict() if isinstance(value := getattr(self, f.name), Histogram) else value
            for f in fields(self)
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Unknown keys are ignored, missing ones keep their default: shards of versions N and N-1 mix."""
        stats = cls()
        for f in fields(cls):
            if f.name in data:
                is_histogram = isinstance(getattr(stats, f.name), Histogram)
                setattr(stats, f.name, Histogram.from_dict(data[f.name]) if is_histogram else data[f.name])
        return stats
