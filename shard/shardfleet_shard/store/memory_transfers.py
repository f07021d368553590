"""MemoryStore: the life of a transfer."""

from __future__ import annotations

from typing import Any

from ..core.journal_requests import EntryKind, JournalEntry
from ..core.requests import Accept, Adopted, Begin, Cancel, Done, Outcome, RefusedReason, Reject, Released, Reply
from ..core.transfer import TransferId
from .memory_state import Record, State, refused


def begin(state: State, r: Begin) -> Reply:
    if r.transfer.epoch != r.epoch:
        return refused(RefusedReason.EPOCH, r.epoch)
    record = state.records.get(r.transfer)
    if record is not None:
        return Done(outcome=Outcome(record.state))
    if state.is_decided(r.transfer):
        return Done(outcome=Outcome.DECIDED)
    state.records[r.transfer] = Record(begun=r, target_epoch=r.target_epoch, holders={r.shard})
    state.count_transfer("started", r.count)
    return Done(outcome=Outcome.STARTED)


def accept(state: State, r: Accept) -> Reply:
    transfer, me = r.transfer, (r.shard, r.epoch)
    record = state.records.get(transfer)
    if record is not None and record.state == "accepted":
        mine = (record.target, record.target_epoch) == me
        return Done(outcome=Outcome.ACCEPTED if mine else Outcome.DECIDED)
    if not state.is_current((transfer.source, transfer.epoch)):
        return Done(outcome=Outcome.DECIDED)
    if record is None:
        return Done(outcome=Outcome.DECIDED if state.is_decided(transfer) else Outcome.NOT_YET)
    why = ""
    if (record.target, record.target_epoch) != me:
        why = f"offered to {record.target} {record.target_epoch}"
    elif state.claims.get(r.cell) != me:
        why = f"cell {r.cell} is not claimed"
    if why:
        state.forget(transfer, "rejected")
        return Done(outcome=Outcome.REJECTED, reason=why)
    record.state = "accepted"
    _journal_accepted(state, r, record.begun)
    return Done(outcome=Outcome.ACCEPTED)


def _journal_accepted(state: State, r: Accept, begun: Begin) -> None:
    both = {"id": "", "transfer": r.transfer, "tick": r.switch_tick, "offer_tick": r.offer_tick}
    came: dict[str, Any] = both | {"peer": r.transfer.source, "count": r.count, "rows": r.rows}
    went: dict[str, Any] = both | {"peer": r.shard, "count": begun.count, "ids": begun.ids, "versions": begun.versions}
    state.append(r.shard, JournalEntry(kind=EntryKind.IN, **came))
    state.append(r.transfer.source, JournalEntry(kind=EntryKind.OUT, **went))


def _end_before_acceptance(state: State, transfer: TransferId, what: str) -> bool:
    """Cancels or rejects, or decides an unknown sequence; False where it was accepted before."""
    record = state.records.get(transfer)
    if record is None:
        state.decide(transfer)
    elif record.state == "accepted":
        return False
    else:
        state.forget(transfer, what)
    return True


def reject(state: State, r: Reject) -> Reply:
    if _end_before_acceptance(state, r.transfer, "rejected"):
        return Done(outcome=Outcome.REJECTED, reason=r.reason)
    return Done(outcome=Outcome.ACCEPTED)


def cancel(state: State, r: Cancel) -> Reply:
    ended = _end_before_acceptance(state, r.transfer, "canceled")
    return Done(outcome=Outcome.CANCELED if ended else Outcome.ACCEPTED)


def adopted(state: State, r: Adopted) -> Reply:
    record = state.records.get(r.transfer)
    if record is None:
        return Done(outcome=Outcome.CLEARED)
    if record.target != r.shard:
        return refused(RefusedReason.HELD, record.target)
    if record.state != "accepted":
        return Done(outcome=Outcome(record.state))
    if r.transfer.source == r.shard:
        state.forget(r.transfer, "completed")
        return Done(outcome=Outcome.CLEARED)
    record.holders.add(r.shard)
    return Done(outcome=Outcome.CLEARED if state.clear_if_target_alone(r.transfer) else Outcome.ADOPTED)


def released(state: State, r: Released) -> Reply:
    record = state.records.get(r.transfer)
    if record is None:
        return Done(outcome=Outcome.CLEARED)
    if r.transfer.source != r.shard:
        return refused(RefusedReason.HELD, r.transfer.source)
    if record.state != "accepted":
        return Done(outcome=Outcome(record.state))
    record.holders.discard(r.shard)
    return Done(outcome=Outcome.CLEARED if state.clear_if_target_alone(r.transfer) else Outcome.RELEASED)
