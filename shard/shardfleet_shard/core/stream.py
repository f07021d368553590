"""EntityStream: rows that enter the world. The election's holder seeds it and brings the arrivals; every shard takes
up what a ``spawn`` entry in its own journal gives it, at the tick that the entry names."""

from __future__ import annotations

import numpy as np

from ..errors import SimulationError, UsageError
from .columns import Columns, first_duplicate
from .context import CATCH_UP_LIMIT_US, Context
from .election import OwnershipElection
from .journal import key_of
from .journal_requests import EntryKind, JournalEntry
from .layout import Layout
from .outgoing import RETRY_US
from .requests import Done, Refused, RefusedReason
from .spawn_requests import Arrive, Seed, SpawnGroup

LEAD_TICKS = 4
"""Arrivals are spawned this far ahead, so that their shard has read its journal before their first tick."""
ARRIVALS_CHECKPOINT_US = 10_000_000
"""How often the stream's position is stored when nothing arrives."""
CATCH_UP_SLICE_US = 20_000
"""Time in one tick for spawns that come late; those that are left wait for the next."""
MAX_TICKS_PER_ARRIVE = 2_000
MAX_GROUPS_PER_ARRIVE = 64
"""Ticks with rows in one request. One would do while requests are answered in time; after a while without an owner of
the stream, one a request would never make up for it."""
MAX_ROWS_PER_ARRIVE = 4_096
"""Beyond it the next tick's rows go with the next request: bounds a script's run time."""


