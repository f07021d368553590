"""MemoryStore: the roll-call."""

from __future__ import annotations

import numpy as np

from ..core.journal_requests import GAINS, EntryKind
from ..core.requests import RefusedReason, Reply
from ..core.roll_requests import READY_LIMIT_MS, CallRoll, Ready, Rejoin, Rolled, RollPhase, Statement, WorldKnown
from .memory_state import OK, Decided, Roll, State, refused


def _begin(state: State, running: str, call_ms: int) -> None:
    if state.generation != running:
        state.generation, state.election = running, None
        state.roll = Roll(end_ms=state.now_ms + call_ms, call_ms=call_ms)


def _advance(state: State) -> tuple[RollPhase, int]:
    roll = state.roll
    if roll is None:
        return RollPhase.OPEN, 0
    past_ms = state.now_ms - roll.end_ms
    if past_ms < 0:
        return RollPhase.CALLING, -past_ms
    roll.phase = RollPhase.CLOSED
    for shard, (epoch, how) in roll.shards.items():
        is_coming = past_ms < READY_LIMIT_MS and state.is_living((shard, epoch))
        if (how == "lapsed" and past_ms < roll.call_ms) or (how == "said" and is_coming):
            return RollPhase.CLOSED, 0
    for shard, (epoch, how) in roll.shards.items():
        if how != "ready" and state.is_current((shard, epoch)):
            state.epochs[shard] = epoch + 1
    state.roll = None
    return RollPhase.OPEN, 0


def call_roll(state: State, r: CallRoll, *, running: str, joined: str) -> Reply:
    if joined != running:
        return refused(RefusedReason.GENERATION, running)
    _begin(state, running, r.call_ms)
    phase, wait_ms = _advance(state)
    return Rolled(phase=phase, wait_ms=wait_ms)


def rejoin(state: State, r: Rejoin, *, running: str, joined: str) -> Reply:
    if joined != running:
        return refused(RefusedReason.GENERATION, running)
    _begin(state, running, r.call_ms)
    phase, _ = _advance(state)
    stored = state.epochs.get(r.shard, 0)
    if stored > r.epoch:
        return refused(RefusedReason.EPOCH, stored)
    if state.roll is not None and state.roll.shards.get(r.shard, (0, ""))[0] == r.epoch:
        return OK
    if phase is not RollPhase.CALLING or state.roll is None:
        return refused(RefusedReason.CLOSED, phase)
    _take_identity(state, r, stored)
    _take_world(state, r.world)
    _take_living(state, r)
    journal = state.journal(r.shard)
    journal.entries = [entry for entry in journal.entries if entry.kind is not EntryKind.HELD]
    for statement in r.statements:
        if not _is_known(state, state.roll, statement):
            state.epochs.setdefault(statement.owner, 0)
            state.append(statement.owner, statement.entry)
            if statement.entry.kind is EntryKind.DESPAWN:
                _despawn(state, statement.entry.ids)
    state.roll.shards[r.shard] = (r.epoch, "said" if r.lease_ms else "lapsed")
    return OK


def _take_identity(state: State, r: Rejoin, stored: int) -> None:
    if stored != r.epoch:
        state.decided.pop((r.shard, stored), None)
        state.epochs[r.shard] = r.epoch
    state.members[r.shard] = (r.ordinal, r.epoch, r.address)
    state.resigned.pop(r.shard, None)
    if r.lease_ms:
        state.leases[r.shard] = (r.epoch, state.now_ms + r.lease_ms)
    elif state.is_living((r.shard, r.epoch)):
        del state.leases[r.shard]
    state.schema_of[r.shard] = r.schema_hash
    state.schemas.setdefault(r.schema_hash, r.schema)
    if not state.schema or state.schema in r.takes:
        state.schema = r.schema_hash


def _take_world(state: State, world: WorldKnown) -> None:
    if world.layout_version > (state.layout_version or 0):
        state.layout_version, state.layout = world.layout_version, world.layout
    if world.phase != "run":
        state.phase = world.phase
    if world.seeded and not state.seeded:
        state.seeded, state.origin_tick, state.rests = True, world.origin_tick, world.rests
    state.arrivals_through = max(state.arrivals_through, world.arrivals_through)


def living_in(statements: tuple[Statement, ...]) -> list[bytes]:
    """Packed ids of all entries with rows; packed rows begin with them."""
    entries = [statement.entry for statement in statements if statement.entry.kind in GAINS]
    return [entry.rows[: 8 * entry.count] for entry in entries]


def _take_living(state: State, r: Rejoin) -> None:
    state.expire_gone()
    ids = set(np.frombuffer(b"".join(living_in(r.statements)), "<u8").tolist()) - set(state.gone)
    state.counters["spawned"] += len(ids - state.living)
    state.living |= ids


def _is_known(state: State, roll: Roll, statement: Statement) -> bool:
    entry, transfer = statement.entry, statement.entry.transfer
    if transfer is None:
        entries = state.journal(statement.owner).entries
        return any(other.id == entry.id and other.kind is entry.kind for other in entries)
    record = state.records.get(transfer)
    if record is not None and record.state == "accepted":
        return True
    if state.is_current((transfer.source, transfer.epoch)) and state.is_decided(transfer):
        return True
    told = f"{entry.kind} {transfer}"
    if told in roll.told:
        return True
    roll.told.add(told)
    return False


def _despawn(state: State, packed: bytes) -> None:
    ids = set(np.frombuffer(packed, "<u8").tolist())
    state.counters["despawned"] += len(ids & state.living)
    state.living -= ids
    state.gone.update(dict.fromkeys(ids, state.now_ms))


def ready(state: State, r: Ready) -> Reply:
    roll = state.roll
    said = roll.shards.get(r.shard) if roll is not None else None
    if roll is None or said == (r.epoch, "ready"):
        return OK
    if roll.phase is not RollPhase.CLOSED or said is None or said[0] != r.epoch:
        return refused(RefusedReason.CLOSED, roll.phase)
    recorded = set()
    for transfer in state.active():
        record = state.records[transfer]
        if r.shard not in (transfer.source, record.target):
            continue
        if record.state == "started":
            state.forget(transfer, "canceled")
            continue
        if transfer not in r.open and transfer.source == r.shard:
            record.holders.discard(r.shard)
        elif transfer not in r.open:
            record.holders.add(r.shard)
        if not state.clear_if_target_alone(transfer) and (transfer.source, transfer.epoch) == (r.shard, r.epoch):
            recorded.add(transfer.sequence)
    _decide(state, r, recorded)
    roll.shards[r.shard] = (r.epoch, "ready")
    return OK


def _decide(state: State, r: Ready, recorded: set[int]) -> None:
    """What has no record was accepted and is settled, or never will be: its BEGIN is of a former generation."""
    decided = state.decided.setdefault((r.shard, r.epoch), Decided())
    for sequence in range(1, r.sequence + 1):
        if sequence not in recorded:
            decided.add(sequence)
