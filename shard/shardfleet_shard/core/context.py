"""What the parts of the runtime share: who this shard is, its rows, its clock, and where effects go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import FleetConfig
from ..errors import SimulationError
from .authority import EntityAuthorityTracker
from .clock import Clock
from .columns import U32, U64, Columns, Schema
from .damage import DamageReport
from .frames import Frame
from .journal import JournalFollower
from .journal_requests import GAINS, JournalEntry
from .requests import Request
from .row_reader import RowReader
from .shadows import Shadows
from .simulation import Simulation
from .stats import ShardStats
from .ticks import TickGrid, WorldTime
from .trace_events import TraceEvent, TraceTick
from .transfer import TransferId
from .transfer_spans import OpenSpans, TransferSpan

CATCH_UP_LIMIT_US = 10_000_000
"""A recovered row is moved forward at most this far; a world that rested longer goes on from where it was."""

MAX_IN_STATS = 5
"""Ids and damages that the figures name: they go out with every manifest."""

Sample = Callable[[TransferId, str, int, int], str]
"""(transfer, target, entities, Unix us) -> W3C traceparent of a transfer that is to be traced, '' for the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferNote:
    """An own transfer that did not go as planned, for the log: ``what`` is canceled, rejected or frozen."""

    transfer: TransferId
    what: str
    peer: str
    entities: int


@dataclass(slots=True)
class Effects:
    """What the runtime owes the outside, in the order in which the driver must carry it out.

    1. ``ticks`` and ``events`` are written to the trace before anything else of this bundle leaves the process.
    2. ``requests`` go to Redis; those of one bundle in one pipeline. Their order does not matter.
    3. ``frames`` go to peers; the order to one peer is kept.
    4. ``spans`` go to whoever collects them, and ``notes`` to the log, if that is possible; nothing depends on them.
    5. ``damage`` goes into the log: what in Redis had to be left out.
    """

    ticks: list[TraceTick] = field(default_factory=list)
    events: list[TraceEvent] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    frames: list[tuple[str, Frame]] = field(default_factory=list)
    spans: list[TransferSpan] = field(default_factory=list)
    notes: list[TransferNote] = field(default_factory=list)
    damage: list[DamageReport] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.ticks or self.events or self.requests or self.frames or self.spans or self.damage)


