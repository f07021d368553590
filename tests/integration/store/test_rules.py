"""The protocol's rules that the scripts carry, one by one, on real servers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from shardfleet_shard.core.journal_requests import Entries, EntryKind, FleetRecords, ReadEntries, ReadFleet
from shardfleet_shard.core.requests import (
    Adopted,
    Cancel,
    Claim,
    Elect,
    Ended,
    Observe,
    Observed,
    Recover,
    Recovered,
    Refused,
    RefusedReason,
    Reject,
    Released,
    Renew,
    Resign,
)
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.handoff_transfer_manifest import HandoffTransferManifest
from shardfleet_shard.store.redis_store import RedisStore

from .fleet import CELL_OF, LEASE_MS, START_US, TOO_LARGE_TO_INLINE, A, B, C, Fleet, keys_of


@pytest.fixture
async def fleet(store: RedisStore) -> Fleet:
    return await Fleet.start(store, A, B)


# --- a transfer ------------------------------------------------------------------------------------------------


async def test_a_transfer_from_begin_to_clear(fleet: Fleet, admin: FleetAdmin) -> None:
    begin = fleet.begin(ids=(5, 6, 7))
    rows = bytes(range(256)) * 3
    assert await fleet.done(begin) == "started"
    assert await fleet.done(fleet.accept(begin, rows)) == "accepted"
    (came,) = (await fleet.journal(B)).entries
    (went,) = (await fleet.journal(A)).entries
    assert (came.kind, came.transfer, came.peer, came.count) == (EntryKind.IN, begin.transfer, A, 3)
    assert (came.tick, came.offer_tick, came.rows) == (100, 98, b"")
    assert (went.kind, went.peer, went.ids, went.versions) == (EntryKind.OUT, B, begin.ids, begin.versions)
    whole = await fleet.ask(ReadEntries(**fleet.me(B), ids=(came.id,)), Entries)
    assert whole.entries == (replace(came, rows=rows),)
    assert await fleet.done(Adopted(**fleet.me(B), transfer=begin.transfer)) == "adopted"
    assert await fleet.done(Released(**fleet.me(A), transfer=begin.transfer)) == "cleared"
    assert await keys_of(fleet.store, "record:") == await keys_of(fleet.store, "active") == []
    counters = await admin.counters()
    assert (counters["started_transfers"], counters["started_entities"]) == (1, 3)
    assert (counters["completed_transfers"], counters["completed_entities"]) == (1, 3)


@pytest.mark.parametrize("released_first", [False, True])
async def test_adopted_and_released_in_either_order(fleet: Fleet, released_first: bool) -> None:
    begin = fleet.begin()
    await fleet.store.execute([begin, fleet.accept(begin)])
    adopted = Adopted(**fleet.me(B), transfer=begin.transfer)
    released = Released(**fleet.me(A), transfer=begin.transfer)
    first, second = (released, adopted) if released_first else (adopted, released)
    manifest = HandoffTransferManifest(fleet.store)
    await fleet.done(first)
    assert await manifest.holders(5) == (frozenset() if released_first else {A, B})
    assert await fleet.done(second) == "cleared"
    assert [await fleet.done(one) for one in (adopted, released)] == ["cleared", "cleared"]
    assert await manifest.holders(5) is None


async def test_cancel_of_an_unknown_transfer_decides_it(fleet: Fleet) -> None:
    begin = fleet.begin()
    assert await fleet.done(Cancel(**fleet.me(A), transfer=begin.transfer)) == "canceled"
    assert await fleet.done(begin) == "decided"
    assert await fleet.done(fleet.accept(begin)) == "decided"
    assert await keys_of(fleet.store, "record:") == []


async def test_reject_of_an_unknown_transfer_decides_it(fleet: Fleet, admin: FleetAdmin) -> None:
    begin = fleet.begin()
    assert await fleet.done(Reject(**fleet.me(B), transfer=begin.transfer, reason="full")) == "rejected"
    assert await fleet.done(begin) == "decided"
    assert (await admin.counters())["started_transfers"] == 0


async def test_begin_never_resurrects_a_cleared_transfer(fleet: Fleet) -> None:
    begin = fleet.begin()
    accept = fleet.accept(begin)
    await fleet.store.execute([begin, accept])
    await fleet.done(Adopted(**fleet.me(B), transfer=begin.transfer))
    await fleet.done(Released(**fleet.me(A), transfer=begin.transfer))
    assert await fleet.done(begin) == "decided"
    assert await fleet.done(accept) == "decided"
    assert len((await fleet.journal(B)).entries) == 1


async def test_repeated_begin_and_accept_change_nothing(fleet: Fleet, admin: FleetAdmin) -> None:
    begin = fleet.begin()
    assert [await fleet.done(begin) for _ in range(2)] == ["started", "started"]
    accept = fleet.accept(begin)
    assert [await fleet.done(accept) for _ in range(2)] == ["accepted", "accepted"]
    assert await fleet.done(begin) == "accepted"
    assert await fleet.done(Cancel(**fleet.me(A), transfer=begin.transfer)) == "accepted"
    assert await fleet.done(Reject(**fleet.me(B), transfer=begin.transfer, reason="late")) == "accepted"
    assert len((await fleet.journal(A)).entries) == len((await fleet.journal(B)).entries) == 1
    assert (await admin.counters())["started_transfers"] == 1


async def test_accept_before_begin_is_not_yet(fleet: Fleet) -> None:
    begin = fleet.begin()
    assert await fleet.done(fleet.accept(begin)) == "not yet"
    await fleet.done(begin)
    assert await fleet.done(fleet.accept(begin)) == "accepted"


async def test_accept_needs_the_source_epoch_to_be_current(fleet: Fleet) -> None:
    begin = fleet.begin()
    await fleet.done(begin)
    await fleet.recover(A)
    assert await fleet.done(fleet.accept(begin)) == "decided"
    assert (await fleet.journal(B)).entries == ()


async def test_accept_needs_the_target_epoch_to_be_current(fleet: Fleet) -> None:
    begin = fleet.begin()
    accept = fleet.accept(begin)
    await fleet.done(begin)
    await fleet.recover(B)
    refused = await fleet.ask(accept, Refused)
    assert refused.reason is RefusedReason.EPOCH
    assert refused.detail == str(fleet.epochs[B])


async def test_accept_of_an_unclaimed_cell_rejects(fleet: Fleet, admin: FleetAdmin) -> None:
    begin = fleet.begin()
    await fleet.done(begin)
    await fleet.done(Claim(**fleet.me(B), layout_version=1, cells=()))
    assert await fleet.done(fleet.accept(begin)) == "rejected"
    assert await fleet.done(begin) == "decided"
    assert (await admin.counters())["rejected_entities"] == 2


async def test_only_accepted_transfers_are_adopted(fleet: Fleet) -> None:
    begin = fleet.begin()
    await fleet.done(begin)
    assert await fleet.done(Adopted(**fleet.me(B), transfer=begin.transfer)) == "started"
    assert await HandoffTransferManifest(fleet.store).holders(5) == {A}


async def test_decided_floor_advances_over_gaps(fleet: Fleet) -> None:
    for sequence in (2, 4, 3):
        await fleet.done(Cancel(**fleet.me(A), transfer=TransferId(A, fleet.epochs[A], sequence)))
    key = f"{fleet.store.prefix}decided:{A}:{fleet.epochs[A]}"
    assert sorted((await fleet.store.call([("HKEYS", key)]))[0]) == [b"2", b"3", b"4"]
    await fleet.done(Cancel(**fleet.me(A), transfer=TransferId(A, fleet.epochs[A], 1)))
    assert (await fleet.store.call([("HGETALL", key)]))[0] == [b"floor", b"4"]
    assert [await fleet.done(fleet.begin(n)) for n in (1, 2, 3, 4, 5)] == ["decided"] * 4 + ["started"]


# --- RECOVER and RESIGN ----------------------------------------------------------------------------------------


async def test_recover_raises_the_epoch_and_never_hands_one_out_twice(fleet: Fleet) -> None:
    assert fleet.epochs[A] == START_US
    assert (await fleet.recover(A, unix_us=5)).epoch == START_US + 1
    assert (await fleet.recover(A, unix_us=START_US + 50)).epoch == START_US + 50


async def test_recover_cancels_what_was_started(fleet: Fleet, admin: FleetAdmin) -> None:
    await fleet.recover(C)
    mine, theirs, others = fleet.begin(1), fleet.begin(1, source=B, target=A), fleet.begin(2, source=B, target=C)
    await fleet.store.execute([mine, theirs, others])
    former = fleet.epochs[A]
    await fleet.recover(A)
    assert await keys_of(fleet.store, "record:") == [f"record:{others.transfer}"]
    assert await fleet.done(theirs) == "decided"
    assert (await fleet.ask(mine, Refused)).reason is RefusedReason.EPOCH
    assert f"decided:{A}:{former}" not in await keys_of(fleet.store, "decided:")
    assert (await admin.counters())["canceled_transfers"] == 2


async def test_recover_of_the_source_takes_it_out_of_the_holders(fleet: Fleet, admin: FleetAdmin) -> None:
    open_one, adopted_one = fleet.begin(1, ids=(5,)), fleet.begin(2, ids=(6,))
    for begin in (open_one, adopted_one):
        await fleet.store.execute([begin, fleet.accept(begin)])
    await fleet.done(Adopted(**fleet.me(B), transfer=adopted_one.transfer))
    await fleet.recover(A)
    manifest = HandoffTransferManifest(fleet.store)
    assert await manifest.holders(5) == frozenset()
    assert await manifest.holders(6) is None, "the target holds it alone: cleared"
    assert (await admin.counters())["completed_transfers"] == 1
    assert await fleet.done(Adopted(**fleet.me(B), transfer=open_one.transfer)) == "cleared"


async def test_recover_of_the_target_takes_its_accepted_over(fleet: Fleet) -> None:
    begin = fleet.begin()
    await fleet.store.execute([begin, fleet.accept(begin)])
    recovered = await fleet.recover(B)
    assert recovered.accepted_incoming == (begin.transfer,)
    assert await fleet.done(fleet.accept(begin)) == "accepted"
    (active,) = await HandoffTransferManifest(fleet.store).active()
    assert active.target_epoch == recovered.epoch
    assert await fleet.done(Released(**fleet.me(A), transfer=begin.transfer)) == "released"
    assert await fleet.done(Adopted(**fleet.me(B), transfer=begin.transfer)) == "cleared"


async def test_recover_leaves_lease_journal_and_manifest_and_takes_the_claims(fleet: Fleet) -> None:
    await fleet.done(fleet.spawn(B, 1, 2))
    await fleet.ask(fleet.publish(A, 7), Entries)
    recovered = await fleet.recover(A)
    assert 0 < recovered.lease_left_ms <= LEASE_MS
    observed = await fleet.ask(Observe(), Observed)
    assert list(observed.claims) == [CELL_OF[B]]
    assert [member.living for member in observed.members] == [False, True]
    refused = await fleet.ask(Renew(**fleet.me(A), ttl_ms=1000), Refused)
    assert refused.reason is RefusedReason.HELD
    assert 0 < refused.wait_ms <= LEASE_MS
    records = await fleet.ask(ReadFleet(), FleetRecords)
    assert (records.records[0].header, records.records[0].chunks) == ('{"tick":7}', (b"rows",))
    assert records.records[0].entries[0].rows == b"rr"
    await fleet.done(Ended(shard=A, epoch=fleet.epochs[A] - 1))
    assert await fleet.done(Renew(**fleet.me(A), ttl_ms=60_000)) == "ok"


async def test_ended_spares_the_lease_of_an_older_process_that_may_live_on(fleet: Fleet) -> None:
    old = fleet.epochs[A]
    recovered = await fleet.ask(Recover(shard=A, ordinal=0, address="h", unix_us=old + 10), Recovered)
    await fleet.done(Ended(shard=A, epoch=recovered.epoch))
    again = await fleet.ask(Recover(shard=A, ordinal=0, address="h", unix_us=old + 20), Recovered)
    assert again.lease_left_ms > 0, "the successor still waits for it"


async def test_ended_spares_a_newer_lease(fleet: Fleet) -> None:
    await fleet.done(Ended(shard=A, epoch=fleet.epochs[A] - 1))
    assert (await fleet.ask(Observe(), Observed)).members[0].living
    await fleet.done(Ended(shard=A, epoch=0))
    assert not (await fleet.ask(Observe(), Observed)).members[0].living


async def test_resign_is_refused_while_something_is_open(fleet: Fleet) -> None:
    begin = fleet.begin()
    await fleet.done(begin)
    for shard in (A, B):
        refused = await fleet.ask(Resign(**fleet.me(shard)), Refused)
        assert (refused.reason, refused.detail) == (RefusedReason.BUSY, str(begin.transfer))
    await fleet.done(fleet.accept(begin))
    await fleet.done(Adopted(**fleet.me(B), transfer=begin.transfer))
    await fleet.done(Released(**fleet.me(A), transfer=begin.transfer))
    refused = await fleet.ask(Resign(**fleet.me(B)), Refused)
    assert refused.reason is RefusedReason.BUSY
    assert refused.detail.startswith("in ")
    assert await fleet.done(Resign(**fleet.me(A))) == "ok", "an 'out' is nothing that could be lost"
    (came,) = (await fleet.journal(B)).entries
    await fleet.ask(fleet.publish(B, 101, position=came.id), Entries)
    assert await fleet.done(Resign(**fleet.me(B))) == "ok"


async def test_a_shard_that_resigned_leaves_nothing_that_its_successor_waits_for(fleet: Fleet) -> None:
    await fleet.ask(fleet.publish(A, 3), Entries)
    await fleet.done(Resign(**fleet.me(A)))
    observed = await fleet.ask(Observe(), Observed)
    assert [member.shard for member in observed.members] == [B]
    assert list(observed.claims) == [CELL_OF[B]]
    resigned = await fleet.store.call([("HEXISTS", f"{fleet.store.prefix}meta", f"resigned:{A}")])
    assert (await fleet.recover(A)).lease_left_ms == 0
    assert (resigned, await fleet.store.call([("HEXISTS", f"{fleet.store.prefix}meta", f"resigned:{A}")])) == ([1], [0])
    await fleet.live(A)
    await fleet.ask(fleet.publish(A, 1), Entries)


# --- manifest and journal --------------------------------------------------------------------------------------


async def test_an_older_manifest_is_refused(fleet: Fleet) -> None:
    await fleet.ask(fleet.publish(A, 10), Entries)
    for tick in (9, 10):
        refused = await fleet.ask(fleet.publish(A, tick, header="late", chunks=TOO_LARGE_TO_INLINE), Refused)
        assert (refused.reason, refused.detail) == (RefusedReason.OLDER, f"{fleet.epochs[A]} 10")
    assert await keys_of(fleet.store, "stage:") == []
    await fleet.recover(A)
    await fleet.ask(fleet.publish(A, 2, header="new epoch", chunks=()), Entries)
    record = (await fleet.ask(ReadFleet(), FleetRecords)).records[0]
    assert (record.header, record.chunks) == ("new epoch", ())
    assert await keys_of(fleet.store, "chunk:") == []


async def test_trim_goes_exactly_through_the_position(fleet: Fleet) -> None:
    for entity in range(6):
        await fleet.done(fleet.spawn(A, entity))
    ids = [entry.id for entry in (await fleet.journal(A)).entries]
    left = await fleet.ask(fleet.publish(A, 1, position=ids[2], read_after=ids[3]), Entries)
    assert [entry.id for entry in left.entries] == ids[4:]
    assert [entry.id for entry in (await fleet.journal(A)).entries] == ids[3:]
    (rows,) = await fleet.store.call([("HKEYS", f"{fleet.store.prefix}rows:{A}")])
    assert sorted(rows) == sorted(entry.encode() for entry in ids[3:])
    # A manifest whose position lies further back trims nothing more.
    await fleet.ask(fleet.publish(A, 2, position=ids[0]), Entries)
    assert len((await fleet.journal(A)).entries) == 3


async def test_trim_and_reads_of_a_long_journal(fleet: Fleet) -> None:
    await fleet.store.execute([fleet.spawn(A, entity) for entity in range(1300)])
    first = (await fleet.journal(A)).entries
    assert len(first) == 512
    second = (await fleet.journal(A, first[-1].id)).entries
    third = (await fleet.journal(A, second[-1].id)).entries
    assert (len(second), len(third)) == (512, 276)
    left = await fleet.ask(fleet.publish(A, 1, position=third[10].id, read_after=third[12].id), Entries)
    assert [entry.id for entry in left.entries] == [entry.id for entry in third[13:]]
    lengths = await fleet.store.call(
        [("XLEN", f"{fleet.store.prefix}journal:{A}"), ("HLEN", f"{fleet.store.prefix}rows:{A}")]
    )
    assert lengths == [265, 265]


async def test_chunks_are_replaced_as_a_whole(fleet: Fleet) -> None:
    small, large = (b"x" * 300,), tuple(bytes([n]) * 250_000 for n in range(4))
    for tick, chunks in enumerate((small, large, small, (b"y" * 300_000,)), start=1):
        await fleet.ask(fleet.publish(A, tick, chunks=chunks), Entries)
        assert (await fleet.ask(ReadFleet(), FleetRecords)).records[0].chunks == chunks
        assert len(await keys_of(fleet.store, "chunk:")) == len(chunks)
    assert await keys_of(fleet.store, "stage:") == []


# --- generation ------------------------------------------------------------------------------------------------


async def test_every_guarded_request_is_refused_under_another_generation(fleet: Fleet) -> None:
    begin = fleet.begin()
    requests = [
        Recover(shard=A, ordinal=0, address="", unix_us=0),
        Renew(**fleet.me(A), ttl_ms=1),
        Resign(**fleet.me(A)),
        begin,
        fleet.accept(begin),
        Cancel(**fleet.me(A), transfer=begin.transfer),
        fleet.publish(A, 1),
        fleet.spawn(A, 1),
        Elect(**fleet.me(A), ttl_ms=1),
    ]
    joined, fleet.store.generation = fleet.store.generation, "0" * 40
    replies = await fleet.store.execute(requests)
    fleet.store.generation = joined
    assert {reply.reason for reply in replies if isinstance(reply, Refused)} == {RefusedReason.GENERATION}
    assert len(replies) == len(requests)
    assert await keys_of(fleet.store, "record:") == await keys_of(fleet.store, "manifest:") == []
