"""OverdueTransfers: this shard's open records, read again once they should long be gone.

What ends a transfer may have been done by somebody else (a watchdog, a successor, a person), and what this shard has
done may not be in Redis. Nobody tells it: it looks at an interval, and repeats its own last step where that is missing.
"""

from __future__ import annotations

from .context import Context
from .journal_reader import JournalReader
from .journal_requests import EntryKind
from .mailbox import TransferMailbox
from .repair_requests import Overdue, OverdueTransfer, ReadOverdue
from .requests import Adopted, Cancel, Released
from .transfer import IncomingState, OutgoingState, TransferId

REREAD_INTERVAL_US = 500_000


class OverdueTransfers:
    """What the records say that this shard's own book does not."""

    def __init__(self, context: Context, mailbox: TransferMailbox, journal_reader: JournalReader) -> None:
        self.context = context
        self.mailbox = mailbox
        self.journal_reader = journal_reader
        self._reading = False
        self._next_read_us = 0
        self._unknown: dict[TransferId, int] = {}
        """Accepted, not open here, and not held by this shard -> the journal's ends seen when that was first read."""

    def poll(self, now_us: int) -> None:
        context = self.context
        if self._reading or now_us < self._next_read_us:
            return
        self._reading = True
        through_us = now_us - context.config.discrepancy_threshold_us
        context.request(ReadOverdue(shard=context.shard, epoch=context.epoch, through_us=through_us))

    def handle_reply(self, reply: Overdue | None, now_us: int) -> None:
        self._reading = False
        self._next_read_us = now_us + REREAD_INTERVAL_US
        if reply is None:
            return
        unknown: dict[TransferId, int] = {}
        for overdue in reply.transfers:
            if overdue.transfer.source == self.context.shard:
                self._as_source(overdue)
            if overdue.target == self.context.shard:  # of what it took over, it may be both
                self._as_target(overdue, unknown)
        self._unknown = unknown

    def _as_source(self, overdue: OverdueTransfer) -> None:
        context, transfer = self.context, overdue.transfer
        is_mine = transfer.epoch == context.epoch
        outgoing = self.mailbox.outgoing.open.get(transfer.sequence) if is_mine else None
        if outgoing is not None and outgoing.state is not OutgoingState.RELEASED:
            if overdue.accepted:
                self.mailbox.learn_outgoing_accepted(transfer)
            return  # of a started one the deadline asks, and asks again
        if overdue.accepted and overdue.held:
            context.request(Released(shard=context.shard, epoch=context.epoch, transfer=transfer))
        elif not overdue.accepted and is_mine:
            context.request(Cancel(shard=context.shard, epoch=context.epoch, transfer=transfer))

    def _as_target(self, overdue: OverdueTransfer, unknown: dict[TransferId, int]) -> None:
        context, transfer = self.context, overdue.transfer
        if not overdue.accepted or overdue.held:
            return  # the source's to end
        incoming = self.mailbox.incoming.open.get(transfer)
        if incoming is not None:
            if incoming.state is not IncomingState.ADOPTED:
                self.mailbox.learn_incoming_accepted(transfer)
                return
        elif not self._was_applied(transfer, unknown):
            return
        context.request(Adopted(shard=context.shard, epoch=context.epoch, transfer=transfer))

    def _was_applied(self, transfer: TransferId, unknown: dict[TransferId, int]) -> bool:
        """Whether the ``in`` of an accepted transfer is behind this shard: its journal, read to the end since, has
        none that still waits."""
        journal = self.context.journal
        if journal.waits_for((EntryKind.IN, transfer)) or any(
            entry.kind is EntryKind.TAKEOVER for entry in journal.pending
        ):
            return False
        seen = self._unknown.get(transfer, self.journal_reader.ends_seen)
        unknown[transfer] = seen
        if self.journal_reader.ends_seen < seen + 2:  # the first may have been asked for before the record was read
            self.journal_reader.read_soon()
            return False
        return True
