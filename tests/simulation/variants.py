"""Known-wrong protocols: each breaks one rule, on purpose, and the simulation must find it.

They are switched on from here alone: the product has no switch for them. Most were found by an exhaustive search over a
small model of the protocol before there was any code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from shardfleet_shard.core import comeback, recovery, roll_statements, transfer
from shardfleet_shard.core.columns import Columns
from shardfleet_shard.core.context import Context
from shardfleet_shard.core.incoming import IncomingTransfers
from shardfleet_shard.core.journal import JournalFollower, key_of
from shardfleet_shard.core.journal_requests import EntryKind, FleetRecords, Publish
from shardfleet_shard.core.lease import Lease
from shardfleet_shard.core.membership import Membership
from shardfleet_shard.core.outgoing import OutgoingTransfers
from shardfleet_shard.core.requests import (
    Accept,
    Adopted,
    Begin,
    Cancel,
    Done,
    Outcome,
    Recover,
    Refused,
    RefusedReason,
    Released,
    Renew,
    Reply,
    Request,
)
from shardfleet_shard.core.roll_call import RollCall
from shardfleet_shard.core.shadows import Shadows
from shardfleet_shard.core.takeover import Takeovers
from shardfleet_shard.core.takeover_requests import TakeOver
from shardfleet_shard.core.transfer import (
    IncomingState,
    OutgoingAction,
    OutgoingInput,
    OutgoingState,
    TransferId,
)
from shardfleet_shard.store import memory, memory_roll
from shardfleet_shard.store.memory_state import State

from .process import Process
from .watch import Watch

Patch = pytest.MonkeyPatch
DOUBTFUL = (OutgoingState.OFFERED, OutgoingState.CANCELING)


def handler(patch: Patch, kind: type, change: Callable[[Callable[[State, Any], Reply], State, Any], Reply]) -> None:
    """``change(script, state, request)`` runs in place of the script of ``kind``."""
    script = memory._HANDLERS[kind]
    patch.setitem(memory._HANDLERS, kind, lambda state, request: change(script, state, request))


# --- the source ------------------------------------------------------------------------------------------------


def unacknowledged_drop(patch: Patch) -> None:
    for state in DOUBTFUL:
        patch.setitem(
            transfer.OUTGOING, (state, OutgoingInput.SWITCH), (OutgoingAction.RELEASE, OutgoingState.RELEASED)
        )


def deadline_taken_as_canceled(patch: Patch) -> None:
    for state in DOUBTFUL:
        patch.setitem(transfer.OUTGOING, (state, OutgoingInput.DEADLINE), (OutgoingAction.RESUME, OutgoingState.KEPT))


def frozen_thaw_unasked(patch: Patch) -> None:
    frozen = (OutgoingState.FROZEN, OutgoingInput.DEADLINE)
    patch.setitem(transfer.OUTGOING, frozen, (OutgoingAction.RESUME, OutgoingState.KEPT))


def cancel_outranks_acceptance(patch: Patch) -> None:
    """What was learned while CANCEL was under way is not waited for, nor believed."""
    learned = (OutgoingState.CANCELING, OutgoingInput.LEARN_ACCEPTED)
    patch.setitem(transfer.OUTGOING, learned, (OutgoingAction.RESUME, OutgoingState.KEPT))


def ticks_compared_by_equality(patch: Patch) -> None:
    adopt_due = IncomingTransfers.adopt_due

    def switch_due(self: OutgoingTransfers, tick: int) -> None:
        self._switch([o for o in self.open.values() if o.switch_tick == tick])

    def commit_due(self: OutgoingTransfers, next_tick: int) -> None:
        due = (o for o in self.open.values() if o.switch_tick == next_tick)
        self._switch([o for o in due if o.state is OutgoingState.ACCEPTED])

    def adopt_equal(self: IncomingTransfers, tick: int) -> None:
        everything = self.open
        self.open = {t: i for t, i in everything.items() if i.switch_tick == tick}
        due = dict(self.open)
        adopt_due(self, tick)
        gone = due.keys() - self.open.keys()
        self.open = {t: i for t, i in everything.items() if t not in gone}

    patch.setattr(OutgoingTransfers, "switch_due", switch_due)
    patch.setattr(OutgoingTransfers, "commit_due", commit_due)
    patch.setattr(IncomingTransfers, "adopt_due", adopt_equal)


# --- the target ------------------------------------------------------------------------------------------------


def adopting_before_accept(patch: Patch) -> None:
    adopt_due = IncomingTransfers.adopt_due

    def adopt(self: IncomingTransfers, tick: int) -> None:
        for incoming in self.open.values():
            if incoming.state is IncomingState.ASKED and incoming.switch_tick <= tick:
                incoming.state = IncomingState.ACCEPTED
        adopt_due(self, tick)

    patch.setattr(IncomingTransfers, "adopt_due", adopt)


def unanswered_accept(patch: Patch, then: Callable[[Process, Accept], Reply | None]) -> None:
    """``then`` says what a target makes of an ACCEPT that timed out."""
    reply = Process.reply

    def judged(self: Process, request: Request, answer: Reply | None, generation: str) -> None:
        if isinstance(request, Accept) and answer is None:
            answer = then(self, request)
        reply(self, request, answer, generation)

    patch.setattr(Process, "reply", judged)


def read_taken_as_promise(patch: Patch) -> None:
    def then(process: Process, request: Accept) -> Reply | None:
        record = process.fleet.redis.store.state.records.get(request.transfer)
        return Done(outcome=Outcome.REJECTED) if record is not None and record.state == "started" else None

    unanswered_accept(patch, then)


def timeout_taken_as_promise(patch: Patch) -> None:
    unanswered_accept(patch, lambda process, request: Done(outcome=Outcome.REJECTED, reason="timed out"))


def target_forgets_offer(patch: Patch) -> None:
    """And then takes the ``in`` in its journal for one that it has dealt with."""
    handle_reply, learn = IncomingTransfers.handle_reply, IncomingTransfers.learn_accepted

    def forgetting(self: IncomingTransfers, request: Any, reply: Done | None) -> None:
        asked = self.open.get(request.transfer)
        if isinstance(request, Accept) and reply is None and asked and asked.state is IncomingState.ASKED:
            del self.open[request.transfer]
        handle_reply(self, request, reply)

    def learning(self: IncomingTransfers, transfer: TransferId) -> bool:
        if not learn(self, transfer):
            self.context.journal.apply((EntryKind.IN, transfer))
        return True

    patch.setattr(IncomingTransfers, "handle_reply", forgetting)
    patch.setattr(IncomingTransfers, "learn_accepted", learning)


def offer_taken_as_final(patch: Patch) -> None:
    patch.setattr(Context, "forward", lambda self, rows, first_tick, last_tick: rows.copy())


def version_not_raised(patch: Patch) -> None:
    patch.setattr(Columns, "with_version_raised", lambda self: self)


# --- the scripts -----------------------------------------------------------------------------------------------


def cancel_without_compare_and_set(patch: Patch) -> None:
    def cancel(script: Any, state: State, r: Cancel) -> Reply:
        if r.transfer in state.records:
            state.forget(r.transfer, "canceled")
            return Done(outcome=Outcome.CANCELED)
        return script(state, r)

    handler(patch, Cancel, cancel)


def cancel_of_missing_decides_nothing(patch: Patch) -> None:
    """A missing record is taken as 'canceled', though its BEGIN may still come."""

    def cancel(script: Any, state: State, r: Cancel) -> Reply:
        return script(state, r) if r.transfer in state.records else Done(outcome=Outcome.CANCELED)

    handler(patch, Cancel, cancel)


def late_begin_revives(patch: Patch) -> None:
    patch.setattr(State, "is_decided", lambda self, transfer: False)


def no_epoch_check(patch: Patch) -> None:
    execute = memory.MemoryStore.execute

    def unchecked(self: memory.MemoryStore, request: Request, *, generation: str) -> Reply:
        if isinstance(request, Begin | Accept) and self.state.generation == self.run_id == generation:
            with pytest.MonkeyPatch.context() as inside:
                inside.setattr(State, "is_current", lambda self, owner: True)
                return execute(self, request, generation=generation)
        return execute(self, request, generation=generation)

    patch.setattr(memory.MemoryStore, "execute", unchecked)


def both_epochs_in_every_script(patch: Patch) -> None:
    def both(script: Any, state: State, r: Adopted | Released) -> Reply:
        record = state.records.get(r.transfer)
        if record is not None:
            source, target = (r.transfer.source, r.transfer.epoch), (record.target, record.begun.target_epoch)
            if not (state.is_current(source) and state.is_current(target)):
                return Done(outcome=Outcome.ADOPTED if isinstance(r, Adopted) else Outcome.RELEASED)
        return script(state, r)

    handler(patch, Adopted, both)
    handler(patch, Released, both)


def recover_without_released(patch: Patch) -> None:
    def recover(script: Any, state: State, r: Recover) -> Reply:
        kept = {t: set(record.holders) for t, record in state.records.items() if record.state == "accepted"}
        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(State, "clear_if_target_alone", lambda self, transfer: False)
            reply = script(state, r)
        for transfer_id, holders in kept.items():
            state.records[transfer_id].holders = holders
        return reply

    handler(patch, Recover, recover)


def recover_leaves_started(patch: Patch) -> None:
    def recover(script: Any, state: State, r: Recover) -> Reply:
        started = {t: record for t, record in state.records.items() if record.state == "started"}
        for transfer_id in started:
            del state.records[transfer_id]
        reply = script(state, r)
        state.records.update(started)
        return reply

    handler(patch, Recover, recover)


def older_manifest_over_newer(patch: Patch) -> None:
    def publish(script: Any, state: State, r: Publish) -> Reply:
        stored = state.manifests.pop(r.shard, None)
        reply = script(state, r)
        if isinstance(reply, Refused) and reply.reason is not RefusedReason.OLDER and stored is not None:
            state.manifests[r.shard] = stored
        return reply

    handler(patch, Publish, publish)


# --- lease and recovery ----------------------------------------------------------------------------------------


def lease_not_waited_for(patch: Patch) -> None:
    def renew(script: Any, state: State, r: Renew) -> Reply:
        state.leases.pop(r.shard, None)
        return script(state, r)

    handler(patch, Renew, renew)


def lease_ignored(patch: Patch) -> None:
    patch.setattr(Lease, "held", lambda self, boottime_us: self.valid_until_us > 0)


def lease_counted_from_the_answer(patch: Patch) -> None:
    handle_renewed = Membership.handle_renewed

    def handle(self: Membership, reply: Done | Refused | None, boottime_us: int) -> None:
        self._renewal_sent_us = boottime_us
        handle_renewed(self, reply, boottime_us)

    patch.setattr(Membership, "handle_renewed", handle)


def position_counts(patch: Patch, kind: EntryKind) -> None:
    def advance(self: JournalFollower) -> None:
        while self.pending and ((key := key_of(self.pending[0])) in self.applied or self.pending[0].kind is kind):
            self.applied.discard(key)
            self.position = self.pending.popleft().id

    patch.setattr(JournalFollower, "_advance", advance)


def position_counts_unapplied_in(patch: Patch) -> None:
    position_counts(patch, EntryKind.IN)


def position_counts_unapplied_out(patch: Patch) -> None:
    """With a recovery that believes its own records alone, for comparing with the others' heals it."""
    position_counts(patch, EntryKind.OUT)
    recovery_without_comparing(patch)