class EntityStream:
    """Seed, arrivals, and the spawns that wait for their first tick."""

    def __init__(self, context: Context, election: OwnershipElection) -> None:
        self.context = context
        self.election = election
        self.waiting: list[tuple[JournalEntry, Columns]] = []
        self.seeded = False
        self._seed_rows: Columns | None = None
        self.arrivals_through = -1
        self.stale = True
        """What is known of the seed and the arrivals may be old: look before writing."""
        self._in_flight = False
        self._next_try_us = 0
        self._asked_through = -1
        self._collected: list[tuple[int, Columns]] = []
        """(world tick, rows) that are asked for and not stored yet."""

    def observed(self, *, seeded: bool, arrivals_through: int) -> None:
        if self._in_flight:
            return
        self.stale = False
        self.seeded = seeded
        if arrivals_through != self.arrivals_through:
            self.arrivals_through = self._asked_through = arrivals_through
            self._collected.clear()

    # --- the owner's part ---------------------------------------------------------------------------------------

    def advance(self, layout: Layout, now_us: int) -> None:
        """Once a tick: the owner of the stream seeds, or brings the next arrivals."""
        if self._in_flight or self.stale or now_us < self._next_try_us:
            return
        if not self.election.owns_stream(self.context.epoch):
            return
        if not self.seeded:
            self._seed(layout)
        else:
            self._arrive(layout)

    def _seed(self, layout: Layout) -> None:
        context = self.context
        origin = context.current_tick + LEAD_TICKS
        if self._seed_rows is None:  # kept over refusals: the plugin is asked once
            self._seed_rows = self._new_world()
        # All cells, the empty ones too: the world begins when all of it is simulated, else its first arrivals are late.
        groups = group_by_cell(self._seed_rows, layout, tick=origin, with_empty=True)
        context.request(Seed(shard=context.shard, epoch=context.epoch, origin_tick=origin, groups=groups))
        self._in_flight = True

    def _new_world(self) -> Columns:
        context, count = self.context, self.context.config.seed_entities
        source = f"{context.config.simulation}.seed"
        try:
            rows = context.simulation.seed(context.rng, count) if count else context.schema.empty()
        except Exception as error:
            raise SimulationError(f"{source}: {type(error).__name__}: {error}") from error
        try:
            check_rows(rows, source)
        except SimulationError as error:  # there is no world yet, and the next seed would be no better
            raise UsageError(f"{error}; no world was begun") from error
        return rows

    def _arrive(self, layout: Layout) -> None:
        context = self.context
        through = context.current_tick - context.origin_tick + LEAD_TICKS
        self._asked_through = max(self._asked_through, self.arrivals_through)
        # Rows that wait for their answer keep their own tick: nothing later may be added to them.
        until = self._asked_through if self._collected else min(through, self._asked_through + MAX_TICKS_PER_ARRIVE)
        for tick in range(self._asked_through + 1, until + 1):
            try:
                rows = context.simulation.arrivals(tick)
            except Exception as error:
                raise SimulationError(
                    f"{context.config.simulation}.arrivals: {type(error).__name__}: {error}"
                ) from error
            self._asked_through = tick
            if rows is not None and len(rows):
                check_rows(rows, f"{context.config.simulation}.arrivals")
                self._collected.append((tick, rows))
                many = sum(len(rows) for _, rows in self._collected) >= MAX_ROWS_PER_ARRIVE
                if many or len(self._collected) >= MAX_GROUPS_PER_ARRIVE:
                    break
        unstored = self._asked_through - self.arrivals_through
        if not self._collected and unstored < context.grid.ticks_in(ARRIVALS_CHECKPOINT_US):
            return
        groups = tuple(
            group
            for tick, rows in self._collected
            for group in group_by_cell(rows, layout, tick=context.grid_tick(tick))
        )
        context.request(
            Arrive(
                shard=context.shard,
                epoch=context.epoch,
                after=self.arrivals_through,
                through=self._asked_through,
                groups=groups,
            )
        )
        self._in_flight = True

    def handle_reply(self, request: Seed | Arrive, reply: Done | Refused | None, now_us: int) -> bool:
        """Returns whether peers should be told to read their journals."""
        self._in_flight = False
        if isinstance(reply, Done):
            if isinstance(request, Seed):
                self.seeded = True
                self._seed_rows = None
                self.context.origin_tick = request.origin_tick
                self._asked_through = self.arrivals_through
            else:
                self.arrivals_through = request.through
                self._collected.clear()
            return bool(request.groups)
        self._next_try_us = now_us + RETRY_US
        if reply is None or reply.reason in (RefusedReason.OLDER, RefusedReason.SEEDED, RefusedReason.NOT_OWNER):
            self.stale = True
        elif reply.reason is RefusedReason.DUPLICATE:
            self.context.stats.spawns_refused += 1
            self.context.stats.last_error = f"entity {reply.detail} is alive already: its arrival was refused"
            self._drop(np.uint64(int(reply.detail)))
        return False

    def _drop(self, entity: np.uint64) -> None:
        """Its last arrival of those that wait: the first one may be right."""
        for number, (tick, rows) in reversed(list(enumerate(self._collected))):
            if (rows.id == entity).any():
                self._collected[number] = (tick, rows.take(rows.id != entity))
                return

    # --- every shard's part -------------------------------------------------------------------------------------

    def take_spawn(self, entry: JournalEntry, rows: Columns) -> None:
        self.waiting.append((entry, rows))

    def take_due(self, tick: int) -> None:
        """Step 2: rows whose first tick is due join; if they are late, they are caught up.

        Many that are very late come over several ticks: no tick is held up for longer than a slice.
        """
        context = self.context
        started_us = context.clock.now_unix_us()
        due = [pair for pair in self.waiting if pair[0].tick <= tick]
        if not due or not self.seeded:
            return  # until the seed has been seen, the world's tick 0 is not known here
        for pair in due:
            if context.clock.now_unix_us() - started_us >= CATCH_UP_SLICE_US:
                return
            entry, rows = pair
            here = context.tracker.overlap(rows)
            if here is not None:
                keep = np.ones(len(rows), bool)
                keep[here] = False
                rows = rows.take(keep)
            if entry.kind in (EntryKind.RESTORE, EntryKind.IN):
                self._take_restored(entry, rows, tick)
                self.waiting = [other for other in self.waiting if other is not pair]
                continue
            moved = context.catch_up(rows, entry.tick, tick - 1)
            if moved is None:
                return
            # Only now: what fails or is fenced before this line still waits, and is tried again.
            self.waiting = [other for other in self.waiting if other is not pair]
            if entry.kind is EntryKind.HELD:
                context.event("adopt", tick, moved.id, moved.version, origin="manifest", state_tick=entry.offer_tick)
            else:
                context.event("spawn", entry.tick, moved.id, moved.version)
            context.tracker.add(moved, since_tick=entry.tick)
            context.journal.apply(entry.id)

    def _take_restored(self, entry: JournalEntry, rows: Columns, tick: int) -> None:
        """From this tick on: whoever had the rows may have simulated those before, so none of them is done again."""
        context = self.context
        state_tick = entry.offer_tick
        if context.simulation.exact and len(rows):
            first = max(entry.offer_tick + 1, tick - context.grid.ticks_in(CATCH_UP_LIMIT_US))
            rows, state_tick = context.forward(rows, first, tick - 1), tick - 1
        context.event("adopt", tick, rows.id, rows.version, origin="manifest", state_tick=state_tick)
        context.tracker.add(rows, since_tick=tick)
        if entry.id:  # else it comes from the manifest itself
            context.journal.apply(key_of(entry))


def group_by_cell(rows: Columns, layout: Layout, *, tick: int, with_empty: bool = False) -> tuple[SpawnGroup, ...]:
    """``rows`` by the cell that holds them, to be simulated from grid tick ``tick`` on.

    ``with_empty``: a group for cells without rows, too.
    """
    cells = layout.cell_index(rows.position)
    groups = []
    for number in range(len(layout.cells)) if with_empty else np.unique(cells).tolist():
        part = rows.take(cells == number)
        groups.append(
            SpawnGroup(
                cell=layout.cells[number].path, count=len(part), ids=part.id.tobytes(), rows=part.pack(), tick=tick
            )
        )
    return tuple(groups)


def check_rows(rows: Columns, source: str) -> None:
    """Raises ``SimulationError`` for rows that cannot enter a world: an id twice, or a number that is not finite."""
    if (twice := first_duplicate(rows.id)) is not None:
        raise SimulationError(f"{source}: entity {twice} comes twice")
    finite = rows.finite()
    if not finite.all():
        raise SimulationError(f"{source}: entity {int(rows.id[~finite][0])} has no finite position or velocity")
