"""TransferMailbox: everything pending, incoming and outgoing. Adopts when due, commits when due."""

from __future__ import annotations

from collections.abc import Iterable

from .columns import Columns
from .context import Context
from .frames import Answer, Final, Offer
from .handoff_delay import HandoffDelay
from .incoming import IncomingTransfers
from .journal_requests import JournalEntry
from .outgoing import OutgoingTransfers
from .planner import PlannedTransfer
from .requests import Accept, Adopted, Begin, Cancel, Done, Reject, Released
from .transfer import IncomingState, OutgoingState, TransferId

ACCEPTED_OUTGOING = (OutgoingState.ACCEPTED, OutgoingState.RELEASED)
ACCEPTED_INCOMING = (IncomingState.ACCEPTED, IncomingState.ADOPTED)


class TransferMailbox:
    """Both sides' pending transfers behind one door; the state machines are in outgoing.py and incoming.py."""

    def __init__(self, context: Context, delay: HandoffDelay) -> None:
        self.outgoing = OutgoingTransfers(context, delay)
        self.incoming = IncomingTransfers(context, self.outgoing)
        self._context = context

    @property
    def open_count(self) -> int:
        return len(self.outgoing.open) + len(self.incoming.open)

    @property
    def next_try_us(self) -> int:
        return min(self.outgoing.next_try_us, self.incoming.next_try_us)

    # --- between ticks ------------------------------------------------------------------------------------------

    def handle_offer(self, peer: str, offer: Offer) -> None:
        self.incoming.handle_offer(peer, offer)

    def handle_answer(self, peer: str, answer: Answer) -> None:
        self.outgoing.handle_answer(peer, answer)

    def handle_final(self, peer: str, final: Final) -> None:
        self.incoming.handle_final(peer, final)

    def handle_reply(self, request: Begin | Accept | Reject | Cancel | Adopted | Released, reply: Done | None) -> None:
        if isinstance(request, Begin | Cancel | Released):
            self.outgoing.handle_reply(request, reply)
        else:
            self.incoming.handle_reply(request, reply)

    def learn_outgoing_accepted(self, transfer: TransferId) -> bool:
        return self.outgoing.learn_accepted(transfer)

    def learn_incoming_accepted(self, transfer: TransferId) -> bool:
        return self.incoming.learn_accepted(transfer)

    def take_from_journal(self, entry: JournalEntry, rows: Columns) -> None:
        self.incoming.take_from_journal(entry, rows)

    def adopted_before(self, transfer: TransferId) -> None:
        self.incoming.adopted_before(transfer)

    def will_release(self, entry: JournalEntry) -> bool:
        """An ``out`` of a transfer whose switch is still to come."""
        return entry.transfer is not None and self.outgoing.will_release(entry.transfer)

    @property
    def accepted_ids(self) -> tuple[TransferId, ...]:
        """Of all that are open and accepted, on either side."""
        outgoing = (o.id for o in self.outgoing.open.values() if o.state in ACCEPTED_OUTGOING)
        incoming = (i.id for i in self.incoming.open.values() if i.state in ACCEPTED_INCOMING)
        return (*outgoing, *incoming)

    def poll(self, now_us: int) -> None:
        self.outgoing.poll(now_us)
        self.incoming.poll(now_us)

    def refuse(self, reason: str) -> None:
        """From now on every new offer is refused with ``reason``."""
        self.incoming.refusing = reason

    # --- bound to ticks -----------------------------------------------------------------------------------------

    def switch_due(self, tick: int) -> None:
        """Before ``tick`` is simulated: outgoing with K <= tick are released or frozen."""
        self.outgoing.switch_due(tick)

    def adopt_due(self, tick: int) -> None:
        self.incoming.adopt_due(tick)

    def after_step(self, tick: int, unix_us: int) -> None:
        """After step 3: what was adopted in this tick has begun."""
        self.incoming.after_step(tick, unix_us)

    def tell_ended(self, tick: int, unix_us: int) -> None:
        """After step 3 of ``tick``, which ended at ``unix_us``: finals of what switches before the next one, and how
        those fit that came."""
        self.outgoing.send_finals(tick, unix_us)
        self.incoming.compare_adopted()

    def tick_thrown_away(self) -> None:
        self.incoming.tick_thrown_away()

    def begin(self, planned: Iterable[PlannedTransfer], *, transfer_time_us: int, switch_tick: int, tick: int) -> None:
        """Step 4: one transfer each, as far as there is room; the other rows are planned again next tick."""
        for transfer in planned:
            if self.outgoing.room <= 0:
                break
            self.outgoing.begin(transfer, transfer_time_us=transfer_time_us, switch_tick=switch_tick, tick=tick)

    def commit_due(self, tick: int) -> None:
        """Step 5: accepted outgoing that switch before ``tick + 1`` go."""
        self.outgoing.commit_due(tick + 1)