def recovery_without_comparing(patch: Patch) -> None:
    rebuild = recovery.rebuild

    def alone(shard: str, fleet: FleetRecords, schema: Any) -> Any:
        own = tuple(record for record in fleet.records if record.shard == shard)
        return rebuild(shard, FleetRecords(records=own), schema)

    patch.setattr(comeback, "rebuild", alone)


def recovered_tick_below_switch(patch: Patch) -> None:
    take = IncomingTransfers.take_from_journal

    def early(self: IncomingTransfers, entry: Any, rows: Columns) -> None:
        take(self, entry, rows)
        self.open[entry.transfer].switch_tick = entry.offer_tick + 1

    patch.setattr(IncomingTransfers, "take_from_journal", early)


# --- the roll-call ---------------------------------------------------------------------------------------------


def no_roll_call(patch: Patch) -> None:
    """Redis is open at once, and everybody goes on with what it has."""
    execute = memory.MemoryStore.execute

    def notice(self: RollCall, generation: str, now_us: int, boottime_us: int) -> None:
        self.context.generation = generation

    def open_at_once(self: memory.MemoryStore, request: Request, *, generation: str) -> Reply:
        self.state.generation, self.state.roll = self.run_id, None
        return execute(self, request, generation=generation)

    patch.setattr(RollCall, "notice", notice)
    patch.setattr(memory.MemoryStore, "execute", open_at_once)


