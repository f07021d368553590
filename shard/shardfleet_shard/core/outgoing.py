"""The source's side: begin, offer, final, cancel, freeze, release."""

from __future__ import annotations

import numpy as np

from .context import Context, TransferNote
from .frames import Answer, Final, Offer
from .handoff_delay import HandoffDelay
from .journal_requests import EntryKind
from .planner import PlannedTransfer
from .requests import Begin, Cancel, Done, Outcome, Released
from .transfer import OUTGOING, Outgoing, OutgoingAction, OutgoingInput, OutgoingState, TransferId
from .transfer_spans import OpenSpans, Part

RETRY_US = 100_000
"""Between a request that was not answered and the next of the same."""
BACK_OFF_US = 250_000
"""Before a row that stayed is offered again; up to twice that, at random."""
MAX_OPEN = 512
"""Outgoing transfers at once: with more in doubt something is wrong, and the planner waits."""
NOT_SCHEDULED = 1 << 62

_RESUMING = (OutgoingAction.RESUME, OutgoingAction.RESUME_AND_CANCEL)
_CANCELING = (OutgoingAction.SEND_CANCEL, OutgoingAction.FREEZE_AND_CANCEL, OutgoingAction.RESUME_AND_CANCEL)
_FREEZING = (OutgoingAction.FREEZE, OutgoingAction.FREEZE_AND_CANCEL)


