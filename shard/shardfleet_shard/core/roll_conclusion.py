"""What a living shard makes of the ledger in a roll-call, once all have said what they know and nothing changes.

Doubts end: what neither side has asserted never happened. Rows that the ledger gives to another go; rows that it gives
to this shard, and that nobody claimed, come.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .columns import U32, U64, Mask
from .context import Context
from .damage import DamageReport, damages_in, is_in_doubt, last_hidden_loss, living, read_record
from .journal import JournalFollower, key_of
from .journal_reader import JournalReader
from .journal_requests import GAINS, EntryKind, FleetRecords, JournalEntry, ShardRecord
from .ledger import NOBODY, Ledger, evidence_in, fold, holdings, resolved
from .mailbox import TransferMailbox
from .stream import EntityStream
from .transfer import IncomingState, OutgoingState, TransferId


class RollConclusion:
    """Acts on ``fleet``, read while the roll-call was closed.

    What is damaged in it is left out. Rows that are here stay unless the ledger gives them to another; of stored ones
    that are not here, those in doubt (damage.py) do not come: nothing changes, so waiting would not help.
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
        self.fleet = fleet
        reads = {record.shard: read_record(record) for record in fleet.records}
        self.evidences = resolved(map(evidence_in, reads.values()))
        self.ledger: Ledger = fold(self.evidences)
        self.damages = damages_in(reads.values())
        self.manifest = reads[context.shard].manifest if context.shard in reads else None
        empty = ShardRecord(shard=context.shard, header="", chunks=(), entries=())
        self.record = next((record for record in fleet.records if record.shard == context.shard), empty)
        in_doubt = is_in_doubt(self.record, self.damages)
        self.trusted_from = last_hidden_loss(self.record) + 1 if in_doubt else 0
        """Of the own journal's entries; above 0 the manifest is older than what is trusted."""
        self._here: dict[int, int] = {}
        """id -> version, of rows that are here or come by a transfer."""

    def conclude(self) -> None:
        self._end_doubts()
        self._drop_what_went()
        self._count_what_is_here()
        self._read_journal_anew()
        self._take_up_the_unclaimed()
        self._report()

    # --- transfers ----------------------------------------------------------------------------------------------

    def _end_doubts(self) -> None:
        """Nobody can accept or cancel any more what was open before."""
        for outgoing in list(self.mailbox.outgoing.open.values()):
            gone = self._is_said(EntryKind.OUT, outgoing.id)
            if outgoing.state in (OutgoingState.OFFERED, OutgoingState.CANCELING, OutgoingState.FROZEN):
                ids, versions = np.frombuffer(outgoing.ids, "<u8"), np.frombuffer(outgoing.versions, "<u4")
                gone = gone or not self.ledger.keeps(self.context.shard, ids, versions - np.uint32(1)).all()
            self.mailbox.outgoing.conclude(outgoing, accepted=gone)
        for incoming in list(self.mailbox.incoming.open.values()):
            self.mailbox.incoming.conclude(incoming, accepted=self._is_said(EntryKind.IN, incoming.id))

    def _is_said(self, kind: EntryKind, transfer: TransferId) -> bool:
        """By the own journal. Where something is damaged, also by the other half of the pair, which one script wrote:
        both sides must conclude the same from what either of them can read."""
        own = any((entry.kind, entry.transfer) == (kind, transfer) for entry in self.record.entries)
        return own or (
            bool(self.damages)
            and any(
                entry.transfer == transfer and entry.kind in (EntryKind.IN, EntryKind.OUT)
                for record in self.fleet.records
                for entry in record.entries
            )
        )

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
        for at, entry in enumerate(self.record.entries):
            if entry.kind is EntryKind.DAMAGED:
                self.journal_reader.set_aside(entry, key_of(entry))
            elif entry.kind in GAINS and at < self.trusted_from:
                self._leave_gain(entry, journal)
            elif entry.kind in GAINS:
                self._take_gain(entry, journal, had_before=former.has_applied(entry))
            elif entry.kind is EntryKind.TAKEOVER:
                self.takeovers.take(entry)  # of its rows, those that came before are left out
            elif not self.mailbox.will_release(entry):
                self.journal_reader.remove(entry)

    def _leave_gain(self, entry: JournalEntry, journal: JournalFollower) -> None:
        """In doubt; but for a transfer that is adopted when it is due."""
        incoming = self.mailbox.incoming.open.get(entry.transfer) if entry.transfer is not None else None
        if incoming is None or incoming.state is not IncomingState.ACCEPTED:
            journal.apply(key_of(entry))

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
        context, manifest = self.context, self.manifest
        if manifest is None or self.trusted_from:
            return
        rows = context.reader.take(manifest.rows)
        rows = rows.take(self._is_missing(rows.id, rows.version))
        if len(rows):
            tick = context.after_rests(manifest.tick)
            entry = JournalEntry(id="", kind=EntryKind.RESTORE, count=len(rows), tick=tick + 1, offer_tick=tick)
            self.stream.take_spawn(entry, rows)

    def _is_missing(self, ids: U64, versions: U32) -> Mask:
        """Which rows the ledger gives to this shard, and are not here."""
        missing = self.ledger.keeps(self.context.shard, ids, versions)
        if self.damages:
            missing &= living(ids, self.fleet.registry)
        for place in np.flatnonzero(missing).tolist():
            missing[place] = self._here.get(int(ids[place]), -1) < int(versions[place])
        return missing

    def _report(self) -> None:
        held = [np.fromiter(self._here, np.uint64, len(self._here))]
        held += [holdings(one)[0] for one in self.evidences if one.shard != self.context.shard]
        held += [rows.id for _, rows in self.stream.waiting]
        held += [ids for one in self.evidences if one.shard == self.context.shard for ids, _ in one.taken]
        self.context.report_damage(DamageReport.of(self.damages, self.fleet.registry, held))
