"""Redis' scripts, each with a rule broken; and the watchdog."""

from __future__ import annotations

from typing import Any

import pytest
from shardfleet_operator.watchdog.repairs import AnyRepair
from shardfleet_shard.core.journal_requests import Publish
from shardfleet_shard.core.overdue import OverdueTransfers
from shardfleet_shard.core.repair_requests import OverdueTransfer
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
    Reply,
    Request,
)
from shardfleet_shard.store import memory
from shardfleet_shard.store.memory_state import State

from ..watch import Reader, Watch
from .patches import Patch, handler

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
    """Nor does the recovered shard look again at what its former processes left open, for that heals it soon."""
    as_source = OverdueTransfers._as_source

    def as_source_of_its_own(self: OverdueTransfers, overdue: OverdueTransfer) -> None:
        if overdue.transfer.epoch == self.context.epoch:
            as_source(self, overdue)

    patch.setattr(OverdueTransfers, "_as_source", as_source_of_its_own)

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
    """With a watchdog that repairs nothing, for it cancels what has merely started; nothing may depend on that."""

    async def repair(self: Reader, request: AnyRepair) -> Outcome | None:
        return None

    patch.setattr(Reader, "repair", repair)

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
