"""The roll-call's rules one by one, on real servers: who is heard, what is kept, what is refused, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.journal_requests import EntryKind, FleetRecords, JournalEntry, ReadFleet
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.requests import Done, Joined, Observe, Observed, Refused, RefusedReason, Renew
from shardfleet_shard.core.roll_requests import CallRoll, Ready, Rejoin, Rolled, RollPhase, Statement, WorldKnown
from shardfleet_shard.errors import StoreUnavailable
from shardfleet_shard.process import wait_until_open
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.redis_store import RedisStore

from .fleet import A, B, Fleet, ids_of, versions_of

LONG_MS = 600_000
ROW_BYTES = 44


@pytest.fixture
async def fleet(store: RedisStore) -> Fleet:
    return await Fleet.start(store)


async def forget(store: RedisStore, *, everything: bool = False) -> None:
    """As after a restart: the data are of another generation, or there are none."""
    if everything:
        await FleetAdmin(store).delete_fleet()
    else:
        await store.call([("HSET", f"{store.prefix}meta", "generation", "of another life")])


def held(*ids: int) -> Statement:
    rows = ids_of(*ids) + versions_of(*[1] * len(ids)) + bytes((ROW_BYTES - 12) * len(ids))
    return Statement(
        owner="", entry=JournalEntry(id="", kind=EntryKind.HELD, count=len(ids), tick=9, offer_tick=8, rows=rows)
    )


def rejoin(fleet: Fleet, shard: str, *statements: Statement, **values: Any) -> Rejoin:
    own = tuple(replace(one, owner=one.owner or shard) for one in statements)
    defaults: dict[str, Any] = {"lease_ms": 60_000, "call_ms": LONG_MS, "world": WorldKnown(), "takes": ()}
    return Rejoin(
        **fleet.me(shard), tick=8, ordinal=0, address="h:1", schema_hash=7, schema="columns", statements=own,
        **(defaults | values),
    )  # fmt: skip


async def end_calling(store: RedisStore, *, ago_ms: int = 1) -> None:
    """A lease goes by."""
    ((seconds, _), text) = await store.call([("TIME",), ("HGET", f"{store.prefix}meta", "roll")])
    phase, _, call_ms = text.decode().split(" ")
    end_ms = int(seconds) * 1000 - ago_ms
    await store.call([("HSET", f"{store.prefix}meta", "roll", f"{phase} {end_ms} {call_ms}")])


async def phase(fleet: Fleet) -> RollPhase:
    return (await fleet.ask(CallRoll(call_ms=LONG_MS), Rolled)).phase


async def test_from_the_first_word_to_an_open_world(fleet: Fleet) -> None:
    await forget(fleet.store, everything=True)
    world = WorldKnown(layout_version=4, layout="{}", phase="settle", seeded=True, origin_tick=70, arrivals_through=5)
    assert await fleet.done(rejoin(fleet, A, held(1, 2), world=world)) == "ok"
    assert await phase(fleet) is RollPhase.CALLING
    assert await fleet.done(rejoin(fleet, B, held(300))) == "ok"
    assert (await fleet.ask(Ready(**fleet.me(A), sequence=0, open=()), Refused)).detail == "calling"
    await end_calling(fleet.store)
    assert await phase(fleet) is RollPhase.CLOSED
    assert await fleet.done(Ready(**fleet.me(A), sequence=0, open=())) == "ok"
    assert await phase(fleet) is RollPhase.CLOSED, "B has not concluded"
    assert await fleet.done(Ready(**fleet.me(B), sequence=0, open=())) == "ok"
    assert await phase(fleet) is RollPhase.OPEN
    assert await fleet.done(Ready(**fleet.me(B), sequence=0, open=())) == "ok", "its answer may have been lost"
    observed = await fleet.ask(Observe(), Observed)
    assert (observed.phase, observed.seeded, observed.origin_tick, observed.arrivals_through) == ("settle", True, 70, 5)
    assert [(member.shard, member.living) for member in observed.members] == [(A, True), (B, True)]
    assert (await FleetAdmin(fleet.store).living_ids()).tolist() == [1, 2, 300]
    assert await FleetAdmin(fleet.store).entities_expected() == 3


async def test_while_it_goes_on_only_leases_that_stand_are_renewed(fleet: Fleet) -> None:
    await forget(fleet.store)
    assert await fleet.done(rejoin(fleet, A)) == "ok"
    assert await fleet.done(rejoin(fleet, B, lease_ms=0)) == "ok"
    assert await fleet.done(Renew(**fleet.me(A), ttl_ms=60_000)) == "ok"
    begin = fleet.begin()
    for request in (Renew(**fleet.me(B), ttl_ms=60_000), begin, fleet.accept(begin), fleet.publish(A, 9)):
        assert (await fleet.ask(request, Refused)).reason is RefusedReason.CLOSED
    with pytest.raises(StoreUnavailable, match="roll-call"):
        await FleetAdmin(fleet.store).write_layout(Layout(version=9, cells=()))


async def test_an_older_process_is_not_heard_and_a_late_one_neither(fleet: Fleet) -> None:
    await forget(fleet.store)
    older = replace(rejoin(fleet, A, held(1)), epoch=fleet.epochs[A] - 1)
    assert (await fleet.ask(older, Refused)).reason is RefusedReason.EPOCH
    await end_calling(fleet.store)
    assert (await fleet.ask(rejoin(fleet, A, held(1)), Refused)).reason is RefusedReason.CLOSED
    assert (await FleetAdmin(fleet.store).living_ids()).tolist() == []


async def test_what_is_said_twice_stands_there_once(fleet: Fleet) -> None:
    await forget(fleet.store)
    for _ in range(2):
        assert await fleet.done(rejoin(fleet, A, held(1, 2))) == "ok"
    newer = replace(rejoin(fleet, A, held(1)), epoch=fleet.epochs[A] + 1)
    assert await fleet.done(newer) == "ok"
    records = {record.shard: record for record in (await fleet.ask(ReadFleet(), FleetRecords)).records}
    assert [(entry.kind, entry.count) for entry in records[A].entries] == [("held", 1)], "the successor knows more"


async def test_whoever_is_not_ready_in_time_can_only_recover(fleet: Fleet) -> None:
    await forget(fleet.store)
    for shard, lease_ms in ((A, 60_000), (B, 0)):
        assert await fleet.done(rejoin(fleet, shard, lease_ms=lease_ms)) == "ok"
    await end_calling(fleet.store)
    assert await phase(fleet) is RollPhase.CLOSED
    assert await fleet.done(Ready(**fleet.me(A), sequence=0, open=())) == "ok"
    assert await phase(fleet) is RollPhase.CLOSED
    await end_calling(fleet.store, ago_ms=LONG_MS + 1)
    assert await phase(fleet) is RollPhase.OPEN
    assert (await fleet.ask(fleet.publish(B, 9), Refused)).reason is RefusedReason.EPOCH
    assert (await fleet.recover(B)).epoch > fleet.epochs[A]


async def test_nobody_founds_a_world_in_a_redis_that_was_emptied_but_who_may(store: RedisStore) -> None:
    await forget(store, everything=True)
    assert (await store.join(founds=False)).stored == ""
    assert (await store.join(founds=True)).stored == store.generation


async def test_starting_shards_alone_open_the_world_after_a_lease(store: RedisStore) -> None:
    config = FleetConfig(name="a", replicas=1, world_low=(0.0, 0.0), world_high=(1.0, 1.0), lease_us=1_000_000)
    await forget(store, everything=True)
    await wait_until_open(store, config)
    (joined,) = [await store.join(founds=False)]
    assert isinstance(joined, Joined) and joined.stored == joined.generation


async def test_a_hundred_thousand_rows_in_bounded_pieces(fleet: Fleet) -> None:
    """Of ids that lie far apart: each has a bitmap of its own."""
    ids = (np.arange(1, 100_001, dtype=np.uint64) * np.uint64(1_000_003)).astype("<u8")
    pieces = []
    for part in np.array_split(ids, 20):
        rows = part.tobytes() + np.ones(len(part), "<u4").tobytes() + bytes((ROW_BYTES - 12) * len(part))
        entry = JournalEntry(id="", kind=EntryKind.HELD, count=len(part), tick=9, offer_tick=8, rows=rows)
        pieces.append(Statement(owner=A, entry=entry))
    await forget(fleet.store, everything=True)
    assert await fleet.done(rejoin(fleet, A, *pieces)) == "ok"
    records = (await fleet.ask(ReadFleet(), FleetRecords)).records
    assert [entry.rows for entry in records[0].entries] == [piece.entry.rows for piece in pieces]
    assert np.array_equal(await FleetAdmin(fleet.store).living_ids(), np.sort(ids))
    (left,) = await fleet.store.call([("KEYS", f"{fleet.store.prefix}stage:*")])
    assert left == []
    assert isinstance(await fleet.reply(Observe()), Observed)
    assert isinstance(await fleet.reply(Renew(**fleet.me(A), ttl_ms=60_000)), Done)
