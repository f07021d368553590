"""MemoryStore: entities come and go."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..core.journal_requests import EntryKind, JournalEntry
from ..core.requests import Refused, RefusedReason, Reply
from ..core.spawn_requests import Arrive, Despawn, Seed, Spawn, SpawnGroup
from .memory_state import OK, State, refused


def _spawn_groups(state: State, actor: str, groups: Sequence[SpawnGroup]) -> Refused | None:
    """All groups or none."""
    for group in groups:
        owner = state.claims.get(group.cell)
        if owner is None or not state.is_current(owner) or not state.is_living(owner):
            return refused(RefusedReason.UNCLAIMED, group.cell)
        if state.schema_of.get(owner[0]) not in (state.schema_of.get(actor), state.schema):
            return refused(RefusedReason.UNCLAIMED, group.cell)
    ids = np.sort(np.frombuffer(b"".join(group.ids for group in groups), "<u8")).tolist()
    state.expire_gone()
    # The order in which a duplicate is named: twice in the request, alive, despawned; the lowest of each.
    twice = [one for one, other in pairwise(ids) if one == other]
    for duplicates in (twice, [i for i in ids if i in state.living], [i for i in ids if i in state.gone]):
        if duplicates:
            return refused(RefusedReason.DUPLICATE, duplicates[0])
    state.living.update(ids)
    for group in groups:
        if not group.count:
            continue
        entry = JournalEntry(
            id="", kind=EntryKind.SPAWN, count=group.count, tick=group.tick, offer_tick=group.tick - 1, rows=group.rows
        )
        state.append(state.claims[group.cell][0], entry)
    state.counters["spawned"] += sum(group.count for group in groups)
    return None


def _not_owner(state: State, r: Seed | Arrive) -> Refused | None:
    holder = state.election[0] if state.election else None
    if holder == (r.shard, r.epoch):
        return None
    return refused(RefusedReason.NOT_OWNER, f"{holder[0]} {holder[1]}" if holder else "")


def spawn(state: State, r: Spawn) -> Reply:
    return _spawn_groups(state, r.shard, r.groups) or OK


def seed(state: State, r: Seed) -> Reply:
    if refusal := _not_owner(state, r):
        return refusal
    if state.seeded or state.living:
        return refused(RefusedReason.SEEDED)
    if refusal := _spawn_groups(state, r.shard, r.groups):
        return refusal
    state.seeded, state.origin_tick = True, r.origin_tick
    return OK


def arrive(state: State, r: Arrive) -> Reply:
    if refusal := _not_owner(state, r):
        return refusal
    if state.arrivals_through != r.after:
        return refused(RefusedReason.OLDER, state.arrivals_through)
    if refusal := _spawn_groups(state, r.shard, r.groups):
        return refusal
    state.arrivals_through = r.through
    return OK


def despawn(state: State, r: Despawn) -> Reply:
    state.expire_gone()
    ids, versions = np.frombuffer(r.ids, "<u8"), np.frombuffer(r.versions, "<u4")
    kept = []
    for index, entity in enumerate(ids.tolist()):
        if entity in state.living:
            state.living.remove(entity)
            state.gone[entity] = state.now_ms
            kept.append(index)
    if kept:
        entry = JournalEntry(
            id="",
            kind=EntryKind.DESPAWN,
            count=len(kept),
            ids=ids[kept].tobytes(),
            versions=versions[kept].tobytes(),
        )
        state.append(r.shard, entry)
        state.counters["despawned"] += len(kept)
    return OK
