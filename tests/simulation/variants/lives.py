"""Leases, recovery and takeovers, each with a rule broken."""

from __future__ import annotations

from typing import Any

from shardfleet_shard.core import comeback, recovery
from shardfleet_shard.core.columns import Columns
from shardfleet_shard.core.incoming import IncomingTransfers
from shardfleet_shard.core.journal import JournalFollower, key_of
from shardfleet_shard.core.journal_requests import EntryKind, FleetRecords
from shardfleet_shard.core.lease import Lease
from shardfleet_shard.core.membership import Membership
from shardfleet_shard.core.requests import (
    Done,
    Refused,
    Renew,
    Reply,
)
from shardfleet_shard.core.takeover import Takeovers
from shardfleet_shard.core.takeover_requests import TakeOver
from shardfleet_shard.store.memory_state import State

from .patches import Patch, handler

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
