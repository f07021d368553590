"""The target's side: accept before anything is stored, adopt at the switch tick, say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import SchemaChanged, SimulationError
from .columns import U64, Columns, first_duplicate
from .context import CATCH_UP_LIMIT_US, Context
from .frames import Answer, Final, Offer
from .journal_requests import EntryKind, JournalEntry
from .outgoing import NOT_SCHEDULED, RETRY_US, OutgoingTransfers
from .requests import Accept, Adopted, Done, Outcome, Reject
from .transfer import Incoming, IncomingAction, IncomingInput, IncomingState, TransferId
from .transfer_spans import OpenSpans, Part

NOT_YET_RETRY_US = 5_000
"""ACCEPT that came before BEGIN: they race on two connections, so the next try is soon."""
EXPIRE_US = 1_000_000
"""After the transfer time, an offer whose BEGIN never came is given up by REJECT."""
REMEMBER_US = 5_000_000
"""After the transfer time, how long a handled id is known; a repeat of its offer is too late by then anyway."""
FINAL_PATIENCE_US = 500_000
"""How long a simulation that is not exact waits for the final state."""
MAX_OPEN = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdoptedBatch:
    """Rows in their first tick here, kept until the source's final state has been compared with them."""

    transfer: TransferId
    switch_tick: int
    tick: int
    """The tick in which they were adopted: ``switch_tick``, or later where the acceptance was learned late."""
    unix_us: int
    rows: Columns
    """After ``tick``."""


