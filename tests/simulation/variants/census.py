"""The census, with its rules broken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shardfleet_operator.census import Census, CensusHistory
from shardfleet_shard.core.census_requests import RestoreEntity
from shardfleet_shard.core.journal_requests import EntryKind, JournalEntry
from shardfleet_shard.core.requests import Reply
from shardfleet_shard.store.memory_state import OK, State

from .patches import Patch, handler


def restores_from_two_moments(patch: Patch) -> None:
    """What one reading misses is restored, and the script does not look again."""
    confirm = CensusHistory.confirm

    def at_its_word(self: CensusHistory, latest: Census) -> Census:
        return replace(latest, doubled=confirm(self, latest).doubled)

    def restore(script: Any, state: State, r: RestoreEntity) -> Reply:
        entry = JournalEntry(id="", kind=EntryKind.RESTORE, count=1, tick=r.tick, offer_tick=r.offer_tick, rows=r.row)
        state.append(r.owner, entry)
        return OK

    patch.setattr(CensusHistory, "confirm", at_its_word)
    handler(patch, RestoreEntity, restore)
