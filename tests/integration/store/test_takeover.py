"""Takeover by its parts, on real servers: what goes where, who is refused, and that nothing is left of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from shardfleet_shard.core.journal_requests import Entries, EntryKind, FleetRecords, ReadFleet, ShardRecord
from shardfleet_shard.core.repair_requests import Repair
from shardfleet_shard.core.requests import (
    Adopted,
    Ended,
    Observe,
    Observed,
    Refused,
    RefusedReason,
    Released,
    Renew,
    Resign,
)
from shardfleet_shard.core.taken_rows import records_under
from shardfleet_shard.core.takeover_requests import TakeOver, alias_of
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.fleet_copy import take_copy
from shardfleet_shard.store.handoff_transfer_manifest import HandoffTransferManifest
from shardfleet_shard.store.redis_store import RedisStore

from .fleet import CELL_OF, START_US, TOO_LARGE_TO_INLINE, A, B, C, Fleet
from .test_rules import keys_of


@pytest.fixture
async def fleet(store: RedisStore) -> Fleet:
    return await Fleet.start(store, A, B, C)


def request(fleet: Fleet, taker: str, gone: str, *, unix_us: int = START_US) -> TakeOver:
    return TakeOver(**fleet.me(taker), gone=gone, gone_epoch=fleet.epochs[gone], unix_us=unix_us)


async def take_over(fleet: Fleet, taker: str, gone: str) -> str:
    """As the operator: once it knows that the process has ended. Returns the alias."""
    await fleet.done(Ended(shard=gone, epoch=0))
    assert await fleet.done(request(fleet, taker, gone)) == "ok"
    (answer,) = await fleet.store.call([("HGET", f"{fleet.store.prefix}epoch", gone)])
    return alias_of(gone, int(answer))


async def refusal(fleet: Fleet, one: TakeOver) -> RefusedReason:
    return (await fleet.ask(one, Refused)).reason


async def read_under(fleet: Fleet, alias: str) -> list[ShardRecord]:
    return records_under(alias, (await fleet.ask(ReadFleet(), FleetRecords)).records)


# --- what goes where -------------------------------------------------------------------------------------------


async def test_rows_and_journal_go_by_reference(fleet: Fleet, admin: FleetAdmin) -> None:
    await fleet.ask(fleet.publish(B, 7, chunks=TOO_LARGE_TO_INLINE), Entries)
    await fleet.done(fleet.spawn(B, 1, 2, cell=CELL_OF[B]))
    alias = await take_over(fleet, A, B)
    assert fleet.epochs[B] < int(alias.partition("@")[2])
    (entry,) = (await fleet.journal(A)).entries
    assert (entry.kind, entry.peer, entry.count, entry.rows) == (EntryKind.TAKEOVER, alias, 0, b"")
    (taken,) = await read_under(fleet, alias)
    assert (taken.shard, taken.header, taken.chunks) == (alias, '{"tick":7}', TOO_LARGE_TO_INLINE)
    assert [(one.kind, one.rows) for one in taken.entries] == [(EntryKind.SPAWN, b"rr")]
    everything = await fleet.ask(ReadFleet(), FleetRecords)
    assert [record.shard for record in everything.records] == [A, B, alias, C]
    assert (everything.records[1].header, everything.records[1].entries) == ("", ())
    assert await admin.shards() == [A, B, C], "an alias is no shard"
    observed = await fleet.ask(Observe(), Observed)
    assert [member.shard for member in observed.members] == [A, C]
    assert sorted(observed.claims) == sorted([CELL_OF[A], CELL_OF[C]])


async def test_a_manifest_that_contains_the_rows_is_the_end_of_it(fleet: Fleet) -> None:
    await fleet.ask(fleet.publish(B, 7, chunks=(b"one", b"two")), Entries)
    await fleet.done(fleet.spawn(B, 1, cell=CELL_OF[B]))
    alias = await take_over(fleet, A, B)
    (entry,) = (await fleet.journal(A)).entries
    await fleet.ask(fleet.publish(A, 9), Entries)
    assert len((await read_under(fleet, alias))[0].chunks) == 2, "not contained yet"
    await fleet.ask(fleet.publish(A, 10, position=entry.id), Entries)
    left = [key for part in ("manifest", "chunk", "journal", "rows") for key in await keys_of(fleet.store, f"{part}:")]
    assert not [key for key in left if B in key]
    (names,) = await fleet.store.call([("HKEYS", f"{fleet.store.prefix}epoch")])
    assert sorted(names) == [A.encode(), B.encode(), C.encode()]


async def test_a_shard_that_held_nothing_leaves_nothing(fleet: Fleet) -> None:
    await take_over(fleet, A, B)
    assert (await fleet.journal(A)).entries == ()


async def test_what_a_taker_had_not_taken_up_goes_on_with_the_rest(fleet: Fleet) -> None:
    await fleet.ask(fleet.publish(C, 7), Entries)
    await fleet.ask(fleet.publish(B, 8), Entries)
    first = await take_over(fleet, B, C)
    second = await take_over(fleet, A, B)
    records = await read_under(fleet, second)
    assert [record.shard for record in records] == [second, first]
    (entry,) = (await fleet.journal(A)).entries
    await fleet.ask(fleet.publish(A, 9, position=entry.id), Entries)
    assert [record.shard for record in (await fleet.ask(ReadFleet(), FleetRecords)).records] == [A, B, C]
    assert await keys_of(fleet.store, "journal:") == [f"journal:{A}"]


async def test_a_copy_has_what_lies_under_aliases(fleet: Fleet) -> None:
    await fleet.ask(fleet.publish(B, 7), Entries)
    alias = await take_over(fleet, A, B)
    copied = {name for name, _ in await take_copy(fleet.store)}
    assert {f"manifest:{alias}", f"chunk:{alias}:{fleet.epochs[B]}:7:1", f"journal:{A}"} <= copied


# --- open transfers ----------------------------------------------------------------------------------------------


async def test_started_transfers_are_canceled(fleet: Fleet, admin: FleetAdmin) -> None:
    going, coming = fleet.begin(1, source=B, target=C), fleet.begin(1, source=C, target=B)
    others = fleet.begin(1, source=A, target=C)
    await fleet.store.execute([going, coming, others])
    await take_over(fleet, A, B)
    assert await keys_of(fleet.store, "record:") == [f"record:{others.transfer}"]
    assert await fleet.done(fleet.accept(going)) == "decided"
    assert await fleet.done(coming) == "decided"
    assert (await admin.counters())["canceled_transfers"] == 2


async def test_an_accepted_transfer_of_the_dead_source_ends_by_its_target(fleet: Fleet) -> None:
    open_one, adopted_one = fleet.begin(1, source=B, target=C, ids=(5,)), fleet.begin(2, source=B, target=C, ids=(6,))
    for begin in (open_one, adopted_one):
        await fleet.store.execute([begin, fleet.accept(begin)])
    await fleet.done(Adopted(**fleet.me(C), transfer=adopted_one.transfer))
    await take_over(fleet, A, B)
    assert [one.id for one in await HandoffTransferManifest(fleet.store).active()] == [open_one.transfer]
    assert await fleet.done(Adopted(**fleet.me(C), transfer=open_one.transfer)) == "cleared"


@pytest.mark.parametrize("said_adopted", [False, True])
async def test_an_accepted_transfer_to_the_dead_target_is_the_takers_to_end(fleet: Fleet, said_adopted: bool) -> None:
    begin = fleet.begin(1, source=C, target=B)
    await fleet.store.execute([begin, fleet.accept(begin)])
    if said_adopted:
        await fleet.done(Adopted(**fleet.me(B), transfer=begin.transfer))
    await take_over(fleet, A, B)
    (active,) = await HandoffTransferManifest(fleet.store).active()
    assert (active.target, active.target_epoch, active.holders) == (A, fleet.epochs[A], {C})
    assert (await fleet.ask(Resign(**fleet.me(A)), Refused)).reason is RefusedReason.BUSY
    assert await fleet.done(Released(**fleet.me(C), transfer=begin.transfer)) == "released"
    assert await fleet.done(Adopted(**fleet.me(A), transfer=begin.transfer)) == "cleared"


@pytest.mark.parametrize("released_first", [False, True])
async def test_a_source_that_takes_its_target_over_ends_both_sides(fleet: Fleet, released_first: bool) -> None:
    begin = fleet.begin(1, source=A, target=B)
    await fleet.store.execute([begin, fleet.accept(begin)])
    await take_over(fleet, A, B)
    # It holds them as their source still: the watchdog must not take it for a target that has adopted them.
    assert await fleet.done(Repair(transfer=begin.transfer)) == "accepted"
    adopted, released = (kind(**fleet.me(A), transfer=begin.transfer) for kind in (Adopted, Released))
    first, second = (released, adopted) if released_first else (adopted, released)
    assert await fleet.done(first) == ("released" if released_first else "cleared")
    assert await fleet.done(second) == "cleared"
    assert await keys_of(fleet.store, "record:") == await keys_of(fleet.store, "holders:") == []


# --- who is refused ----------------------------------------------------------------------------------------------


async def test_nobody_takes_over_what_has_a_lease_and_nobody_without_one_takes(fleet: Fleet) -> None:
    assert await refusal(fleet, request(fleet, A, B)) is RefusedReason.HELD
    await fleet.done(Ended(shard=B, epoch=0))
    await fleet.done(Ended(shard=A, epoch=0))
    assert await refusal(fleet, request(fleet, A, B)) is RefusedReason.HELD
    await fleet.done(Renew(**fleet.me(A), ttl_ms=60_000))
    assert await refusal(fleet, replace(request(fleet, A, B), epoch=5)) is RefusedReason.EPOCH
    assert await fleet.done(request(fleet, A, B)) == "ok"


async def test_of_a_takeover_another_and_a_recover_one_comes_first(fleet: Fleet) -> None:
    await fleet.ask(fleet.publish(B, 7), Entries)
    await fleet.done(Ended(shard=B, epoch=0))
    by_a, by_c = request(fleet, A, B), request(fleet, C, B)
    assert await fleet.done(by_a) == "ok"
    assert await refusal(fleet, by_c) is RefusedReason.OLDER
    assert await refusal(fleet, by_a) is RefusedReason.OLDER, "the same again, its answer was lost"
    recovered = await fleet.recover(B)
    assert await refusal(fleet, by_c) is RefusedReason.OLDER
    assert recovered.accepted_incoming == ()
    records = (await fleet.ask(ReadFleet(), FleetRecords)).records
    assert next(record for record in records if record.shard == B).header == "", "it starts with nothing"


async def test_the_old_process_is_refused_from_then_on(fleet: Fleet) -> None:
    former = fleet.me(B)
    await take_over(fleet, A, B)
    assert (await fleet.ask(Renew(**former, ttl_ms=60_000), Refused)).reason is RefusedReason.EPOCH
    assert (await fleet.ask(fleet.publish(B, 99), Refused)).reason is RefusedReason.EPOCH