def roll_call_shorter_than_a_lease(patch: Patch) -> None:
    """Who has not said anything within 50 ms is not heard."""
    begin = memory_roll._begin
    patch.setattr(memory_roll, "_begin", lambda state, running, call_ms: begin(state, running, 50))


def nothing_said_of_transfers(patch: Patch) -> None:
    """Neither side asserts what was accepted."""
    patch.setattr(roll_statements, "_given_away", lambda context, mailbox: ())
    patch.setattr(roll_statements, "_taken_over", lambda context, mailbox: ())


def nothing_said_of_rows(patch: Patch) -> None:
    patch.setattr(roll_statements, "_held", lambda context: ())


def no_shadows(patch: Patch) -> None:
    patch.setattr(Shadows, "release", lambda self, outgoing, rows, *, tick, now_us: None)


# --- the watchdog ----------------------------------------------------------------------------------------------


def watchdog_cancels_accepted(patch: Patch) -> None:
    """It undoes what has stood too long, record and journals, as if nobody had seen it."""
    audit = Watch._audit

    def canceling(self: Watch) -> None:
        audit(self)
        fleet = self._fleet
        state = fleet.redis.store.state
        if fleet.redis.gone:
            return
        due_us = fleet.now_us - fleet.config.discrepancy_threshold_us
        for transfer_id in [t for t, r in state.records.items() if r.begun.transfer_time_us < due_us]:
            record = state.records[transfer_id]
            if record.state == "accepted" and record.holders == {transfer_id.source}:
                state.forget(transfer_id, "canceled")
                for journal in state.journals.values():
                    journal.entries[:] = [e for e in journal.entries if e.transfer != transfer_id]

    patch.setattr(Watch, "_audit", canceling)


