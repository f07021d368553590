"""Comeback: from RECOVER's answer to rows that may be simulated.

Reads all manifests and journals, rebuilds this shard's rows, waits until the former process' lease has ended, moves the
rows to the present in slices, and hands on what is still to arrive. Nothing is claimed and no link is made meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

from .columns import Columns
from .context import CATCH_UP_LIMIT_US, Context
from .damage import DOUBT_PATIENCE_US, DOUBT_RETRY_US
from .journal_requests import EntryKind, FleetRecords, ReadFleet
from .ledger import entry_rows
from .mailbox import TransferMailbox
from .membership import Membership
from .outgoing import RETRY_US
from .recovery import RecoveredRows, rebuild
from .roll_requests import MIN_CALL_MS, CallRoll, Rolled
from .stream import EntityStream
from .takeover import Takeovers
from .transfer import TransferId

CATCH_UP_SLICE_US = 200_000
"""A recovered world is caught up in slices, so that renewals are sent and answered in between."""


@dataclass(slots=True, eq=False)
class _Behind:
    """What a recovered shard still has to catch up before it takes its rows up."""

    rebuilt: RecoveredRows
    rows: Columns
    next_tick: int
    steps_left: int
    """A simulation that is too slow to catch up goes on from where it is."""


class Comeback:
    """One process' way from its epoch to its rows."""

    def __init__(
        self,
        context: Context,
        membership: Membership,
        mailbox: TransferMailbox,
        stream: EntityStream,
        takeovers: Takeovers,
    ) -> None:
        self.context = context
        self.membership = membership
        self.mailbox = mailbox
        self.stream = stream
        self.takeovers = takeovers
        self._fleet: FleetRecords | None = None
        self._read: FleetRecords | None = None
        """Until it is known to be of one life of Redis."""
        self._reading_fleet = False
        self._next_read_us = 0
        self._behind: _Behind | None = None
        self._doubt_ends_us = 0

    def handle_fleet(self, reply: FleetRecords | None, now_us: int) -> None:
        self._next_read_us = now_us + RETRY_US
        self._read = reply
        if reply is None:
            self._reading_fleet = False
        else:
            self.context.request(CallRoll(call_ms=MIN_CALL_MS))

    def handle_checked(self, reply: Rolled | None, now_us: int) -> None:
        """Redis is still the one that RECOVER was answered by, so all that was read is of one life of it."""
        self._reading_fleet = False
        self._next_read_us = now_us + RETRY_US
        self._fleet, self._read = (self._read if reply is not None else None), None

    def advance(self, now_us: int, boottime_us: int) -> bool:
        """Once a tick, until True: the rows are taken up. Raises ``SimulationError`` where ``step`` does."""
        if self._behind is None:
            if self._fleet is None and not self._reading_fleet and now_us >= self._next_read_us:
                self._reading_fleet = True
                self.context.request(ReadFleet(registry=True))
            if self._fleet is None or not self.membership.lease.held(boottime_us) or not self.membership.observed_us:
                return False
            rebuilt = rebuild(self.context.shard, self._fleet, self.context.reader)
            self._fleet = None
            if rebuilt.in_doubt and self._may_end(now_us):
                return False
            self.context.report_damage(rebuilt.report)
            self._behind = self._begin(rebuilt)
        if not self.membership.lease.held(boottime_us):
            return False
        if not self._catch_up(self._behind):
            return False
        self._take_up(self._behind)
        self._behind = None
        return True

    def _may_end(self, now_us: int) -> bool:
        """Whether the damage to others' records, by which rows of this shard are in doubt, may yet be replaced."""
        self._doubt_ends_us = self._doubt_ends_us or now_us + DOUBT_PATIENCE_US
        self._next_read_us = now_us + DOUBT_RETRY_US
        return now_us < self._doubt_ends_us

    def _begin(self, rebuilt: RecoveredRows) -> _Behind:
        context, journal = self.context, self.context.journal
        journal.position = journal.read_through = rebuilt.position
        journal.read(rebuilt.entries)
        for key in rebuilt.done:
            journal.apply(key)
        context.event(
            "adopt",
            context.current_tick,
            rebuilt.rows.id,
            rebuilt.rows.version,
            origin="manifest",
            state_tick=rebuilt.manifest_tick,
            **({"upgraded": True} if rebuilt.upgraded else {}),
        )
        for entry in rebuilt.entries:
            if entry.kind is EntryKind.DESPAWN:  # its process may have died before it could say so
                context.event("despawn", context.current_tick, *entry_rows(entry))
        # A row is simulated once for each world tick, whatever rest lies between two of them.
        first_tick = context.after_rests(rebuilt.manifest_tick) + 1
        return _Behind(rebuilt, rebuilt.rows, first_tick, context.grid.ticks_in(CATCH_UP_LIMIT_US))

    def _catch_up(self, behind: _Behind) -> bool:
        """Moves the recovered rows to the end of the tick before this one; False: not there yet."""
        context = self.context
        if context.current_tick < behind.next_tick:
            return False  # the former process' clock was ahead of this one's: its ticks are not simulated again
        started_us, last = context.clock.now_unix_us(), context.current_tick - 1
        behind.next_tick = max(behind.next_tick, last + 1 - behind.steps_left)
        while behind.next_tick <= last and behind.steps_left:
            if context.clock.now_unix_us() - started_us >= CATCH_UP_SLICE_US:
                return False
            rows = context.catch_up(behind.rows, behind.next_tick, behind.next_tick)
            if rows is None:
                return False
            behind.rows = rows
            behind.next_tick += 1
            behind.steps_left -= 1
        return True

    def _take_up(self, behind: _Behind) -> None:
        context, recovered, manifest_tick = self.context, self.membership.recovered, behind.rebuilt.manifest_tick
        assert recovered is not None
        # When each of them came went with the former process: no later than this.
        context.tracker.add(behind.rows, since_tick=manifest_tick + 1)
        context.tracker.recovered_tick = manifest_tick + 1
        context.rows_tick = context.current_tick - 1
        coming: set[TransferId | None] = set(recovered.accepted_incoming)
        for stored, rows in behind.rebuilt.arriving:
            entry = context.entry_after_rests(stored)
            if entry.kind is EntryKind.IN:
                self.mailbox.take_from_journal(entry, rows)
                coming -= {entry.transfer}
            else:
                self.stream.take_spawn(entry, rows)
        for entry in behind.rebuilt.entries:
            if entry.kind is EntryKind.TAKEOVER:
                self.takeovers.take(entry)
        for transfer in recovered.accepted_incoming:
            if transfer in coming:
                self.mailbox.adopted_before(transfer)
