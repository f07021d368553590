"""TelemetryPublisher: when this shard publishes its rows, and what goes into the AuthorityManifest."""

from __future__ import annotations

from dataclasses import dataclass, field

from .core.context import Context
from .core.journal_requests import Publish
from .core.manifest import AuthorityManifest

PUBLISH_COST_FACTOR = 4
"""Whole cost of a publish as a multiple of packing it here: sending it, Redis' copies and its log file come on top."""
TICK_SHARE = 0.1
"""A tenth of the tick may go into publishing; a larger shard publishes less often."""
MAX_INTERVAL_US = 1_000_000
LARGE_SHARD_ROWS = 100_000
LARGE_MAX_INTERVAL_US = 5_000_000
IDLE_INTERVAL_US = 500_000
"""A shard without rows whose journal says nothing new has nothing to tell but that it lives."""


@dataclass(slots=True)
class TelemetryPublisher:
    """Builds a ``Publish`` at most once an interval, and never a second one before the first is answered."""

    context: Context
    next_publish_us: int = 0
    in_flight: Publish | None = None
    published_tick: int = -1
    """The last tick whose manifest Redis has."""
    _cost_us: float = 0.0
    _last_tick: int = field(default=-1)

    def due(self, now_us: int) -> bool:
        return self.in_flight is None and now_us >= self.next_publish_us

    def publish(self, tick: int) -> None:
        """Rows as of the end of ``tick``; refused by Redis unless (epoch, tick) is above what it has."""
        context = self.context
        if tick <= self._last_tick:
            return
        started_us = context.clock.now_unix_us()
        manifest = AuthorityManifest(
            shard=context.shard,
            epoch=context.epoch,
            tick=tick,
            unix_us=started_us,
            position=context.journal.position,
            rows=context.tracker.rows,
            states=context.tracker.states,
            stats=context.stats.to_dict(),
        )
        header, chunks = manifest.to_stored()
        self.in_flight = Publish(
            shard=context.shard,
            epoch=context.epoch,
            tick=tick,
            position=manifest.position,
            header=header,
            chunks=tuple(chunks),
            read_after=context.journal.read_through,
        )
        context.request(self.in_flight)
        context.stats.publishes += 1
        context.stats.publish_bytes += len(self.in_flight.header) + sum(map(len, chunks))
        self._last_tick = tick
        cost_us = context.clock.now_unix_us() - started_us
        context.stats.publish_us += cost_us
        self._cost_us = cost_us if not self._cost_us else 0.8 * self._cost_us + 0.2 * cost_us
        context.stats.publish_interval_us = self.interval_us()
        self.next_publish_us = started_us + context.stats.publish_interval_us

    def interval_us(self) -> int:
        """The interval in force: the configured one, or as long as the cost asks for, within the bounds."""
        rows = len(self.context.tracker)
        if not rows and self.context.journal.settled:
            return max(self.context.config.telemetry_interval_us, IDLE_INTERVAL_US)
        affordable_us = PUBLISH_COST_FACTOR * self._cost_us / TICK_SHARE
        ceiling_us = MAX_INTERVAL_US if rows <= LARGE_SHARD_ROWS else LARGE_MAX_INTERVAL_US
        return max(self.context.config.telemetry_interval_us, min(ceiling_us, int(affordable_us)))

    def answered(self, stored: bool) -> None:
        if stored and self.in_flight is not None:
            self.published_tick = self.in_flight.tick
        self.in_flight = None
