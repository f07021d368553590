"""MemoryStore: what a census puts right."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from ..core.census_requests import RemoveCopy, RestoreEntity
from ..core.journal_requests import GAINS, EntryKind, JournalEntry, Publish
from ..core.requests import Done, Outcome, RefusedReason, Reply
from ..core.takeover_requests import is_alias
from ..errors import MISSHAPEN
from .memory_state import OK, Journal, State, refused


class Evidence(NamedTuple):
    """What one shard's manifest and journal say of one id; versions -1 where nothing was said."""

    tick: int
    gained: int
    lost: int
    given: int
    unread: bool = False

    @property
    def holds(self) -> bool:
        return self.unread or self.gained > self.lost


def _version_in(ids: bytes, versions: bytes, entity: int) -> int:
    place = np.flatnonzero(np.frombuffer(ids, "<u8") == np.uint64(entity))
    return int(np.frombuffer(versions, "<u4")[place[0]]) if len(place) else -1


def _version_in_rows(rows: bytes, count: int, entity: int) -> int:
    """Packed rows begin with the ids, then the versions."""
    return _version_in(rows[: 8 * count], rows[8 * count : 12 * count], entity)


def _gained_by(manifest: Publish, entity: int) -> int:
    header, gained = json.loads(manifest.header), -1
    left = int(header.get("count", 0))
    for chunk in manifest.chunks if left > 0 else ():
        count = min(left, int(header["rows_per_chunk"]))
        gained, left = max(gained, _version_in_rows(chunk, count, entity)), left - count
    return gained


def evidence(state: State, shard: str, entity: int) -> Evidence:
    tick = gained = lost = given = -1
    unread = False
    manifest = state.manifests.get(shard)
    if manifest is not None:
        tick = manifest.tick
        try:
            gained = _gained_by(manifest, entity)
        except (ValueError, *MISSHAPEN):
            unread = True
    for entry in state.journals.get(shard, Journal()).entries:
        if entry.kind is EntryKind.DAMAGED:
            unread = True
            continue
        if entry.kind in GAINS:
            gained = max(gained, _version_in_rows(entry.rows, entry.count, entity))
            continue
        if entry.kind is EntryKind.TAKEOVER:
            taken = evidence(state, entry.peer, entity)
            gained = max(gained, taken.gained + 1 if taken.holds else -1)
            continue
        version = _version_in(entry.ids, entry.versions, entity)
        lost = max(lost, version)
        given = max(given, version if entry.kind is EntryKind.OUT else -1)
    return Evidence(tick, gained, lost, given, unread)


def restore_entity(state: State, r: RestoreEntity) -> Reply:
    if r.entity not in state.living:
        return Done(outcome=Outcome.DECIDED)
    for shard in sorted(state.epochs):
        found = evidence(state, shard, r.entity)
        if found.holds and not is_alias(shard):
            return refused(RefusedReason.HELD, shard)
        if found.given > r.version:
            return refused(RefusedReason.OLDER, shard)
    entry = JournalEntry(id="", kind=EntryKind.RESTORE, count=1, tick=r.tick, offer_tick=r.offer_tick, rows=r.row)
    state.append(r.owner, entry)
    state.counters["repaired_entities"] += 1
    return OK


def remove_copy(state: State, r: RemoveCopy) -> Reply:
    copy, owner = evidence(state, r.shard, r.entity), evidence(state, r.owner, r.entity)
    if (
        r.shard == r.owner
        or copy.unread
        or owner.unread
        or not copy.holds
        or not owner.holds
        or copy.gained > owner.gained
    ):
        return refused(RefusedReason.HELD)
    if min(copy.tick, owner.tick) < r.tick:
        return refused(RefusedReason.OLDER)
    entry = JournalEntry(
        id="",
        kind=EntryKind.OUT,
        peer=r.owner,
        count=1,
        tick=r.tick,
        offer_tick=r.tick,
        ids=r.entity.to_bytes(8, "little"),
        versions=owner.gained.to_bytes(4, "little"),
    )
    state.append(r.shard, entry)
    state.counters["repaired_entities"] += 1
    return OK
