"""MemoryStore: transfers that outlived their switch."""

from __future__ import annotations

from ..core.repair_requests import Overdue, OverdueTransfer, ReadOverdue, Repair
from ..core.requests import Done, Outcome, Reply
from .memory_state import State

READ_LIMIT = 256
"""Transfers in one answer; of more the oldest come first, the others once these have ended."""


def repair(state: State, r: Repair) -> Reply:
    record = state.records.get(r.transfer)
    if record is None:
        return Done(outcome=Outcome.DECIDED)
    if record.state == "started":
        state.forget(r.transfer, "canceled")
    elif not state.clear_if_target_alone(r.transfer):
        return Done(outcome=Outcome.ACCEPTED)
    state.count_transfer("repaired", record.begun.count)
    return Done(outcome=Outcome.CANCELED if record.state == "started" else Outcome.CLEARED)


def read_overdue(state: State, r: ReadOverdue) -> Reply:
    found = []
    for transfer in state.active():
        record = state.records[transfer]
        if record.begun.transfer_time_us <= r.through_us and r.shard in (transfer.source, record.target):
            accepted, held = record.state == "accepted", r.shard in record.holders
            found.append(OverdueTransfer(transfer=transfer, target=record.target, accepted=accepted, held=held))
    return Overdue(transfers=tuple(found[:READ_LIMIT]))