@dataclass(slots=True)
class Context:
    """Shared by source, target, stream and membership; owned by the runtime."""

    shard: str
    ordinal: int
    address: str
    config: FleetConfig
    grid: TickGrid
    schema: Schema
    simulation: Simulation
    clock: Clock
    rng: np.random.Generator
    tracker: EntityAuthorityTracker
    trace: bool = False
    lease_held: Callable[[], bool] = lambda: True
    """Whether this shard may simulate, by a clock that is read in the call."""
    epoch: int = 0
    generation: str = ""
    origin_tick: int = 0
    rests: tuple[tuple[int, int], ...] = ()
    """As ``Observed.rests``."""
    current_tick: int = 0
    """The last tick that began."""
    rows_tick: int = -1
    """The rows are as of the end of this tick, frozen ones of an earlier one."""
    journal: JournalFollower = field(default_factory=JournalFollower)
    shadows: Shadows = field(default_factory=Shadows)
    stats: ShardStats = field(default_factory=ShardStats)
    effects: Effects = field(default_factory=Effects)
    sample: Sample | None = None
    """Whether a transfer is traced; None: none is, neither the own ones nor those of others."""
    damage_said: str = ""
    """What was last reported."""
    reader: RowReader = field(init=False)

    # --- effects ------------------------------------------------------------------------------------------------

    def __post_init__(self) -> None:
        self.reader = RowReader.of(self.schema, self.simulation, name=self.config.simulation)
        self.stats.world = [*self.config.world_low, *self.config.world_high]

    def request(self, request: Request) -> None:
        self.effects.requests.append(request)

    def send(self, peer: str, frame: Frame) -> None:
        self.effects.frames.append((peer, frame))

    def report_damage(self, report: DamageReport | None) -> None:
        """Once, however often it is read."""
        if report is None or (words := report.words(most=MAX_IN_STATS)) == self.damage_said:
            return
        self.damage_said = self.stats.last_error = words
        self.stats.damaged_records += len(report.damages)
        self.stats.not_restored = len(report.lost)
        self.effects.damage.append(report)

    def event(self, kind: str, tick: int, ids: U64, versions: U32, **detail: Any) -> None:
        if self.trace:
            self.effects.events.append(TraceEvent(kind=kind, tick=tick, ids=ids, versions=versions, detail=detail))

    def begin_trace(self, transfer: TransferId, *, target: str, entities: int) -> OpenSpans | None:
        """Of an own transfer, if it is one of the few that are traced."""
        if self.sample is None:
            return None
        trace_context = self.sample(transfer, target, entities, self.clock.now_unix_us())
        return self._spans(trace_context, transfer) if trace_context else None

    def join_trace(self, transfer: TransferId, trace_context: str) -> OpenSpans | None:
        """Of another's transfer, if its offer says that it is traced."""
        if self.sample is None or not trace_context:
            return None
        return self._spans(trace_context, transfer)

    def _spans(self, trace_context: str, transfer: TransferId) -> OpenSpans:
        def emit(span: TransferSpan) -> None:
            self.effects.spans.append(span)

        return OpenSpans(trace_context, transfer, emit=emit, now_us=self.clock.now_unix_us)

    # --- world time ---------------------------------------------------------------------------------------------

    def after_rests(self, tick: int) -> int:
        """Today's grid tick for one that may have been written down before the world rested."""
        return WorldTime(self.origin_tick, self.rests).after_rests(tick)

    def grid_tick(self, world_tick: int) -> int:
        """The grid tick to write down for ``world_tick``."""
        return WorldTime(self.origin_tick, self.rests).grid_tick(world_tick)

    def entry_after_rests(self, entry: JournalEntry) -> JournalEntry:
        """``entry`` with today's ticks, so that its rows go on at the world tick at which they were to."""
        if not self.rests or entry.kind not in GAINS:
            return entry
        tick, offer_tick = self.after_rests(entry.tick), self.after_rests(entry.offer_tick)
        return entry if tick == entry.tick else replace(entry, tick=tick, offer_tick=offer_tick)

    # --- the simulation -----------------------------------------------------------------------------------------

    def step(self, rows: Columns, tick: int) -> NDArray[np.uint64]:
        """Moves ``rows`` in place from the end of grid tick ``tick - 1`` to the end of ``tick``.

        Returns the ids that leave. Raises ``SimulationError`` where the plugin raises, or leaves NaN behind.
        """
        try:
            leaving = self.simulation.step(rows, tick - self.origin_tick, self.grid.dt)
            gone = np.asarray([] if leaving is None else leaving, np.uint64)
        except Exception as error:
            raise SimulationError(f"{self.config.simulation}.step: {type(error).__name__}: {error}") from error
        finite = rows.finite()
        if not finite.all():
            entity = int(rows.id[~finite][0])
            raise SimulationError(f"{self.config.simulation}.step: entity {entity} has no finite position or velocity")
        return gone

    def forward(self, rows: Columns, first_tick: int, last_tick: int) -> Columns:
        """A copy of ``rows`` moved through ticks first..last; nothing is traced: these ticks are another's."""
        rows = rows.copy()
        for tick in range(first_tick, last_tick + 1) if len(rows) else ():
            self.step(rows, tick)
        return rows

    def catch_up(self, rows: Columns, first_tick: int, last_tick: int) -> Columns | None:
        """A copy of ``rows`` simulated by this shard, late, for ticks first..last, bounded, each one traced.

        None: the lease ended meanwhile, so these ticks never happened here. The same where ``step`` raises.
        """
        caught_up = self.catch_up_together([(rows, first_tick)], last_tick)
        return None if caught_up is None else caught_up[0]

    def earliest_to_catch_up(self, last_tick: int) -> int:
        """Ticks before it are nobody's, for a shard that is late and begins with the one after ``last_tick``."""
        return last_tick + 1 - self.grid.ticks_in(CATCH_UP_LIMIT_US)

    def catch_up_together(self, parts: Sequence[tuple[Columns, int]], last_tick: int) -> list[Columns] | None:
        """As ``catch_up``, of several rows at once, each from a first tick of its own.

        A step costs its call, however few rows it gets: a shard that was away finds dozens of transfers, and stepping
        each of them by itself would take longer than what it missed. No id may be there twice.
        """
        earliest_tick = self.earliest_to_catch_up(last_tick)
        moved = [rows.copy() for rows, _ in parts]
        joins: dict[int, list[int]] = {}
        for number, (rows, first_tick) in enumerate(parts):
            if len(rows) and max(first_tick, earliest_tick) <= last_tick:
                joins.setdefault(max(first_tick, earliest_tick), []).append(number)
        if not joins:  # before the seed there is no world tick to call the plugin with
            return moved
        traced = len(self.effects.ticks)
        done = False
        together, order = self.schema.empty(), [number for _, numbers in sorted(joins.items()) for number in numbers]
        try:
            for tick in range(min(joins), last_tick + 1):
                if tick in joins:
                    together = Columns.concat(self.schema, [together, *(moved[number] for number in joins[tick])])
                before = together.hashes() if self.trace else None
                self.step(together, tick)
                self.trace_tick(tick, together, before)
            done = self.lease_held()
        finally:
            if not done:
                del self.effects.ticks[traced:]
        if not done:
            return None
        self.stats.catch_up_ticks += sum((last_tick + 1 - first) * len(numbers) for first, numbers in joins.items())
        start = 0
        for number in order:
            end = start + len(moved[number])
            moved[number] = together.take(slice(start, end)).copy()
            start = end
        return moved

    def trace_tick(self, tick: int, rows: Columns, before: U64 | None) -> None:
        """One record a row of ``rows`` as they are now; ``before``: their hashes before the step."""
        if before is None or not len(rows):
            return
        self.effects.ticks.append(
            TraceTick(
                tick=tick,
                unix_us=self.clock.now_unix_us(),
                ids=rows.id.copy(),
                versions=rows.version.copy(),
                state_in=before,
                state_out=rows.hashes(),
                positions=rows.position.copy(),
            )
        )


Claims = Mapping[str, tuple[str, int]]
