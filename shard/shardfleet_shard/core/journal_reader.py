"""JournalReader: tails this shard's own journal and turns what it says into acts.

Most entries only confirm what this process did. The others end a doubt whose answer was lost, or bring rows that it
has not heard of: a spawn, an ``in`` that another process of this shard accepted, an ``out`` that someone else wrote.
"""

from __future__ import annotations

import numpy as np

from .authority import NEVER
from .columns import U64
from .context import Context
from .damage import DamageReport, damage_of
from .journal import Key, key_of
from .journal_requests import GAINS, Entries, EntryKind, JournalEntry, ReadEntries, Tail
from .mailbox import TransferMailbox
from .stream import EntityStream
from .takeover import Takeovers

TAIL_INTERVAL_US = 200_000
"""How often the journal is read where no publish reads it."""
READ_LIMIT = 512
"""Entries in one answer; fewer mean that the journal ends there."""


class JournalReader:
    """What was read, what is to be fetched with its rows, and which rows must go at the next tick."""

    def __init__(self, context: Context, mailbox: TransferMailbox, stream: EntityStream, takeovers: Takeovers) -> None:
        self.context = context
        self.mailbox = mailbox
        self.stream = stream
        self.takeovers = takeovers
        self.reading = False
        self.ends_seen = 0
        """Reads that came to the journal's end."""
        self._next_tail_us = 0
        self._to_fetch: dict[str, JournalEntry] = {}
        self._fetching = False
        self._removals: list[JournalEntry] = []
        self._left_out: list[tuple[Key, U64]] = []
        """Damaged entries, and which of the ids that were leaving when they were read are leaving still."""

    # --- requests -----------------------------------------------------------------------------------------------

    def read_soon(self) -> None:
        """Something was written to it: a peer says so, or this shard knows."""
        self._next_tail_us = 0

    def poll(self, now_us: int, *, publishing: bool) -> None:
        """``publishing``: a publish is under way, and its answer brings the entries anyway."""
        context = self.context
        if self._to_fetch and not self._fetching:
            self._fetching = True
            context.request(ReadEntries(shard=context.shard, epoch=context.epoch, ids=tuple(self._to_fetch)))
        if self.reading or publishing or now_us < self._next_tail_us:
            return
        self.reading = True
        self._next_tail_us = now_us + TAIL_INTERVAL_US
        context.request(Tail(shard=context.shard, epoch=context.epoch, read_after=context.journal.read_through))

    # --- answers ------------------------------------------------------------------------------------------------

    def handle_tail(self, reply: Entries | None) -> None:
        self.reading = False
        if reply is not None:
            self._take(reply.entries)

    def handle_published(self, reply: Entries, now_us: int) -> None:
        """A publish reads on too."""
        self._next_tail_us = now_us + TAIL_INTERVAL_US
        self._take(reply.entries)

    def handle_fetched(self, reply: Entries | None) -> None:
        self._fetching = False
        for entry in reply.entries if reply is not None else ():
            if (read := self._to_fetch.pop(entry.id, None)) is None:
                continue
            if entry.kind is EntryKind.DAMAGED:
                self._leave_out(entry, key_of(read))
                continue
            rows = self.context.reader.unpack(entry.rows, entry.count)
            entry = self.context.entry_after_rests(entry)
            if entry.kind is EntryKind.IN:
                self.mailbox.take_from_journal(entry, rows)
            elif entry.kind is EntryKind.RESTORE:
                self.stream.take_spawn(entry, rows.take(~np.isin(rows.id, self.mailbox.incoming.ids)))
            else:
                self.stream.take_spawn(entry, rows)

    def _take(self, entries: tuple[JournalEntry, ...]) -> None:
        self.ends_seen += len(entries) < READ_LIMIT
        for entry in self.context.journal.read(entries):
            known = entry.transfer is not None and (
                (entry.kind is EntryKind.OUT and self.mailbox.learn_outgoing_accepted(entry.transfer))
                or (entry.kind is EntryKind.IN and self.mailbox.learn_incoming_accepted(entry.transfer))
            )
            if known:
                continue
            if entry.kind is EntryKind.DAMAGED:
                self._leave_out(entry, key_of(entry))
                continue
            if entry.kind is EntryKind.TAKEOVER:
                self.takeovers.take(entry)
            elif entry.kind in GAINS:
                self._to_fetch[entry.id] = entry
            else:
                self._removals.append(entry)

    def _leave_out(self, entry: JournalEntry, key: Key) -> None:
        """Nobody can read it, so a manifest may trim it, but none that shows a row which went by it.

        Whatever it said of this process' own transfers, the answers to its requests say too. Which entities came by it
        and are nowhere now, the census says.
        """
        damage = damage_of(self.context.shard, entry)
        self.context.report_damage(DamageReport(damages=(damage,), lost=np.zeros(0, np.uint64), counted=False))
        self.set_aside(entry, key)

    def set_aside(self, entry: JournalEntry, key: Key) -> None:
        """A damaged one, of which nothing is left to be done once the rows are gone that it may have been about."""
        self._left_out.append((key, self._leaving() if entry.may_hide_loss else np.zeros(0, np.uint64)))

    def _leaving(self) -> U64:
        """Ids that a transfer or a despawn is about to take away."""
        tracker = self.context.tracker
        ids: U64 = tracker.rows.id[(tracker.transfers != 0) | (tracker.not_before_tick == NEVER)]
        return ids

    def _apply_left_out(self) -> None:
        if not self._left_out:
            return
        leaving = self._leaving()
        left_out = [(key, ids[np.isin(ids, leaving)]) for key, ids in self._left_out]
        self._left_out = [(key, ids) for key, ids in left_out if len(ids)]
        for key, ids in left_out:
            if not len(ids):
                self.context.journal.apply(key)

    # --- after a roll-call --------------------------------------------------------------------------------------

    def begin_anew(self) -> None:
        """What was read so far is of a journal that is another now."""
        self._to_fetch.clear()
        self._removals.clear()
        self._left_out.clear()

    def remove(self, entry: JournalEntry) -> None:
        """At the next tick the rows of ``entry`` go, if they are here."""
        self._removals.append(entry)

    # --- bound to ticks -----------------------------------------------------------------------------------------

    def remove_due(self, tick: int) -> None:
        """Step 1: rows that the journal says have gone, and that nobody here let go of."""
        self._apply_left_out()
        tracker, waiting = self.context.tracker, list[JournalEntry]()
        for entry in self._removals:
            removes_copy = entry.kind is EntryKind.OUT and entry.transfer is None
            if removes_copy and tracker.leaving(np.frombuffer(entry.ids, "<u8")):
                waiting.append(entry)  # that transfer ends first, one way or the other
                continue
            ids, versions = np.frombuffer(entry.ids, "<u8"), np.frombuffer(entry.versions, "<u4")
            limits = dict(zip(ids.tolist(), versions.tolist(), strict=True))
            mask = tracker.mask_of(ids)
            inclusive = removes_copy or entry.kind is EntryKind.DESPAWN
            for index in np.flatnonzero(mask).tolist():
                version, limit = int(tracker.rows.version[index]), limits[int(tracker.rows.id[index])]
                mask[index] = version < limit or (version == limit and inclusive)
            if mask.any():
                gone = tracker.remove(mask)
                kind = "despawn" if entry.kind is EntryKind.DESPAWN else "release"
                if kind == "despawn":
                    self.context.shadows.despawn(gone.id, gone.version, now_us=self.context.clock.now_unix_us())
                self.context.event(kind, tick, gone.id, gone.version)
            self.context.journal.apply(entry.id if entry.transfer is None else (entry.kind, entry.transfer))
        self._removals = waiting
