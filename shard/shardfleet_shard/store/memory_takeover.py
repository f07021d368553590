"""MemoryStore: what a living shard takes over of a dead one."""

from __future__ import annotations

from dataclasses import replace

from ..core.journal_requests import EntryKind, JournalEntry
from ..core.requests import RefusedReason, Reply
from ..core.takeover_requests import TakeOver, alias_of
from .memory_state import OK, Journal, State, refused


def take_over(state: State, r: TakeOver) -> Reply:
    gone, former = r.gone, state.epochs.get(r.gone, 0)
    if not state.is_living((r.shard, r.epoch)):
        return refused(RefusedReason.HELD, r.shard)
    if former != r.gone_epoch:
        return refused(RefusedReason.OLDER, former)
    if (left := state.lease_left_ms(gone)) > 0:
        return refused(RefusedReason.HELD, gone, left)
    own = state.schema_of.get(r.shard)
    if gone in state.schema_of and state.schema_of[gone] != own and own != state.schema:
        return refused(RefusedReason.UNCLAIMED, gone)
    state.epochs[gone] = epoch = max(former + 1, r.unix_us)
    state.decided.pop((gone, former), None)
    state.drop_claims(gone)
    state.members.pop(gone, None)
    state.schema_of.pop(gone, None)
    for transfer in state.active():
        record = state.records[transfer]
        if record.state == "started" and gone in (transfer.source, record.target):
            state.forget(transfer, "canceled")
        elif record.state == "accepted" and record.target == gone:
            record.holders.discard(gone)
            record.begun, record.target_epoch = replace(record.begun, target=r.shard), r.epoch
        elif record.state == "accepted" and transfer.source == gone:
            record.holders.discard(gone)
            state.clear_if_target_alone(transfer)
    _move(state, gone, alias_of(gone, epoch), r.shard)
    return OK


def _move(state: State, gone: str, alias: str, taker: str) -> None:
    """Manifest and journal, where there are any, to the alias."""
    journal = state.journal(gone)
    if gone not in state.manifests and not journal.entries:
        return
    state.epochs[alias] = state.epochs[gone]
    if gone in state.manifests:
        state.manifests[alias] = state.manifests.pop(gone)
    state.journals[alias], state.journals[gone] = journal, Journal(last=journal.last)
    state.append(taker, JournalEntry(id="", kind=EntryKind.TAKEOVER, peer=alias))
