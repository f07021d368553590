"""What is known of the running shards: their own figures, gathered from manifests, and a picture of them all. Pure.

Every process counts from its own start, so the last figures of each (shard, epoch) are kept: their sum is the run's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from shardfleet_shard.core.stats import ShardStats

from ..handoff_rate import HandoffRate
from ..plan import Process as PlanProcess
from .report import Process, merged

RATE_WINDOW_US = 3_000_000
"""Handoffs a second are counted over this much of the past."""

SIMULATION_ERROR = "simulation-error"


class ShardProcess(Protocol):
    """What a platform knows of a shard's newest process. ``pid``: None where it has none here."""

    @property
    def process(self) -> PlanProcess: ...
    @property
    def shard(self) -> str: ...
    @property
    def running(self) -> bool: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def starts(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLine:
    """One line of the table. Milliseconds are None where nothing was measured yet."""

    shard: str
    cells: str
    state: str
    entities: int
    transfers_open: int
    tick_p50_ms: float | None
    tick_p99_ms: float | None
    gap_p99_ms: float | None
    ticks_skipped: int
    restarts: int
    pid: int | None
    epoch: int
    error: str = ""

    @property
    def is_failing(self) -> bool:
        """Its simulation raises; ``error`` says what."""
        return self.state == SIMULATION_ERROR

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Unknown fields, of a newer operator say, are left out. Raises ``KeyError`` for one that is missing."""
        return cls(**{name: values[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """The fleet at one moment. Handoffs are counted in entities."""

    shards: tuple[ShardLine, ...]
    entities: int
    """Spawned and not despawned."""
    handoffs: int
    handoffs_per_second: float
    gap_p99_ms: float | None
    tick_p99_ms: float | None
    transfers_open: int
    repaired: int = 0
    """Entities whose transfer the watchdog ended."""

    @property
    def active(self) -> int:
        return sum(line.state == "active" for line in self.shards)

    def to_dict(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__slots__ if name != "shards"}
        return {**values, "shards": [line.to_dict() for line in self.shards]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """As ``ShardLine.from_dict``."""
        plain = {name: values[name] for name in cls.__slots__ if name != "shards"}
        return cls(shards=tuple(ShardLine.from_dict(line) for line in values["shards"]), **plain)


@dataclass(slots=True)
class Figures:
    """Gathers. ``before``: processes that published before this run; their figures are not its."""

    before: frozenset[Process] = frozenset()
    counters_before: Mapping[str, int] = field(default_factory=dict)
    stats: dict[Process, ShardStats] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    _newest: dict[str, int] = field(default_factory=dict)
    _rate: HandoffRate = field(default_factory=lambda: HandoffRate(window_us=RATE_WINDOW_US))

    def take_headers(self, headers: Iterable[Mapping[str, Any]]) -> None:
        """Manifest headers, as they are stored; one a shard."""
        for header in headers:
            process = (str(header["shard"]), int(header["epoch"]))
            if process not in self.before:
                self.stats[process] = ShardStats.from_dict(header.get("stats", {}))
                self._newest[process[0]] = max(process[1], self._newest.get(process[0], 0))

    def take_counters(self, counters: Mapping[str, int], now_us: int) -> None:
        self.counters = dict(counters)
        self._rate.read(counters.get("completed_entities", 0), now_us)

    @property
    def handoffs_per_second(self) -> float:
        return self._rate.per_second

    @property
    def handoffs(self) -> int:
        return self.counters.get("completed_entities", 0) - self.counters_before.get("completed_entities", 0)

    def newest_of(self, shard: str) -> tuple[int, ShardStats]:
        """(epoch, figures) of the shard's latest process that has published; (0, empty) before the first."""
        epoch = self._newest.get(shard, 0)
        return epoch, self.stats.get((shard, epoch), ShardStats())

    def view(self, shards: Iterable[str], processes: Iterable[ShardProcess] = ()) -> FleetView:
        """A line for each of ``shards``, in that order."""
        by_shard = {process.shard: process for process in processes}
        lines = tuple(self._line(shard, by_shard.get(shard)) for shard in shards)
        return FleetView(
            shards=lines,
            entities=self.counters.get("spawned", 0) - self.counters.get("despawned", 0),
            handoffs=self.handoffs,
            handoffs_per_second=self.handoffs_per_second,
            gap_p99_ms=_ms(merged(s.gap_us for s in self.stats.values()).quantile(0.99)),
            tick_p99_ms=_ms(merged(s.tick_us for s in self.stats.values()).quantile(0.99)),
            transfers_open=sum(line.transfers_open for line in lines),
            repaired=self.counters.get("repaired_entities", 0) - self.counters_before.get("repaired_entities", 0),
        )

    def _line(self, shard: str, process: ShardProcess | None) -> ShardLine:
        epoch, stats = self.newest_of(shard)
        state = stats.state
        if process is not None and not process.running:
            state = "resigned" if process.process.exit_code == 0 else "ended"
        elif process is not None and epoch < process.process.started_us:
            state = "starting"  # what is stored is its predecessor's: epochs are Unix microseconds, or more
        return ShardLine(
            shard=shard,
            cells=stats.cells,
            state=state,
            entities=stats.entities,
            transfers_open=stats.transfers_open,
            tick_p50_ms=_ms(stats.tick_us.quantile(0.5)),
            tick_p99_ms=_ms(stats.tick_us.quantile(0.99)),
            gap_p99_ms=_ms(stats.gap_us.quantile(0.99)),
            ticks_skipped=stats.ticks_skipped,
            restarts=process.starts - 1 if process is not None else 0,
            pid=process.pid if process is not None else None,
            epoch=epoch,
            error=stats.last_error,
        )


def _ms(value_us: int | None) -> float | None:
    return None if value_us is None else value_us / 1000


def failure_news(view: FleetView, before: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """What to say where a shard's simulation begins to raise, or works again; and the shards that fail now.

    Args:
        before: the shards that failed when this was asked last.
    """
    failing = {line.shard: line.error for line in view.shards if line.is_failing}
    healed = sorted(before & {line.shard for line in view.shards if line.state == "active"})
    news = [f"{name}: simulation error, tried again each second: {failing[name]}" for name in failing.keys() - before]
    return sorted(news) + [f"{name}: the simulation works again" for name in healed], frozenset(failing)
