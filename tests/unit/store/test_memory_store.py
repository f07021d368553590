"""MemoryStore on its own: time to live on virtual time, and the faults that the simulation injects.

That it means what the Lua scripts mean is shown in tests/integration/store.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from shardfleet_shard.core.journal_requests import Entries, Publish
from shardfleet_shard.core.requests import (
    Adopted,
    Begin,
    Cancel,
    Claim,
    Done,
    Elect,
    Elected,
    Ended,
    Join,
    Joined,
    LinkLease,
    Observe,
    Observed,
    Outcome,
    Recover,
    Recovered,
    Refused,
    RefusedReason,
    Renew,
    Reopen,
    Reply,
    Request,
    Resign,
)
from shardfleet_shard.core.spawn_requests import Arrive, Despawn, Spawn, SpawnGroup
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.store.memory import MemoryStore
from shardfleet_shard.store.memory_state import Decided
from shardfleet_shard.store.scripts import TABLE

A, B = "arena-0", "arena-1"
OK = Done(outcome=Outcome.OK)


@dataclass
class World:
    """A store, its clock and the epochs of A and B, which live and claim '0' and '1'."""

    store: MemoryStore
    generation: str
    now_ms: int = 1_000_000
    epoch: int = 0

    @classmethod
    def start(cls) -> World:
        world = cls(MemoryStore(run_id="run", now_ms=lambda: world.now_ms), "run")
        assert world.ask(Join(founds=True)) == Joined(generation="run", stored="run")
        world.store.state.layout_version, world.store.state.layout = 1, "{}"
        for ordinal, (shard, cell) in enumerate(((A, "0"), (B, "1"))):
            recovered = world.ask(Recover(shard=shard, ordinal=ordinal, address="h", unix_us=500))
            assert isinstance(recovered, Recovered)
            world.epoch = recovered.epoch
            assert world.ask(Renew(**world.me(shard), ttl_ms=3000)) == OK
            assert world.ask(Claim(**world.me(shard), layout_version=1, cells=(cell,))) == OK
        return world

    def me(self, shard: str) -> dict[str, Any]:
        return {"shard": shard, "epoch": self.epoch}

    def ask(self, request: Request) -> Reply:
        return self.store.execute(request, generation=self.generation)

    def reason(self, request: Request) -> RefusedReason:
        reply = self.ask(request)
        assert isinstance(reply, Refused), reply
        return reply.reason

    def begin(self, sequence: int = 1) -> Begin:
        return Begin(
            **self.me(A),
            transfer=TransferId(A, self.epoch, sequence),
            target=B,
            target_epoch=self.epoch,
            cell="1",
            transfer_time_us=1,
            switch_tick=1,
            count=1,
            ids=bytes(8),
            versions=bytes(4),
        )

    def spawn(self, *ids: int) -> Spawn:
        group = SpawnGroup(cell="0", count=len(ids), ids=np.array(ids, "<u8").tobytes(), rows=b"", tick=1)
        return Spawn(**self.me(A), groups=(group,))


@pytest.fixture
def world() -> World:
    return World.start()


def test_a_lease_ends_at_its_time_and_not_before(world: World) -> None:
    world.now_ms += 2999
    observed = world.ask(Observe())
    assert isinstance(observed, Observed)
    assert all(member.living for member in observed.members)
    world.now_ms += 1
    observed = world.ask(Observe())
    assert isinstance(observed, Observed)
    assert not any(member.living for member in observed.members)


def test_an_older_lease_holds_a_successor_back_until_it_ends(world: World) -> None:
    recovered = world.ask(Recover(shard=A, ordinal=0, address="h", unix_us=900))
    assert recovered == Recovered(epoch=900, lease_left_ms=3000)
    renew = Renew(shard=A, epoch=900, ttl_ms=3000)
    world.now_ms += 1000
    assert world.ask(renew) == Refused(reason=RefusedReason.HELD, detail=f"{A} 500", wait_ms=2000)
    world.now_ms += 2000
    assert world.ask(renew) == OK


def test_the_platform_ends_a_lease(world: World) -> None:
    assert world.ask(Ended(shard=A, epoch=499)) == OK
    assert world.ask(Recover(shard=A, ordinal=0, address="h", unix_us=900)).lease_left_ms == 3000  # type: ignore[union-attr]
    assert world.ask(Ended(shard=A, epoch=500)) == OK
    assert world.ask(Renew(shard=A, epoch=900, ttl_ms=3000)) == OK


def test_a_spawn_needs_a_living_claimant(world: World) -> None:
    world.now_ms += 3000
    assert world.reason(world.spawn(1)) is RefusedReason.UNCLAIMED


def test_despawned_ids_come_free_after_a_minute(world: World) -> None:
    world.ask(world.spawn(5))
    world.ask(Despawn(**world.me(A), ids=np.array([5], "<u8").tobytes(), versions=bytes(4)))
    world.store.state.journal(A).entries.clear()  # a manifest without the row was published
    world.now_ms += 59_999
    world.ask(Renew(**world.me(A), ttl_ms=3000))
    assert world.reason(world.spawn(5)) is RefusedReason.DUPLICATE
    world.now_ms += 1
    assert world.ask(world.spawn(5)) == OK


def test_the_election_passes_on_with_lease_or_time(world: World) -> None:
    elected_a = Elected(shard=A, epoch=world.epoch)
    assert world.ask(Elect(**world.me(A), ttl_ms=2000)) == elected_a
    assert world.ask(Elect(**world.me(B), ttl_ms=2000)) == elected_a
    world.now_ms += 2000
    assert world.ask(Elect(**world.me(B), ttl_ms=2000)) == Elected(shard="", epoch=0), "free, but A comes first"
    world.now_ms += 1000
    world.ask(Renew(**world.me(B), ttl_ms=3000))
    assert world.ask(Elect(**world.me(B), ttl_ms=2000)) == Elected(shard=B, epoch=world.epoch)
    assert world.reason(Arrive(**world.me(A), after=-1, through=0, groups=())) is RefusedReason.NOT_OWNER


def test_a_link_lease_ends(world: World) -> None:
    assert world.ask(LinkLease(**world.me(A), peer=B, ttl_ms=25_000)) == OK
    refused = world.ask(LinkLease(**world.me(B), peer=A, ttl_ms=25_000))
    assert refused == Refused(reason=RefusedReason.HELD, detail=A, wait_ms=25_000)
    world.now_ms += 25_000
    assert world.ask(LinkLease(**world.me(B), peer=A, ttl_ms=25_000)) == OK


def test_journal_ids_rise_also_when_the_clock_falls(world: World) -> None:
    for entity, step in enumerate((0, 5, -90_000, 0)):
        world.now_ms += step
        world.ask(world.spawn(entity))
    entries = world.ask(Publish(**world.me(A), tick=1, position="0-0", header="", chunks=(), read_after="0-0"))
    assert isinstance(entries, Entries)
    assert [entry.id for entry in entries.entries] == ["1000000-0", "1000005-0", "1000005-1", "1000005-2"]


def test_a_restart_refuses_everyone_until_reopened(world: World) -> None:
    world.store.restart()
    assert world.reason(world.begin()) is RefusedReason.GENERATION
    joined = world.ask(Join(founds=True))
    assert joined == Joined(generation=world.store.run_id, stored="run")
    world.generation = world.store.run_id
    assert world.reason(world.begin()) is RefusedReason.GENERATION
    assert world.ask(Reopen()) == Refused(reason=RefusedReason.HELD, detail=B, wait_ms=3000)
    world.now_ms += 3000
    assert [world.ask(Reopen()), world.ask(Reopen())] == [OK, OK]
    assert world.ask(world.begin()) == Done(outcome=Outcome.STARTED)
    world.generation = "run"
    assert world.reason(world.begin(2)) is RefusedReason.GENERATION


def test_a_restored_snapshot_forgets_what_came_later(world: World) -> None:
    snapshot = world.store.snapshot()
    world.ask(world.begin())
    world.store.restore(snapshot)
    assert world.store.run_id == "run+1"
    assert not world.store.state.records
    world.ask(Renew(**world.me(A), ttl_ms=99_000))
    assert snapshot.leases[A] == world.store.state.leases[A], "a refused request changes nothing"
    world.store.state.leases.clear()
    assert snapshot.leases, "the snapshot is a copy of its own"


def test_wiped_data_are_gone_and_the_process_is_another(world: World) -> None:
    world.store.wipe()
    assert world.ask(Join(founds=True)) == Joined(generation="run+1", stored="run+1")
    assert world.reason(Renew(**world.me(A), ttl_ms=1)) is RefusedReason.GENERATION
    world.generation = "run+1"
    assert world.ask(Renew(**world.me(A), ttl_ms=1)) == Refused(reason=RefusedReason.EPOCH, detail="0")


def test_refused_requests_change_nothing(world: World) -> None:
    before = repr(world.store.state)
    stale = {"shard": A, "epoch": world.epoch - 1}
    for request in (
        Renew(**stale, ttl_ms=9),
        Resign(**stale),
        Cancel(**stale, transfer=TransferId(A, world.epoch, 1)),
        Adopted(**stale, transfer=TransferId(A, world.epoch, 1)),
        Publish(**stale, tick=1, position="0-0", header="", chunks=(), read_after="0-0"),
    ):
        assert world.reason(request) is RefusedReason.EPOCH
    assert repr(world.store.state) == before


def test_decided_sequences_fold_into_a_floor() -> None:
    decided = Decided()
    for sequence in (3, 1, 5, 2):
        decided.add(sequence)
    assert (decided.floor, decided.above) == (3, {5})
    assert [sequence in decided for sequence in range(1, 7)] == [True, True, True, False, True, False]
    decided.add(2)
    decided.add(4)
    assert (decided.floor, decided.above) == (5, set())


def test_every_request_has_a_script_and_a_model() -> None:
    from typing import get_args

    from shardfleet_shard.store.memory import _HANDLERS

    kinds = {kind.__name__ for kind in get_args(Request)}
    assert {kind.__name__ for kind in TABLE} == kinds - {"ReadFleet"}
    assert {kind.__name__ for kind in _HANDLERS} == kinds - {"Join", "Reopen", "Observe", "CallRoll", "Rejoin"}


# --- schemas ----------------------------------------------------------------------------------------------------

OLD, NEW, OTHER = 1, 2, 3


def join(schema: int, *takes: int) -> Join:
    return Join(schema_hash=schema, schema=f"columns of {schema}", takes=takes)


def recover(world: World, shard: str, schema: int) -> int:
    """A new process of ``shard``, living. Returns its epoch."""
    world.ask(Ended(shard=shard, epoch=0))
    recovered = world.ask(Recover(shard=shard, ordinal=int(shard[-1]), address="h", unix_us=1, schema_hash=schema))
    assert isinstance(recovered, Recovered)
    assert world.ask(Renew(shard=shard, epoch=recovered.epoch, ttl_ms=3000)) == OK
    return recovered.epoch


def publish(world: World, shard: str, epoch: int, schema: int, *, count: int) -> None:
    header = json.dumps({"count": count, "schema": {"hash": schema}})
    published = Publish(
        shard=shard, epoch=epoch, tick=epoch, position="0-0", header=header, chunks=(), read_after="0-0"
    )
    assert isinstance(world.ask(published), Entries)


def misfit(world: World, request: Join) -> str:
    joined = world.ask(request)
    assert isinstance(joined, Joined)
    return joined.misfit


def test_a_shard_of_other_columns_is_refused_while_the_fleet_has_the_old_ones(world: World) -> None:
    assert misfit(world, join(OLD)) == ""
    recover(world, A, OLD)
    recover(world, B, OLD)
    assert misfit(world, join(NEW)) == "columns of 1"
    assert world.store.state.schemas == {OLD: "columns of 1"} and world.store.state.schema == OLD
    assert misfit(world, join(NEW, OLD)) == ""
    assert world.store.state.schema == NEW
    assert misfit(world, join(OLD)) == "", "the newer one has neither a living shard nor a row: there is a way back"
    assert list(world.store.state.schemas) == [OLD] and world.store.state.schema == OLD


def test_rows_count_also_where_nobody_lives(world: World) -> None:
    misfit(world, join(OLD))
    publish(world, A, recover(world, A, OLD), OLD, count=1)
    recover(world, B, OLD)
    world.now_ms += 60_000
    assert misfit(world, join(NEW)) == "columns of 1"
    publish(world, A, recover(world, A, OLD), OLD, count=0)
    world.now_ms += 60_000
    assert misfit(world, join(NEW)) == ""


def test_once_the_new_schema_lives_the_old_one_cannot_join_and_is_forgotten_at_the_end(world: World) -> None:
    misfit(world, join(OLD))
    old = recover(world, A, OLD)
    misfit(world, join(NEW, OLD))
    recover(world, B, NEW)
    assert misfit(world, join(OLD)) == "columns of 2"
    assert misfit(world, join(OTHER, NEW)) == "columns of 1"
    assert misfit(world, join(NEW, OLD)) == ""
    assert world.ask(Resign(shard=A, epoch=old)) == OK
    assert world.store.state.schemas == {NEW: "columns of 2"} and world.store.state.schema == NEW


def test_new_rows_are_not_spawned_for_a_shard_of_the_former_schema(world: World) -> None:
    misfit(world, join(OLD))
    epochs = {A: recover(world, A, OLD)}
    misfit(world, join(NEW, OLD))
    epochs[B] = recover(world, B, NEW)
    for shard, cell in ((A, "0"), (B, "1")):
        assert world.ask(Claim(shard=shard, epoch=epochs[shard], layout_version=1, cells=(cell,))) == OK

    def spawn(actor: str, cell: str, entity: int) -> Spawn:
        group = SpawnGroup(cell=cell, count=1, ids=np.array([entity], "<u8").tobytes(), rows=b"", tick=1)
        return Spawn(shard=actor, epoch=epochs[actor], groups=(group,))

    assert world.reason(spawn(B, "0", 1)) is RefusedReason.UNCLAIMED
    assert world.ask(spawn(B, "1", 2)) == world.ask(spawn(A, "1", 3)) == world.ask(spawn(A, "0", 4)) == OK


def test_a_shard_of_the_former_schema_is_elected_first(world: World) -> None:
    misfit(world, join(OLD))
    old = recover(world, B, OLD)
    misfit(world, join(NEW, OLD))
    new = recover(world, A, NEW)
    assert world.ask(Elect(shard=A, epoch=new, ttl_ms=1000)) == Elected(shard="", epoch=0)
    assert world.ask(Elect(shard=B, epoch=old, ttl_ms=1000)) == Elected(shard=B, epoch=old)
    assert world.ask(Resign(shard=B, epoch=old)) == OK
    assert world.ask(Elect(shard=A, epoch=new, ttl_ms=1000)) == Elected(shard=A, epoch=new)
