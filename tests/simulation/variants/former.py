"""What is of a former epoch or of a former generation, and is not refused."""

from __future__ import annotations

from typing import Any

import pytest
from shardfleet_shard.core.journal_requests import ReadFleet
from shardfleet_shard.core.requests import Accept, Begin, Ended, Join, Observe, Reopen, Reply, Request
from shardfleet_shard.core.roll_requests import CallRoll, Rejoin
from shardfleet_shard.runtime import ServerAuthorityRuntime
from shardfleet_shard.store.memory import MemoryStore
from shardfleet_shard.store.memory_state import Owner, State

from .patches import Patch

OF_ANY_GENERATION = (Join, Reopen, Observe, CallRoll, Rejoin, Ended, ReadFleet)


def other_scripts_of_any_epoch(patch: Patch) -> None:
    """All but BEGIN and ACCEPT."""
    execute, is_current = MemoryStore.execute, State.is_current

    def unchecked(self: MemoryStore, request: Request, *, generation: str) -> Reply:
        own = (getattr(request, "shard", ""), getattr(request, "epoch", 0))

        def current(self: State, owner: Owner) -> bool:
            return owner == own or is_current(self, owner)

        with pytest.MonkeyPatch.context() as inside:
            if not isinstance(request, Begin | Accept):
                inside.setattr(State, "is_current", current)
            return execute(self, request, generation=generation)

    patch.setattr(MemoryStore, "execute", unchecked)


def requests_of_any_generation(patch: Patch) -> None:
    """And, for nobody has rejoined under theirs, in the roll-call as well."""
    execute = MemoryStore.execute

    def served(self: MemoryStore, request: Request, *, generation: str) -> Reply:
        if generation == self.run_id or isinstance(request, OF_ANY_GENERATION):
            return execute(self, request, generation=generation)
        state = self.state
        kept = state.generation, state.roll
        state.generation, state.roll = self.run_id, None
        try:
            return execute(self, request, generation=self.run_id)
        finally:
            state.generation, state.roll = kept

    patch.setattr(MemoryStore, "execute", served)


def answers_of_any_generation(patch: Patch) -> None:
    receive = ServerAuthorityRuntime.receive_reply

    def believe(self: ServerAuthorityRuntime, request: Request, reply: Any, *, generation: str = "") -> None:
        receive(self, request, reply)

    patch.setattr(ServerAuthorityRuntime, "receive_reply", believe)