class IncomingTransfers:
    """All open incoming transfers, by id."""

    def __init__(self, context: Context, outgoing: OutgoingTransfers) -> None:
        self.context = context
        self.outgoing = outgoing
        self.open: dict[TransferId, Incoming] = {}
        self.refusing = ""
        """Why every new offer is refused; '' where none is."""
        self._handled: dict[TransferId, int] = {}
        self._adopting: list[tuple[Incoming, Columns]] = []
        self._began: list[tuple[Incoming, slice]] = []
        self._matched: list[tuple[Incoming, AdoptedBatch]] = []
        self._unmatched: dict[TransferId, AdoptedBatch] = {}

    @property
    def ids(self) -> U64:
        """Of all rows that are to come, or may be."""
        return np.concatenate([np.zeros(0, np.uint64), *(incoming.rows.id for incoming in self.open.values())])

    # --- frames -------------------------------------------------------------------------------------------------

    def handle_offer(self, peer: str, offer: Offer) -> None:
        """Answered at once: ACCEPT goes out, or a refusal that needs nobody's consent."""
        context, now_us = self.context, self.context.clock.now_unix_us()
        if offer.transfer in self.open or offer.transfer in self._handled:
            return  # a repeat: the answer was given, or will be
        if offer.target_epoch != context.epoch or offer.transfer.source != peer or now_us >= offer.transfer_time_us:
            context.stats.frames_stale += 1
            return  # nothing was promised; the source's CANCEL ends it
        spans = context.join_trace(offer.transfer, offer.trace_context)
        if spans is not None:
            spans.begin(Part.ACCEPT)
        reason, rows = self._judge(offer)
        if rows is None:
            if spans is not None:
                spans.end(Part.ACCEPT, "rejected")
            context.stats.offers_refused += 1
            self._handled[offer.transfer] = offer.transfer_time_us + REMEMBER_US
            context.request(Reject(shard=context.shard, epoch=context.epoch, transfer=offer.transfer, reason=reason))
            self._answer(offer.transfer, accepted=False, reason=reason)
            return
        incoming = Incoming(
            id=offer.transfer,
            cell=offer.cell,
            transfer_time_us=offer.transfer_time_us,
            switch_tick=offer.switch_tick,
            offer_tick=offer.offer_tick,
            rows=rows,
            next_try_us=NOT_SCHEDULED,
            upgraded=context.reader.is_former(offer.columns),
            spans=spans,
        )
        self.open[offer.transfer] = incoming
        self._accept(incoming)

    def _judge(self, offer: Offer) -> tuple[str, Columns | None]:
        """(reason, None) for an offer to refuse, ('', rows under the target's versions) for one to accept."""
        context = self.context
        if self.refusing:
            return self.refusing, None
        if len(self.open) >= MAX_OPEN:
            return "busy", None
        # Each tick between the two may have to be simulated when the rows are adopted.
        longest = context.grid.ticks_in(context.config.handoff_delay_us + CATCH_UP_LIMIT_US)
        forward = offer.switch_tick - offer.offer_tick
        if offer.switch_tick != context.grid.switch_tick(offer.transfer_time_us) or not 0 < forward <= longest:
            return "ticks do not fit the transfer time", None
        try:
            rows = context.reader.unpack(offer.columns, offer.count).with_version_raised()
        except (ValueError, SchemaChanged, SimulationError) as error:
            return str(error), None
        if not offer.count or not rows.finite().all():
            return "no rows, or a position or velocity that is not finite", None
        if (twice := first_duplicate(rows.id)) is not None:
            return f"entity {twice} stands in it twice", None
        return "", rows

    def handle_final(self, peer: str, final: Final) -> None:
        """The rows as the source ended with them: in time for the adoption, or only to compare with."""
        incoming = self.open.get(final.transfer)
        batch = self._unmatched.get(final.transfer)
        if final.transfer.source != peer or (incoming is None and batch is None):
            return
        try:
            rows = self.context.reader.unpack(final.columns, final.count).with_version_raised()
        except (ValueError, SchemaChanged, SimulationError):
            self.context.stats.frames_unfit += 1
            return
        if batch is not None:
            del self._unmatched[final.transfer]
            if np.array_equal(rows.id, batch.rows.id) and rows.finite().all():
                self._compare(rows, final.tick, final.unix_us, batch, same_state=final.every_tick)
        elif incoming is not None and incoming.state in (IncomingState.ASKED, IncomingState.ACCEPTED):
            fits = incoming.offer_tick <= final.tick < incoming.switch_tick
            if fits and np.array_equal(rows.id, incoming.rows.id) and rows.finite().all():
                incoming.final, incoming.final_tick, incoming.final_unix_us = rows, final.tick, final.unix_us
            else:
                self.context.stats.frames_unfit += 1

    # --- answers of Redis ---------------------------------------------------------------------------------------

    def handle_reply(self, request: Accept | Reject | Adopted, reply: Done | None) -> None:
        incoming = self.open.get(request.transfer)
        if incoming is None:
            return
        now_us = self.context.clock.now_unix_us()
        if reply is None:
            incoming.next_try_us = now_us + RETRY_US
            return
        if isinstance(request, Adopted):
            if incoming.spans is not None and reply.outcome is Outcome.CLEARED:
                incoming.spans.end(Part.CLEAR)
            self._take(incoming, IncomingInput.CONFIRM_ADOPTED)
            return
        match reply.outcome:
            case Outcome.ACCEPTED:
                self._take(incoming, IncomingInput.LEARN_ACCEPTED)
            case Outcome.NOT_YET:
                incoming.next_try_us = now_us + NOT_YET_RETRY_US
                self._take(incoming, IncomingInput.NOT_YET)
            case Outcome.DECIDED | Outcome.REJECTED:
                self._take(incoming, IncomingInput.LEARN_REFUSED, reason=reply.reason or reply.outcome)

    def learn_accepted(self, transfer: TransferId) -> bool:
        """By an ``in`` in the own journal. False: not known here (and neither is it adopted)."""
        incoming = self.open.get(transfer)
        if incoming is not None:
            self._take(incoming, IncomingInput.LEARN_ACCEPTED)
        return incoming is not None

    def take_from_journal(self, entry: JournalEntry, rows: Columns) -> None:
        """An accepted ``in`` that this process has no offer of: recovered, or left by another."""
        assert entry.transfer is not None
        self.open[entry.transfer] = Incoming(
            id=entry.transfer,
            cell="",
            transfer_time_us=self.context.grid.start_us(entry.tick),
            switch_tick=entry.tick,
            offer_tick=entry.offer_tick,
            rows=rows,
            next_try_us=NOT_SCHEDULED,
            upgraded=self.context.reader.is_former(entry.rows),
            state=IncomingState.ACCEPTED,
        )

    def adopted_before(self, transfer: TransferId) -> None:
        """The manifest that this shard recovered from holds the rows already: only ADOPTED is left to say."""
        self.open[transfer] = Incoming(
            id=transfer,
            cell="",
            transfer_time_us=0,
            switch_tick=0,
            offer_tick=0,
            rows=self.context.schema.empty(),
            next_try_us=NOT_SCHEDULED,
            state=IncomingState.ADOPTED,
        )
        self._send_adopted(self.open[transfer])

    def conclude(self, incoming: Incoming, *, accepted: bool) -> None:
        """A roll-call has ended every doubt."""
        if incoming.state in (IncomingState.ASKED, IncomingState.REJECTING):
            event = IncomingInput.LEARN_ACCEPTED if accepted else IncomingInput.LEARN_REFUSED
            self._take(incoming, event, reason="Redis restarted")

    def poll(self, now_us: int) -> None:
        for incoming in [i for i in self.open.values() if i.next_try_us <= now_us]:
            asked = incoming.state is IncomingState.ASKED
            expired = asked and now_us >= incoming.transfer_time_us + EXPIRE_US
            self._take(incoming, IncomingInput.EXPIRE if expired else IncomingInput.REPEAT)

    @property
    def next_try_us(self) -> int:
        return min((i.next_try_us for i in self.open.values()), default=NOT_SCHEDULED)

    # --- bound to ticks -----------------------------------------------------------------------------------------

    def adopt_due(self, tick: int) -> None:
        """Step 2: every accepted one with K <= tick, if the state to start from is there."""
        self._began.clear()
        late_us = self.context.grid.start_us(tick)
        due = [i for i in self.open.values() if i.switch_tick <= tick and self._is_ready(i, late_us)]
        groups, all_new = self._in_groups(due) if due else ((), True)
        for together in groups:
            starts = self._start_rows(together, tick, all_new=all_new)
            if starts is None:
                break  # without the lease nothing is adopted
            for incoming, rows in zip(together, starts, strict=True):
                self._take(incoming, IncomingInput.SWITCH, tick=tick, rows=rows)
            self._let_in(tick)
        self._forget(late_us)

    def _in_groups(self, due: Sequence[Incoming]) -> tuple[Sequence[Sequence[Incoming]], bool]:
        """All at once, or one after the other where an id is in several of them: then each must see the one before.
        And whether none of their ids is here."""
        ids = np.sort(np.concatenate([incoming.rows.id for incoming in due]))
        if (ids[1:] == ids[:-1]).any():
            return [(incoming,) for incoming in due], False
        return (due,), not self.context.tracker.ids.among(ids).any()

    def _let_in(self, tick: int) -> None:
        """Adds the rows of all transfers that were adopted, in one pass over the rows."""
        context = self.context
        if not self._adopting:
            return
        together = Columns.concat(context.schema, [rows for _, rows in self._adopting])
        start = context.tracker.add(together, since_tick=tick).start
        for incoming, rows in self._adopting:
            self._began.append((incoming, slice(start, start + len(rows))))
            start += len(rows)
        context.stats.handed_over_in += len(together)
        self._adopting.clear()

    def _is_ready(self, incoming: Incoming, late_us: int) -> bool:
        return incoming.state is IncomingState.ACCEPTED and (
            # Another version's step may give other bits: only its own last state is what it ended with.
            (self.context.simulation.exact and not incoming.upgraded)
            or incoming.final is not None
            or late_us >= incoming.transfer_time_us + FINAL_PATIENCE_US
        )

    def after_step(self, tick: int, unix_us: int) -> None:
        """After step 3: keeps what was adopted in this tick, to be compared with how its source ended."""
        for incoming, where in self._began:
            batch = AdoptedBatch(
                transfer=incoming.id,
                switch_tick=incoming.switch_tick,
                tick=tick,
                unix_us=unix_us,
                rows=self.context.tracker.rows.take(where).copy(),
            )
            if incoming.final is not None and len(incoming.final) == len(batch.rows):
                self._matched.append((incoming, batch))
            else:
                self._unmatched[incoming.id] = batch
        self._began.clear()

    def compare_adopted(self) -> None:
        """Gap and continuity of what was adopted in this tick and whose final state was there."""
        for incoming, batch in self._matched:
            assert incoming.final is not None
            self._compare(incoming.final, incoming.final_tick, incoming.final_unix_us, batch)
        self._matched.clear()

    def tick_thrown_away(self) -> None:
        self._began.clear()

    # --- the table's actions ------------------------------------------------------------------------------------

    def _take(
        self,
        incoming: Incoming,
        event: IncomingInput,
        *,
        reason: str = "",
        tick: int = 0,
        rows: Columns | None = None,
    ) -> None:
        before = incoming.state
        action = incoming.step(event)
        if incoming.spans is not None and incoming.state is not before:
            self._trace(incoming.spans, incoming.state)
        if action is IncomingAction.NOTHING and event in (IncomingInput.REPEAT, IncomingInput.EXPIRE):
            incoming.next_try_us = NOT_SCHEDULED  # nothing is left to be asked
        match action:
            case IncomingAction.SEND_ACCEPT:
                self._accept(incoming)
            case IncomingAction.SEND_REJECT:
                self._reject(incoming)
            case IncomingAction.ANSWER_ACCEPTED:
                incoming.next_try_us = NOT_SCHEDULED
                self._answer(incoming.id, accepted=True)
            case IncomingAction.ANSWER_REJECTED:
                self._answer(incoming.id, accepted=False, reason=reason)
            case IncomingAction.ADOPT:
                assert rows is not None
                self._adopt(incoming, rows, tick)
            case IncomingAction.SEND_ADOPTED:
                self._send_adopted(incoming)
        if incoming.state in (IncomingState.REFUSED, IncomingState.DONE):
            del self.open[incoming.id]
            self._handled[incoming.id] = incoming.transfer_time_us + REMEMBER_US

    def _trace(self, spans: OpenSpans, state: IncomingState) -> None:
        match state:
            case IncomingState.ACCEPTED:
                spans.end(Part.ACCEPT, "accepted")
                spans.begin(Part.ADOPT)
            case IncomingState.REFUSED:
                spans.end(Part.ACCEPT, "rejected")
            case IncomingState.ADOPTED:
                spans.end(Part.ADOPT)
                spans.begin(Part.CLEAR)

    def _answer(self, transfer: TransferId, *, accepted: bool, reason: str = "") -> None:
        self.context.send(
            transfer.source,
            Answer(transfer=transfer, accepted=accepted, reason=reason, generation=self.context.generation),
        )

    def _accept(self, incoming: Incoming) -> None:
        context = self.context
        incoming.next_try_us = NOT_SCHEDULED
        context.request(
            Accept(
                shard=context.shard,
                epoch=context.epoch,
                transfer=incoming.id,
                cell=incoming.cell,
                switch_tick=incoming.switch_tick,
                offer_tick=incoming.offer_tick,
                count=len(incoming.rows),
                rows=incoming.rows.pack(),
            )
        )

    def _reject(self, incoming: Incoming) -> None:
        context = self.context
        incoming.next_try_us = NOT_SCHEDULED
        context.request(
            Reject(shard=context.shard, epoch=context.epoch, transfer=incoming.id, reason="its BEGIN never came")
        )

    def _send_adopted(self, incoming: Incoming) -> None:
        context = self.context
        incoming.next_try_us = NOT_SCHEDULED
        context.request(Adopted(shard=context.shard, epoch=context.epoch, transfer=incoming.id))

    def _start_rows(self, together: Sequence[Incoming], tick: int, *, all_new: bool) -> list[Columns] | None:
        """Of each as of the end of ``tick - 1``: the final state, or the offered one moved forward to the end of K - 1.

        Ticks from K on are this shard's, so an adoption that comes late simulates them now: nobody else does.
        Before the transfer changes its state, since ``step`` may raise here: it is then as accepted as before, and
        is adopted once the simulation works again. None: the lease ended meanwhile.
        """
        context, parts = self.context, []
        for incoming in together:
            if incoming.final is not None:
                rows = incoming.final
            elif context.simulation.exact:
                rows = context.forward(incoming.rows, incoming.offer_tick + 1, incoming.switch_tick - 1)
            else:
                rows = incoming.rows
            parts.append((rows if all_new else self.without_older_or_newer(rows), incoming.switch_tick))
        return context.catch_up_together(parts, tick - 1)

    def _adopt(self, incoming: Incoming, rows: Columns, tick: int) -> None:
        context = self.context
        final = incoming.final is not None
        if final:
            context.stats.final_state_used += len(incoming.rows)
        else:
            context.stats.fast_forwarded += len(incoming.rows)
        context.event(
            "adopt",
            tick,
            rows.id,
            rows.version,
            transfer=str(incoming.id),
            origin="final" if final else "offer",
            switch_tick=incoming.switch_tick,
            state_tick=self._state_tick(incoming),
            offer_tick=incoming.offer_tick,
            **({"upgraded": True} if incoming.upgraded else {}),
        )
        context.journal.apply((EntryKind.IN, incoming.id))
        self._adopting.append((incoming, rows))
        self._send_adopted(incoming)

    def _state_tick(self, incoming: Incoming) -> int:
        """The tick at whose end the rows are that the adoption starts from."""
        if incoming.final is not None:
            return incoming.final_tick
        return incoming.switch_tick - 1 if self.context.simulation.exact else incoming.offer_tick

    def without_older_or_newer(self, rows: Columns) -> Columns:
        """Leaves out rows that are here under the same or a higher version; makes older ones here go first."""
        tracker = self.context.tracker
        here = tracker.overlap(rows)
        if here is None:
            return rows
        stale = np.zeros(len(rows), bool)
        for position in here.tolist():
            index = tracker.index_of(int(rows.id[position]))
            if index is None:
                continue  # an earlier one of this loop released it
            if tracker.rows.version[index] >= rows.version[position]:
                stale[position] = True
                continue
            if (sequence := int(tracker.transfers[index])) != 0:
                self.outgoing.release_now(sequence)
            else:
                tracker.remove(tracker.rows.id == rows.id[position])
            # Rows have moved up: what was adopted before in this tick is not compared.
            self._began.clear()
        return rows.take(~stale)

    # --- comparing ----------------------------------------------------------------------------------------------

    def _compare(
        self, final: Columns, final_tick: int, final_unix_us: int, batch: AdoptedBatch, *, same_state: bool = True
    ) -> None:
        """The target's first rows against ``step`` of the source's last ones, and the time between the two.

        Args:
            same_state: False where the target started from an offer and moved it through a tick that the source left
                out: then the states may differ.
        """
        context = self.context
        try:
            first_tick = max(batch.switch_tick, context.earliest_to_catch_up(batch.tick - 1))
            expected = context.forward(final, first_tick, batch.tick)
        except SimulationError:
            return  # a peer's rows, and a comparison: no reason to stop; the shard's own step says so if it fails
        context.stats.overlap_ticks += max(0, final_tick + 1 - batch.switch_tick) * len(final)
        if same_state:
            for name, column in expected.arrays.items():
                if name not in ("id", "version"):
                    error = float(np.abs(column.astype(float) - batch.rows[name].astype(float)).max(initial=0.0))
                    context.stats.continuity_error_max = max(context.stats.continuity_error_max, error)
            context.stats.continuity_checked += len(expected)
        gap_us = batch.unix_us - final_unix_us - round(context.grid.duration_us)
        context.stats.gap_us.add(gap_us, len(expected))

    def _forget(self, now_us: int) -> None:
        """Drops what only guarded against repeats, and batches whose final state never came."""
        for transfer in [t for t, until_us in self._handled.items() if until_us <= now_us]:
            del self._handled[transfer]
        for transfer in [t for t, b in self._unmatched.items() if b.unix_us + 2_000_000 <= now_us]:
            del self._unmatched[transfer]
