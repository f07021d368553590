"""What a living shard makes of the ledger in a roll-call, once all have said what they know and nothing changes.

Doubts end: what neither side has asserted never happened. Rows that the ledger gives to another go; rows that it gives
to this shard, and that nobody claimed, come.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from ..errors import UsageError
from .columns import U32, U64, Mask
from .context import Context
from .journal import JournalFollower, key_of
from .journal_reader import JournalReader
from .journal_requests import GAINS, EntryKind, FleetRecords, JournalEntry, ShardRecord
from .ledger import NOBODY, Ledger, fold_records
from .mailbox import TransferMailbox
from .manifest import AuthorityManifest
from .stream import EntityStream
from .transfer import IncomingState, OutgoingState


class RollConclusion:
    """Acts on ``fleet``, read while the roll-call was closed.

    Raises:
        UsageError: a record is damaged (names the shard).
    """

    def __init__(
        self,
        context: Context,
        mailbox: TransferMailbox,
        stream: EntityStream,
        journal_reader: JournalReader,
        fleet: FleetRecords,
    ) -> None:
        self.context = context
        self.mailbox = mailbox
        self.stream = stream
        self.journal_reader = journal_reader
        self.takeovers = journal_reader.takeovers
        try:
            self.ledger: Ledger = fold_records(fleet.records)
        except ValueError as error:
            raise UsageError(f"{context.shard} cannot rejoin: {error}") from error
        empty = ShardRecord(shard=context.shard, header="", chunks=(), entries=())
        self.record = next((record for record in fleet.records if record.shard == context.shard), empty)
        self._here: dict[int, int] = {}
        """id -> version, of rows that are here or come by a transfer."""

    def conclude(self) -> None:
        self._end_doubts()
        self._drop_what_went()
        self._count_what_is_here()
        self._read_journal_anew()
        self._take_up_the_unclaimed()

    # --- transfers ----------------------------------------------------------------------------------------------

    def _end_doubts(self) -> None:
        """Nobody can accept or cancel any more what was open before."""
        said = {(entry.kind, entry.transfer) for entry in self.record.entries}
        for outgoing in list(self.mailbox.outgoing.open.values()):
            gone = (EntryKind.OUT, outgoing.id) in said
            if outgoing.state in (OutgoingState.OFFERED, OutgoingState.CANCELING, OutgoingState.FROZEN):
                ids, versions = np.frombuffer(outgoing.ids, "<u8"), np.frombuffer(outgoing.versions, "<u4")
                gone = gone or not self.ledger.keeps(self.context.shard, ids, versions - np.uint32(1)).all()
            self.mailbox.outgoing.conclude(outgoing, accepted=gone)
        for incoming in list(self.mailbox.incoming.open.values()):
            self.mailbox.incoming.conclude(incoming, accepted=(EntryKind.IN, incoming.id) in said)

    # --- rows ---------------------------------------------------------------------------------------------------

    def _drop_what_went(self) -> None:
        """Another has them, or nobody: this process knew less, because it was cut off."""
        context, tracker = self.context, self.context.tracker
        rows = tracker.rows
        gone = ~self.ledger.keeps(context.shard, rows.id, rows.version) & (tracker.transfers == 0)
        if not gone.any():
            return
        left = tracker.remove(gone)
        owner, _ = self.ledger.owner_of(left.id)
        for kind, part in (("despawn", left.take(owner == NOBODY)), ("release", left.take(owner != NOBODY))):
            if len(part):
                context.event(kind, context.current_tick + 1, part.id, part.version)

    def _count_what_is_here(self) -> None:
        incoming = self.mailbox.incoming.open.values()
        coming = [one.rows for one in incoming if one.state is IncomingState.ACCEPTED]
        for rows in (self.context.tracker.rows, *coming):
            self._here.update(zip(rows.id.tolist(), rows.version.tolist(), strict=True))

    def _read_journal_anew(self) -> None:
        """Positions of before mean nothing in a journal that went back or began again."""
        former, journal = self.context.journal, JournalFollower()
        self.context.journal = journal
        self.stream.waiting = []
        self.journal_reader.begin_anew()
        self.takeovers.begin_anew()
        journal.read(self.record.entries)
        for entry in self.record.entries:
            if entry.kind in GAINS:
                self._take_gain(entry, journal, had_before=former.has_applied(entry))
            elif entry.kind is EntryKind.TAKEOVER:
                self.takeovers.take(entry)  # of its rows, those that came before are left out
            elif not self.mailbox.will_release(entry):
                self.journal_reader.remove(entry)

    def _take_gain(self, entry: JournalEntry, journal: JournalFollower, *, had_before: bool) -> None:
        """``had_before``: its rows were here once, and whoever got them since has simulated them."""
        incoming = self.mailbox.incoming.open.get(entry.transfer) if entry.transfer is not None else None
        if incoming is not None and incoming.state is IncomingState.ACCEPTED:
            return  # applied when it is adopted
        rows = self.context.reader.unpack(entry.rows, entry.count)
        news = self._is_missing(rows.id, rows.version)
        if incoming is not None or not news.any():
            journal.apply(key_of(entry))
            return
        rows, entry = rows.take(news), self.context.entry_after_rests(entry)
        self._here.update(zip(rows.id.tolist(), rows.version.tolist(), strict=True))
        # An accepted transfer into this process is open at it, or was: an `in` that is not brings back what was here.
        restored = had_before and entry.kind is not EntryKind.IN
        self.stream.take_spawn(replace(entry, kind=EntryKind.RESTORE) if restored else entry, rows)

    def _take_up_the_unclaimed(self) -> None:
        """Rows of the stored manifest: it is of an earlier moment than this shard's own knowledge, or of a process that
        knew more."""
        if not self.record.header:
            return
        context = self.context
        manifest = AuthorityManifest.from_chunks(json.loads(self.record.header), self.record.chunks)
        rows = context.reader.take(manifest.rows)
        rows = rows.take(self._is_missing(rows.id, rows.version))
        if len(rows):
            tick = context.after_rests(manifest.tick)
            entry = JournalEntry(id="", kind=EntryKind.RESTORE, count=len(rows), tick=tick + 1, offer_tick=tick)
            self.stream.take_spawn(entry, rows)

    def _is_missing(self, ids: U64, versions: U32) -> Mask:
        """Which rows the ledger gives to this shard, and are not here."""
        missing = self.ledger.keeps(self.context.shard, ids, versions)
        for place in np.flatnonzero(missing).tolist():
            missing[place] = self._here.get(int(ids[place]), -1) < int(versions[place])
        return missing