# --- takeover --------------------------------------------------------------------------------------------------


def takeover_keeps_the_dead_as_holder(patch: Patch) -> None:
    def take(script: Any, state: State, r: TakeOver) -> Reply:
        held = [t for t, record in state.records.items() if record.target == r.gone and r.gone in record.holders]
        reply = script(state, r)
        for transfer_id in held:
            if transfer_id in state.records:
                state.records[transfer_id].holders.add(r.gone)
        return reply

    handler(patch, TakeOver, take)


def takeover_leaves_the_journal(patch: Patch) -> None:
    """Only the manifest goes to the taker."""

    def take(script: Any, state: State, r: TakeOver) -> Reply:
        if state.epochs.get(r.gone) == r.gone_epoch and r.gone not in state.leases:
            state.journal(r.gone).entries.clear()
        return script(state, r)

    handler(patch, TakeOver, take)


def taken_rows_below_switch(patch: Patch) -> None:
    patch.setattr(Takeovers, "_ticks", lambda self, piece: (piece.state_tick, piece.state_tick + 1))


def takeover_trimmed_before_it_is_taken_up(patch: Patch) -> None:
    position_counts(patch, EntryKind.TAKEOVER)


class Variant(NamedTuple):
    apply: Callable[[Patch], None]
    what: str
    seed: int | None
    """Of the generator: a run that finds it. None: none is recorded yet, and ``make variants`` searches."""


