"""The roll-call, with a rule broken."""

from __future__ import annotations

from shardfleet_shard.core import roll_statements
from shardfleet_shard.core.requests import (
    Reply,
    Request,
)
from shardfleet_shard.core.roll_call import RollCall
from shardfleet_shard.core.roll_requests import Rejoin
from shardfleet_shard.core.shadows import Shadows
from shardfleet_shard.store import memory, memory_roll
from shardfleet_shard.store.memory_state import State

from .patches import Patch


def no_roll_call(patch: Patch) -> None:
    """Redis is open at once, and everybody goes on with what it has."""
    execute = memory.MemoryStore.execute

    def notice(self: RollCall, generation: str, now_us: int, boottime_us: int) -> None:
        self.context.generation = generation

    def open_at_once(self: memory.MemoryStore, request: Request, *, generation: str) -> Reply:
        self.state.generation, self.state.roll = self.run_id, None
        return execute(self, request, generation=generation)

    patch.setattr(RollCall, "notice", notice)
    patch.setattr(memory.MemoryStore, "execute", open_at_once)


def roll_call_shorter_than_a_lease(patch: Patch) -> None:
    """Who has not said anything within 50 ms is not heard."""
    begin = memory_roll._begin
    patch.setattr(memory_roll, "_begin", lambda state, running, call_ms: begin(state, running, 50))


def nothing_said_of_transfers(patch: Patch) -> None:
    """Neither side asserts what was accepted."""
    patch.setattr(roll_statements, "_given_away", lambda context, mailbox: ())
    patch.setattr(roll_statements, "_taken_over", lambda context, mailbox: ())


def nothing_said_of_rows(patch: Patch) -> None:
    patch.setattr(roll_statements, "_held", lambda context: ())


def rejoin_overwrites_rows(patch: Patch) -> None:
    """What Redis has kept of the shard's rows is replaced by what the shard says."""
    take_identity = memory_roll._take_identity

    def overwrite(state: State, r: Rejoin, stored: int) -> None:
        take_identity(state, r, stored)
        state.manifests.pop(r.shard, None)
        state.journal(r.shard).entries.clear()

    patch.setattr(memory_roll, "_take_identity", overwrite)


def rejoin_overwrites_records(patch: Patch) -> None:
    """What is said of a transfer counts, whatever has become of it."""
    patch.setattr(memory_roll, "_is_known", lambda state, roll, statement: False)


def no_shadows(patch: Patch) -> None:
    patch.setattr(Shadows, "release", lambda self, outgoing, rows, *, tick, now_us: None)