class OutgoingTransfers:
    """All open outgoing transfers of this epoch, by sequence."""

    def __init__(self, context: Context, delay: HandoffDelay) -> None:
        self.context = context
        self.open: dict[int, Outgoing] = {}
        self._began_us: dict[int, int] = {}
        self._doubted_us: dict[int, int] = {}
        """When the first CANCEL of a transfer was sent."""
        self._silent_us: dict[int, int] = {}
        """Transfers that were canceled without a word of their target: when they began. At most ``MAX_OPEN``."""
        self._delay = delay
        self._sequence = 0
        self._simulated_tick = -1
        self._missed_tick = -1
        """The last one that was left out before one that was simulated."""
        self._leaving: list[Outgoing] = []
        self._several = False
        """More of them follow: their rows are dropped together."""

    @property
    def room(self) -> int:
        return MAX_OPEN - len(self.open)

    @property
    def last_sequence(self) -> int:
        """Of this epoch; 0 before the first transfer."""
        return self._sequence

    # --- step 4: begin and offer --------------------------------------------------------------------------------

    def begin(self, planned: PlannedTransfer, *, transfer_time_us: int, switch_tick: int, tick: int) -> None:
        """BEGIN and the offer leave together; which of them arrives first does not matter."""
        context = self.context
        self._sequence += 1
        transfer = TransferId(context.shard, context.epoch, self._sequence)
        rows = context.tracker.rows.take(context.tracker.by_id(planned.index))
        outgoing = Outgoing(
            id=transfer,
            target=planned.target,
            target_epoch=planned.target_epoch,
            cell=planned.cell,
            transfer_time_us=transfer_time_us,
            switch_tick=switch_tick,
            offer_tick=tick,
            count=len(rows),
            ids=rows.id.tobytes(),
            versions=(rows.version + np.uint32(1)).tobytes(),
            next_try_us=transfer_time_us - context.config.guard_us,
        )
        outgoing.spans = context.begin_trace(transfer, target=outgoing.target, entities=outgoing.count)
        if outgoing.spans is not None:
            outgoing.spans.begin(Part.TRANSFER, Part.BEGIN, Part.OFFER)
        self.open[self._sequence] = outgoing
        self._began_us[self._sequence] = context.clock.now_unix_us()
        context.tracker.begin(planned.index, self._sequence)
        context.request(
            Begin(
                shard=context.shard,
                epoch=context.epoch,
                transfer=transfer,
                target=outgoing.target,
                target_epoch=outgoing.target_epoch,
                cell=outgoing.cell,
                transfer_time_us=transfer_time_us,
                switch_tick=switch_tick,
                count=outgoing.count,
                ids=outgoing.ids,
                versions=outgoing.versions,
            )
        )
        context.send(
            outgoing.target,
            Offer(
                transfer=transfer,
                target_epoch=outgoing.target_epoch,
                cell=outgoing.cell,
                transfer_time_us=transfer_time_us,
                switch_tick=switch_tick,
                offer_tick=tick,
                count=outgoing.count,
                columns=rows.pack(),
                trace_context=outgoing.spans.trace_context if outgoing.spans is not None else "",
            ),
        )

    # --- what is learned between ticks --------------------------------------------------------------------------

    def handle_answer(self, peer: str, answer: Answer) -> None:
        """The target's word. An answer about a transfer that is not open is old news."""
        outgoing = self._mine(answer.transfer)
        if outgoing is None:
            self._learn_from_late_word(answer.transfer)
            return
        if outgoing.target != peer or answer.generation != self.context.generation:
            return
        event = OutgoingInput.LEARN_ACCEPTED if answer.accepted else OutgoingInput.LEARN_REFUSED
        if (outgoing.state, event) not in OUTGOING:  # a peer that takes its word back: no reason to stop
            self.context.stats.frames_contradicting += 1
            return
        self._take(outgoing, event)

    def handle_reply(self, request: Begin | Cancel | Released, reply: Done | None) -> None:
        outgoing = self._mine(request.transfer)
        if outgoing is None:
            return
        if reply is None:
            if not isinstance(request, Begin):  # BEGIN's doubt ends by the CANCEL that the deadline sends
                outgoing.next_try_us = self.context.clock.now_unix_us() + RETRY_US
            return
        if outgoing.spans is not None:
            self._trace_reply(outgoing.spans, request, reply.outcome)
        match request, reply.outcome:
            case Released(), Outcome.RELEASED | Outcome.CLEARED:
                self._take(outgoing, OutgoingInput.CONFIRM_RELEASED)
            case _, Outcome.ACCEPTED:
                self._take(outgoing, OutgoingInput.LEARN_ACCEPTED)
            case _, Outcome.DECIDED | Outcome.CANCELED:
                self._take(outgoing, OutgoingInput.LEARN_KEPT)

    def learn_accepted(self, transfer: TransferId) -> bool:
        """By the own journal, or by a returning entity. False: no such transfer is open."""
        outgoing = self._mine(transfer)
        if outgoing is not None:
            self._take(outgoing, OutgoingInput.LEARN_ACCEPTED)
        return outgoing is not None

    def will_release(self, transfer: TransferId) -> bool:
        """It is accepted, and its switch is still to come."""
        outgoing = self._mine(transfer)
        return outgoing is not None and outgoing.state is OutgoingState.ACCEPTED

    def conclude(self, outgoing: Outgoing, *, accepted: bool) -> None:
        """A roll-call has ended every doubt."""
        self._began_us.pop(outgoing.id.sequence, None)  # how long that took says nothing about the delay
        if outgoing.state in (OutgoingState.OFFERED, OutgoingState.CANCELING, OutgoingState.FROZEN):
            self._take(outgoing, OutgoingInput.LEARN_ACCEPTED if accepted else OutgoingInput.LEARN_KEPT)
        elif outgoing.state is OutgoingState.WITHDRAWN:
            self._take(outgoing, OutgoingInput.LEARN_KEPT)

    def release_now(self, sequence: int) -> None:
        """A row that is leaving by ``sequence`` has come back under a higher version: it was accepted."""
        outgoing = self.open[sequence]
        self._take(outgoing, OutgoingInput.LEARN_ACCEPTED)
        self._take(outgoing, OutgoingInput.SWITCH)

    def poll(self, now_us: int) -> None:
        """Deadlines and repeats that are due at ``now_us``."""
        for outgoing in [o for o in self.open.values() if o.next_try_us <= now_us]:
            self._take(outgoing, OutgoingInput.DEADLINE)

    @property
    def next_try_us(self) -> int:
        return min((o.next_try_us for o in self.open.values()), default=NOT_SCHEDULED)

    # --- bound to ticks -----------------------------------------------------------------------------------------

    def switch_due(self, tick: int) -> None:
        """Before ``tick`` is simulated: all with K <= tick are released or frozen."""
        self._switch([o for o in self.open.values() if o.switch_tick <= tick])

    def commit_due(self, next_tick: int) -> None:
        """Step 5: releases the accepted ones that are due before ``next_tick``; the others may still hear."""
        due = (o for o in self.open.values() if o.switch_tick <= next_tick)
        self._switch([o for o in due if o.state is OutgoingState.ACCEPTED])

    def _switch(self, due: list[Outgoing]) -> None:
        self._several = True
        for outgoing in due:
            self._take(outgoing, OutgoingInput.SWITCH)
        self._several = False
        self._let_go()

    def send_finals(self, tick: int, unix_us: int) -> None:
        """After step 3 of ``tick``: the last columns of all that switch before the next tick."""
        if tick != self._simulated_tick + 1:
            self._missed_tick = tick - 1
        self._simulated_tick = tick
        for sequence, outgoing in self.open.items():
            if outgoing.final_sent or outgoing.switch_tick > tick + 1 or outgoing.state in _WITHOUT_FINAL:
                continue
            outgoing.final_sent = True
            rows = self.context.tracker.rows_of(sequence)
            self.context.send(
                outgoing.target,
                Final(
                    transfer=outgoing.id,
                    tick=tick,
                    unix_us=unix_us,
                    count=len(rows),
                    columns=rows.pack(),
                    every_tick=self._missed_tick <= outgoing.offer_tick,
                ),
            )

    # --- the table's actions ------------------------------------------------------------------------------------

    def _mine(self, transfer: TransferId) -> Outgoing | None:
        if (transfer.source, transfer.epoch) != (self.context.shard, self.context.epoch):
            return None
        return self.open.get(transfer.sequence)

    def _take(self, outgoing: Outgoing, event: OutgoingInput) -> None:
        before = outgoing.state
        action = outgoing.step(event)
        sequence = outgoing.id.sequence
        if action is OutgoingAction.NOTHING and event is OutgoingInput.DEADLINE:
            outgoing.next_try_us = NOT_SCHEDULED  # nothing is left to be asked
        if outgoing.state is OutgoingState.ACCEPTED and before is not OutgoingState.ACCEPTED:
            outgoing.next_try_us = NOT_SCHEDULED
        if event in _ANSWERS and before is not outgoing.state and sequence in self._began_us:
            self._learn_latency(sequence, event, was_late=before in _PAST_THE_DEADLINE)
        if outgoing.spans is not None and outgoing.state is not before:
            self._trace(outgoing.spans, outgoing.state)
        if action in _RESUMING:
            self._resume(outgoing, was_frozen=before is OutgoingState.FROZEN)
        if action in _FREEZING:
            rows = self.context.tracker.freeze(sequence)
            outgoing.rows_tick = self.context.rows_tick
            self.context.stats.transfers_frozen += 1
            self._note(outgoing, "frozen")
            self.context.event("freeze", outgoing.switch_tick, rows.id, rows.version, transfer=str(outgoing.id))
        if action in _CANCELING:
            self._doubted_us.setdefault(sequence, self.context.clock.now_unix_us())
            self._request(outgoing, Cancel)
        if action is OutgoingAction.RELEASE:
            self._release(outgoing)
        if action is OutgoingAction.SEND_RELEASED:
            self._request(outgoing, Released)
        if outgoing.state in (OutgoingState.KEPT, OutgoingState.GONE):
            del self.open[sequence]
            self._began_us.pop(sequence, None)
            self._doubted_us.pop(sequence, None)
            outcome = self._count_end(outgoing, was=before)
            if outgoing.state is OutgoingState.KEPT:
                self._note(outgoing, outcome)
            if outgoing.spans is not None:
                outgoing.spans.end_all(outcome)

    def _learn_latency(self, sequence: int, event: OutgoingInput, *, was_late: bool) -> None:
        """That a target said nothing in time does not show that it is slow: it may be away. What counts of a transfer
        that was canceled is how long Redis took for that, and the target's word should it come late."""
        stats, now_us = self.context.stats, self.context.clock.now_unix_us()
        began_us = self._began_us.pop(sequence)
        if event is OutgoingInput.LEARN_ACCEPTED:
            stats.transfer_us.add(now_us - began_us)
        if not was_late:
            return
        stats.late_answers += 1
        waits_since_us = began_us
        if event is OutgoingInput.LEARN_KEPT:
            waits_since_us = self._doubted_us.get(sequence, began_us)
            self._silent_us[sequence] = began_us
            if len(self._silent_us) > MAX_OPEN:
                del self._silent_us[next(iter(self._silent_us))]
        self._delay.learn_late(now_us - waits_since_us, now_us)

    def _learn_from_late_word(self, transfer: TransferId) -> None:
        if (transfer.source, transfer.epoch) != (self.context.shard, self.context.epoch):
            return
        if (began_us := self._silent_us.pop(transfer.sequence, None)) is not None:
            now_us = self.context.clock.now_unix_us()
            self._delay.learn_late(now_us - began_us, now_us)

    def _note(self, outgoing: Outgoing, what: str) -> None:
        self.context.effects.notes.append(
            TransferNote(transfer=outgoing.id, what=what, peer=outgoing.target, entities=outgoing.count)
        )

    def _count_end(self, outgoing: Outgoing, *, was: OutgoingState) -> str:
        stats = self.context.stats
        if outgoing.state is OutgoingState.GONE:
            stats.transfers_completed += 1
            return "completed"
        if was is OutgoingState.WITHDRAWN:
            stats.transfers_rejected += 1
            return "rejected"
        stats.transfers_canceled += 1
        return "canceled"

    def _trace_reply(self, spans: OpenSpans, request: Begin | Cancel | Released, outcome: Outcome) -> None:
        if isinstance(request, Begin):
            spans.end(Part.BEGIN)
        elif isinstance(request, Released) and outcome is Outcome.CLEARED:
            spans.end(Part.CLEAR)
        elif isinstance(request, Released):
            spans.drop(Part.CLEAR)  # it is the target's

    def _trace(self, spans: OpenSpans, state: OutgoingState) -> None:
        match state:
            case OutgoingState.ACCEPTED:
                spans.end(Part.OFFER, "accepted")
                spans.begin(Part.SWITCH)
            case OutgoingState.RELEASED:
                spans.end(Part.OFFER, "accepted")  # learned after the switch tick
                spans.end(Part.SWITCH)
                spans.begin(Part.CLEAR)
            case OutgoingState.WITHDRAWN:
                spans.end(Part.OFFER, "rejected")

    def _request(self, outgoing: Outgoing, kind: type[Cancel] | type[Released]) -> None:
        context = self.context
        context.request(kind(shard=context.shard, epoch=context.epoch, transfer=outgoing.id))
        outgoing.next_try_us = NOT_SCHEDULED  # until it is answered, or known not to be

    def _resume(self, outgoing: Outgoing, *, was_frozen: bool) -> None:
        context = self.context
        back_off_us = BACK_OFF_US + int(context.rng.integers(BACK_OFF_US))
        rows = context.tracker.resume(
            outgoing.id.sequence, not_before_tick=context.current_tick + context.grid.ticks_in(back_off_us)
        )
        outgoing.next_try_us = context.clock.now_unix_us() + RETRY_US  # only WITHDRAWN still has something to repeat
        if was_frozen:
            context.event("unfreeze", context.current_tick + 1, rows.id, rows.version, transfer=str(outgoing.id))

    def _release(self, outgoing: Outgoing) -> None:
        self._leaving.append(outgoing)
        if not self._several:
            self._let_go()

    def _let_go(self) -> None:
        """Drops the rows of all transfers that were released, in one pass over the rows."""
        context, leaving = self.context, self._leaving
        if not leaving:
            return
        self._leaving = []
        if context.trace:
            for outgoing in leaving:
                rows = context.tracker.rows_of(outgoing.id.sequence)
                where = {"transfer": str(outgoing.id), "target": outgoing.target}
                context.event("release", outgoing.switch_tick, rows.id, rows.version, **where)
        gone, sequences = context.tracker.release([outgoing.id.sequence for outgoing in leaving])
        context.stats.handed_over_out += len(gone)
        now_us = context.clock.now_unix_us()
        for outgoing in leaving:
            tick = outgoing.rows_tick if outgoing.rows_tick >= 0 else context.rows_tick
            rows = gone.take(sequences == outgoing.id.sequence)
            context.shadows.release(outgoing, rows, tick=tick, now_us=now_us)
            context.journal.apply((EntryKind.OUT, outgoing.id))
            self._request(outgoing, Released)


_ANSWERS = (OutgoingInput.LEARN_ACCEPTED, OutgoingInput.LEARN_KEPT, OutgoingInput.LEARN_REFUSED)
_PAST_THE_DEADLINE = (OutgoingState.CANCELING, OutgoingState.FROZEN)
_WITHOUT_FINAL = (OutgoingState.FROZEN, OutgoingState.RELEASED, OutgoingState.WITHDRAWN)
"""Frozen: the last tick was an earlier one, and nobody noted its columns or its time."""