VARIANTS: dict[str, Variant] = {
    "unacknowledged-drop": Variant(unacknowledged_drop, "the source drops at the switch without an answer", 7),
    "adopting-before-accept": Variant(adopting_before_accept, "the target adopts an offer that it only asked for", 7),
    "cancel-without-cas": Variant(cancel_without_compare_and_set, "CANCEL takes back what was accepted", 0),
    "deadline-as-canceled": Variant(deadline_taken_as_canceled, "no answer in time is taken for 'canceled'", 0),
    "frozen-thaw": Variant(frozen_thaw_unasked, "frozen entities go on after a while, in doubt or not", None),
    "cancel-outranks": Variant(cancel_outranks_acceptance, "an acceptance that comes during CANCEL is ignored", 5),
    "offer-as-final": Variant(offer_taken_as_final, "the target starts from the offered state as it is", 4),
    "recover-leaves-started": Variant(recover_leaves_started, "RECOVER cancels nothing", None),
    "missing-as-canceled": Variant(cancel_of_missing_decides_nothing, "CANCEL of a missing record decides nothing", 52),
    "late-begin-revives": Variant(late_begin_revives, "a BEGIN that comes late brings a decided transfer back", 34),
    "no-epoch-check": Variant(no_epoch_check, "BEGIN and ACCEPT run whatever the epochs are", 149),
    "both-epochs-everywhere": Variant(both_epochs_in_every_script, "ADOPTED and RELEASED need both epochs current", 0),
    "read-as-promise": Variant(read_taken_as_promise, "a target that reads 'started' promises never", None),
    "timeout-as-promise": Variant(timeout_taken_as_promise, "a target whose ACCEPT timed out promises never", None),
    "target-forgets": Variant(target_forgets_offer, "a target whose ACCEPT timed out forgets the offer", None),
    "version-not-raised": Variant(version_not_raised, "a handoff leaves the version as it is", 0),
    "ticks-by-equality": Variant(ticks_compared_by_equality, "switch ticks are compared by ==", 1),
    "position-counts-in": Variant(position_counts_unapplied_in, "the manifest trims an 'in' that is not applied", None),
    "position-counts-out": Variant(
        position_counts_unapplied_out, "the manifest trims an 'out' that is not applied", None
    ),
    "older-manifest": Variant(older_manifest_over_newer, "an older manifest replaces a newer one", None),
    "lease-not-waited-for": Variant(lease_not_waited_for, "a successor does not wait for the old lease", 0),
    "lease-ignored": Variant(lease_ignored, "a shard whose lease has run out goes on", 5),
    "lease-from-answer": Variant(lease_counted_from_the_answer, "a lease counts from the answer to its renewal", None),
    "recover-without-released": Variant(recover_without_released, "RECOVER leaves the shard among the holders", None),
    "recovered-below-switch": Variant(recovered_tick_below_switch, "a recovered shard simulates ticks below K", 618),
    "takeover-dead-holder": Variant(takeover_keeps_the_dead_as_holder, "who was taken over stays a holder", 1186),
    "takeover-leaves-journal": Variant(takeover_leaves_the_journal, "only the manifest is taken over", 16),
    "takeover-trimmed": Variant(
        takeover_trimmed_before_it_is_taken_up, "the manifest trims a takeover that is not taken up", 139
    ),
    "taken-below-switch": Variant(taken_rows_below_switch, "a taker simulates ticks below K", 16),
    "no-roll-call": Variant(no_roll_call, "Redis forgets, and everybody goes on", 3),
    "short-roll-call": Variant(roll_call_shorter_than_a_lease, "a roll-call shorter than a lease", 202),
    "said-no-transfers": Variant(nothing_said_of_transfers, "REJOIN says nothing of accepted transfers", 24),
    "said-no-rows": Variant(nothing_said_of_rows, "REJOIN does not name the shard's rows", 7),
    "no-shadows": Variant(no_shadows, "a source forgets released rows at once", None),
    "watchdog-cancels-accepted": Variant(watchdog_cancels_accepted, "the watchdog cancels accepted transfers", None),
}
