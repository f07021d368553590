"""``MemoryStore``: every request of core/requests.py on plain dictionaries.

The simulation runs on it, and the tests hold it against the Lua scripts on real servers, reply by reply and key by
key. What a request means stands in core/requests.py; the order of checks here is that of the scripts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.census_requests import RemoveCopy, RestoreEntity
from ..core.journal_requests import (
    BRINGS,
    Entries,
    EntryKind,
    FleetRecords,
    Publish,
    ReadEntries,
    ReadFleet,
    Registry,
    Tail,
)
from ..core.repair_requests import ReadOverdue, Repair
from ..core.requests import (
    Accept,
    Adopted,
    Begin,
    Cancel,
    Claim,
    Elect,
    Elected,
    Ended,
    Join,
    Joined,
    LinkLease,
    Member,
    Observe,
    Observed,
    Recover,
    Recovered,
    RefusedReason,
    Reject,
    Released,
    Renew,
    Reopen,
    Reply,
    Request,
    Resign,
)
from ..core.roll_requests import CallRoll, Ready, Rejoin
from ..core.spawn_requests import Arrive, Despawn, Seed, Spawn
from ..core.takeover_requests import TakeOver
from . import memory_census, memory_repair, memory_roll, memory_spawn, memory_takeover, memory_transfers
from .keys import link_pair
from .memory_state import OK, State, refused

_UNGUARDED = (Ended, ReadFleet)
_OF_NO_EPOCH = (Recover, Repair, RestoreEntity, RemoveCopy)
_IN_A_ROLL_CALL = (Renew, LinkLease, Ready)


class MemoryStore:
    """A Redis with one fleet in it, for one thread.

    Args:
        run_id: of the first process; ``restart`` makes up the next ones.
        now_ms: Redis' clock, for what has a time to live.

    Attributes:
        state: everything stored; tests look at it.
    """

    def __init__(self, *, run_id: str, now_ms: Callable[[], int]) -> None:
        self.run_id = run_id
        self.state = State()
        self._now_ms = now_ms
        self._restarts = 0

    def execute(self, request: Request, *, generation: str) -> Reply:
        """One request, atomically, by a caller that joined ``generation``."""
        state = self.state
        state.expire(self._now_ms())
        if isinstance(request, Join):
            return self._join(request)
        if isinstance(request, Reopen):
            return self._reopen()
        if isinstance(request, Observe):
            return _observe(state, self.run_id)
        if isinstance(request, CallRoll):
            return memory_roll.call_roll(state, request, running=self.run_id, joined=generation)
        if isinstance(request, Rejoin):
            return memory_roll.rejoin(state, request, running=self.run_id, joined=generation)
        if not isinstance(request, _UNGUARDED):
            if not state.generation == self.run_id == generation:
                return refused(RefusedReason.GENERATION, self.run_id)
            if state.roll is not None and not isinstance(request, _IN_A_ROLL_CALL):
                return refused(RefusedReason.CLOSED, state.roll.phase)
            if not isinstance(request, _OF_NO_EPOCH) and not state.is_current((request.shard, request.epoch)):
                return refused(RefusedReason.EPOCH, state.epochs.get(request.shard, 0))
        return _HANDLERS[type(request)](state, request)

    def _join(self, r: Join) -> Joined:
        state = self.state
        if r.founds:
            state.generation = state.generation or self.run_id
        joined = Joined(generation=self.run_id, stored=state.generation)
        closed = joined.stored != joined.generation or state.roll is not None
        if not r.schema_hash or closed or list(state.schemas) == [r.schema_hash]:
            return joined
        misfits = [known for known in state.schemas_in_use() if known not in (r.schema_hash, *r.takes)]
        if misfits:
            return replace(joined, misfit=state.schemas[misfits[0]])
        state.schemas[r.schema_hash] = r.schema
        state.schema = r.schema_hash
        return joined

    def _reopen(self) -> Reply:
        state = self.state
        if state.generation != self.run_id:
            left, shard = max(((state.lease_left_ms(name), name) for name in state.epochs), default=(0, ""))
            if left > 0:
                return refused(RefusedReason.HELD, shard, left)
            state.generation, state.roll = self.run_id, None
        return OK

    # --- faults ------------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """Another process with the same data: a new run_id."""
        self._restarts += 1
        self.run_id = f"{self.run_id.split('+')[0]}+{self._restarts}"

    def snapshot(self) -> State:
        """A copy of all data, as a lagging replica or a backup would have it."""
        return copy.deepcopy(self.state)

    def restore(self, snapshot: State) -> None:
        """A process that starts from ``snapshot``: later changes are forgotten, and the run_id is new."""
        self.state = copy.deepcopy(snapshot)
        self.restart()

    def wipe(self) -> None:
        """A process without data."""
        self.restore(State())


# --- identity, lease, claims -----------------------------------------------------------------------------------


def _recover(state: State, r: Recover) -> Reply:
    former = state.epochs.get(r.shard, 0)
    epoch = max(former + 1, r.unix_us)
    left = state.lease_left_ms(r.shard)
    state.epochs[r.shard] = epoch
    state.decided.pop((r.shard, former), None)
    state.drop_claims(r.shard)
    incoming = []
    for transfer in state.active():
        record = state.records[transfer]
        if record.state == "started" and r.shard in (transfer.source, record.target):
            state.forget(transfer, "canceled")
        elif record.state == "accepted" and record.target == r.shard:
            record.target_epoch = epoch
            incoming.append(transfer)
        elif record.state == "accepted" and transfer.source == r.shard:
            record.holders.discard(r.shard)
            state.clear_if_target_alone(transfer)
    state.members[r.shard] = (r.ordinal, epoch, r.address)
    state.schema_of[r.shard] = r.schema_hash
    state.resigned.pop(r.shard, None)
    return Recovered(epoch=epoch, lease_left_ms=left, accepted_incoming=tuple(sorted(incoming)))


def _renew(state: State, r: Renew) -> Reply:
    if state.roll is not None and not state.is_living((r.shard, r.epoch)):
        return refused(RefusedReason.CLOSED, state.roll.phase)
    if state.resigned.get(r.shard) == r.epoch:
        return refused(RefusedReason.HELD, f"{r.shard} resigned", r.ttl_ms)
    if r.shard in state.leases and state.leases[r.shard][0] != r.epoch:
        return refused(RefusedReason.HELD, f"{r.shard} {state.leases[r.shard][0]}", state.lease_left_ms(r.shard))
    state.leases[r.shard] = (r.epoch, state.now_ms + r.ttl_ms)
    return OK


def _ended(state: State, r: Ended) -> Reply:
    if r.shard in state.leases and r.epoch in (0, state.leases[r.shard][0]):
        del state.leases[r.shard]
    return OK


def _claim(state: State, r: Claim) -> Reply:
    if r.cells and state.layout_version != r.layout_version:
        stored = "" if state.layout_version is None else state.layout_version
        return refused(RefusedReason.LAYOUT, stored)
    for path in r.cells:
        owner = state.claims.get(path)
        if owner is not None and owner[0] != r.shard and state.is_current(owner):
            return refused(RefusedReason.HELD, owner[0], state.lease_left_ms(owner[0]))
    state.drop_claims(r.shard, but=r.cells)
    for path in r.cells:
        state.claims[path] = (r.shard, r.epoch)
    return OK


def _resign(state: State, r: Resign) -> Reply:
    if state.resigned.get(r.shard) == r.epoch:
        return OK
    for transfer in state.active():
        if r.shard in (transfer.source, state.records[transfer].target):
            return refused(RefusedReason.BUSY, transfer)
    # What the manifest contains was trimmed with it, so the whole journal lies after its position.
    for entry in state.journal(r.shard).entries:
        if entry.kind in BRINGS:
            return refused(RefusedReason.BUSY, f"{entry.kind} {entry.id}")
    state.drop_claims(r.shard)
    state.leases.pop(r.shard, None)
    state.members.pop(r.shard, None)
    state.schema_of.pop(r.shard, None)
    if len(state.schemas) > 1 and len(left := state.schemas_in_use()) == 1:
        state.schema = left[0]
    state.resigned[r.shard] = r.epoch
    return OK


def _observe(state: State, run_id: str) -> Observed:
    members = [
        Member(shard=shard, ordinal=ordinal, epoch=epoch, address=address, living=state.is_living((shard, epoch)))
        for shard, (ordinal, epoch, address) in state.members.items()
    ]
    return Observed(
        generation=run_id,
        layout=state.layout,
        members=tuple(sorted(members, key=lambda member: (member.ordinal, member.shard))),
        claims=dict(sorted(state.claims.items())),
        owner=state.election[0] if state.election else ("", 0),
        phase=state.phase,
        origin_tick=state.origin_tick,
        arrivals_through=state.arrivals_through,
        seeded=state.seeded,
        rests=state.rests,
    )


# --- manifest and journal --------------------------------------------------------------------------------------


def _publish(state: State, r: Publish) -> Reply:
    stored = state.manifests.get(r.shard)
    if stored is not None and (r.epoch, r.tick) <= (stored.epoch, stored.tick):
        return refused(RefusedReason.OLDER, f"{stored.epoch} {stored.tick}")
    state.manifests[r.shard] = r
    journal = state.journal(r.shard)
    for entry in journal.trim_through(r.position):
        if entry.kind is EntryKind.TAKEOVER:
            state.forget_taken(entry.peer)
    return journal.after(r.read_after)


def _tail(state: State, r: Tail) -> Reply:
    return state.journal(r.shard).after(r.read_after)


def _read_entries(state: State, r: ReadEntries) -> Reply:
    found = {entry.id: entry for entry in state.journal(r.shard).entries}
    return Entries(entries=tuple(found[entry_id] for entry_id in r.ids if entry_id in found))


def _read_fleet(state: State, r: ReadFleet) -> Reply:
    records = tuple(state.record(shard) for shard in sorted(state.epochs))
    if not r.registry:
        return FleetRecords(records=records)
    living = np.array(sorted(state.living), "<u8").tobytes()
    return FleetRecords(records=records, registry=Registry(before=living, after=living))


# --- leased keys -------------------------------------------------------------------------------------------------


def _elect(state: State, r: Elect) -> Reply:
    holder = state.election[0] if state.election else None
    me = (r.shard, r.epoch)
    if holder is not None and state.is_living(holder) and state.is_current(holder):
        if holder[0] == r.shard:
            state.election = (holder, state.now_ms + r.ttl_ms)
        return Elected(shard=holder[0], epoch=holder[1])
    state.election = None
    living = [
        (state.schema_of.get(shard, state.schema) == state.schema, ordinal, shard)
        for shard, (ordinal, epoch, _) in state.members.items()
        if state.is_living((shard, epoch))
    ]
    if not living or min(living)[2] != r.shard:
        return Elected(shard="", epoch=0)
    state.election = (me, state.now_ms + r.ttl_ms)
    return Elected(shard=r.shard, epoch=r.epoch)


def _link_lease(state: State, r: LinkLease) -> Reply:
    pair = link_pair(r.shard, r.peer)
    holder = state.links[pair][0][0] if pair in state.links else ""
    if r.ttl_ms == 0:
        if holder == r.shard:
            del state.links[pair]
        return OK
    if holder not in ("", r.shard):
        return refused(RefusedReason.HELD, holder, state.links[pair][1] - state.now_ms)
    state.links[pair] = ((r.shard, r.epoch), state.now_ms + r.ttl_ms)
    return OK


_HANDLERS: dict[type, Callable[[State, Any], Reply]] = {
    Recover: _recover,
    Renew: _renew,
    Ended: _ended,
    Claim: _claim,
    Resign: _resign,
    Begin: memory_transfers.begin,
    Accept: memory_transfers.accept,
    Reject: memory_transfers.reject,
    Cancel: memory_transfers.cancel,
    Adopted: memory_transfers.adopted,
    Released: memory_transfers.released,
    Publish: _publish,
    Tail: _tail,
    ReadEntries: _read_entries,
    ReadFleet: _read_fleet,
    Spawn: memory_spawn.spawn,
    Seed: memory_spawn.seed,
    Arrive: memory_spawn.arrive,
    Despawn: memory_spawn.despawn,
    Elect: _elect,
    LinkLease: _link_lease,
    Ready: memory_roll.ready,
    Repair: memory_repair.repair,
    ReadOverdue: memory_repair.read_overdue,
    RestoreEntity: memory_census.restore_entity,
    RemoveCopy: memory_census.remove_copy,
    TakeOver: memory_takeover.take_over,
}
