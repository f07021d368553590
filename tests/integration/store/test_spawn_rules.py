"""How entities come and go, and who brings them: the scripts' rules on real servers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from shardfleet_shard.core.journal_requests import EntryKind
from shardfleet_shard.core.requests import (
    Claim,
    Elect,
    Elected,
    Ended,
    LinkLease,
    Observe,
    Observed,
    Refused,
    RefusedReason,
    Renew,
    Resign,
)
from shardfleet_shard.core.spawn_requests import Arrive, Despawn, Seed, SpawnGroup
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.redis_store import RedisStore

from .fleet import CELL_OF, A, B, Fleet, ids_of, keys_of, versions_of


@pytest.fixture
async def fleet(store: RedisStore) -> Fleet:
    return await Fleet.start(store, A, B)


async def test_spawn_is_all_or_nothing(fleet: Fleet, admin: FleetAdmin) -> None:
    whole = fleet.spawn(B, 1, 2**64 - 1)
    assert await fleet.done(whole) == "ok"
    unclaimed = replace(whole, groups=(*fleet.spawn(A, 3).groups, *fleet.spawn(A, 4, cell="nowhere").groups))
    refused = await fleet.ask(unclaimed, Refused)
    assert (refused.reason, refused.detail) == (RefusedReason.UNCLAIMED, "nowhere")
    for ids, doubled in (((7, 2**64 - 1), 2**64 - 1), ((8, 9, 8), 8)):
        refused = await fleet.ask(fleet.spawn(B, *ids), Refused)
        assert (refused.reason, refused.detail) == (RefusedReason.DUPLICATE, str(doubled))
    assert (await admin.living_ids()).tolist() == [1, 2**64 - 1]
    assert await admin.entities_expected() == 2
    assert len((await fleet.journal(A)).entries) == 1


async def test_spawn_needs_a_claimant_that_lives(fleet: Fleet) -> None:
    await fleet.done(Ended(shard=A, epoch=0))
    assert (await fleet.ask(fleet.spawn(B, 1), Refused)).reason is RefusedReason.UNCLAIMED


async def test_despawned_ids_stay_taken_for_a_minute(fleet: Fleet, admin: FleetAdmin) -> None:
    await fleet.done(fleet.spawn(B, 1, 2, 300))
    despawn = Despawn(**fleet.me(A), ids=ids_of(300, 77, 1), versions=versions_of(9, 8, 7))
    assert [await fleet.done(despawn) for _ in range(2)] == ["ok", "ok"]
    spawned, despawned = (await fleet.journal(A)).entries
    assert (spawned.kind, spawned.tick, spawned.offer_tick, spawned.count) == (EntryKind.SPAWN, 50, 49, 3)
    assert (despawned.kind, despawned.ids, despawned.versions) == (
        EntryKind.DESPAWN,
        ids_of(300, 1),
        versions_of(9, 7),
    )
    assert (await admin.living_ids()).tolist() == [2]
    refused = await fleet.ask(fleet.spawn(B, 300), Refused)
    assert (refused.reason, refused.detail) == (RefusedReason.DUPLICATE, "300")
    # As if 60 s had passed:
    gone = f"{fleet.store.prefix}gone"
    await fleet.store.call([("ZINCRBY", gone, -60_001, ids_of(300))])
    assert await fleet.done(fleet.spawn(B, 300)) == "ok"
    assert (await fleet.store.call([("ZRANGE", gone, 0, -1)]))[0] == [ids_of(1)]
    assert (await admin.counters())["despawned"] == 2


async def test_a_despawned_id_stays_taken_while_a_journal_may_hold_it(fleet: Fleet) -> None:
    """The shard that despawned it is down: its journal has had an entry for longer than a minute."""
    await fleet.done(fleet.spawn(B, 300))
    await fleet.done(Despawn(**fleet.me(A), ids=ids_of(300), versions=versions_of(9)))
    prefix = fleet.store.prefix
    await fleet.store.call(
        [
            ("ZINCRBY", f"{prefix}gone", -600_000, ids_of(300)),
            ("HSET", f"{prefix}epoch", "arena-9", 1),
            ("XADD", f"{prefix}journal:arena-9", "5-0", "kind", "despawn"),
        ]
    )
    assert (await fleet.ask(fleet.spawn(B, 300), Refused)).reason is RefusedReason.DUPLICATE
    await fleet.store.call([("DEL", f"{prefix}journal:arena-9")])
    assert await fleet.done(fleet.spawn(B, 300)) == "ok"


async def test_seed_happens_once_in_a_life(fleet: Fleet) -> None:
    seed = Seed(**fleet.me(A), origin_tick=1234, groups=fleet.spawn(A, 1, 2).groups)
    assert (await fleet.ask(seed, Refused)).reason is RefusedReason.NOT_OWNER
    assert await fleet.ask(Elect(**fleet.me(A), ttl_ms=60_000), Elected) == Elected(shard=A, epoch=fleet.epochs[A])
    assert await fleet.done(seed) == "ok"
    assert (await fleet.ask(seed, Refused)).reason is RefusedReason.SEEDED
    observed = await fleet.ask(Observe(), Observed)
    assert (observed.seeded, observed.origin_tick, observed.arrivals_through) == (True, 1234, -1)


async def test_a_world_begins_when_all_of_it_is_claimed(fleet: Fleet) -> None:
    await fleet.ask(Elect(**fleet.me(A), ttl_ms=60_000), Elected)
    nobody_s = SpawnGroup(cell="nobody's", count=0, ids=b"", rows=b"", tick=1)
    refused = await fleet.ask(Seed(**fleet.me(A), origin_tick=1, groups=(nobody_s,)), Refused)
    assert (refused.reason, refused.detail) == (RefusedReason.UNCLAIMED, "nobody's")
    empty = replace(fleet.spawn(A, 1).groups[0], count=0, ids=b"", rows=b"")
    assert await fleet.done(Seed(**fleet.me(A), origin_tick=1, groups=(empty,))) == "ok"
    assert not (await fleet.journal(A)).entries


async def test_seed_is_refused_where_something_lives(fleet: Fleet) -> None:
    await fleet.ask(Elect(**fleet.me(A), ttl_ms=60_000), Elected)
    await fleet.done(fleet.spawn(A, 9))
    refused = await fleet.ask(Seed(**fleet.me(A), origin_tick=1, groups=()), Refused)
    assert refused.reason is RefusedReason.SEEDED


async def test_arrivals_come_exactly_once(fleet: Fleet, admin: FleetAdmin) -> None:
    await fleet.ask(Elect(**fleet.me(A), ttl_ms=60_000), Elected)
    first = Arrive(**fleet.me(A), after=-1, through=4, groups=fleet.spawn(A, 1).groups)
    assert await fleet.done(first) == "ok"
    refused = await fleet.ask(first, Refused)
    assert (refused.reason, refused.detail) == (RefusedReason.OLDER, "4")
    assert await fleet.done(Arrive(**fleet.me(A), after=4, through=9, groups=())) == "ok"
    other = Arrive(**fleet.me(B), after=9, through=10, groups=())
    assert (await fleet.ask(other, Refused)).reason is RefusedReason.NOT_OWNER
    assert (await admin.living_ids()).tolist() == [1]


async def test_the_lowest_living_ordinal_is_elected_and_stays(fleet: Fleet) -> None:
    nobody = Elected(shard="", epoch=0)
    assert await fleet.ask(Elect(**fleet.me(B), ttl_ms=60_000), Elected) == nobody
    await fleet.done(Ended(shard=A, epoch=0))
    of_b = Elected(shard=B, epoch=fleet.epochs[B])
    assert await fleet.ask(Elect(**fleet.me(B), ttl_ms=60_000), Elected) == of_b
    await fleet.live(A)
    assert await fleet.ask(Elect(**fleet.me(A), ttl_ms=60_000), Elected) == of_b
    await fleet.done(Ended(shard=B, epoch=0))
    assert (await fleet.ask(Elect(**fleet.me(A), ttl_ms=60_000), Elected)).shard == A


async def test_claims_of_a_dead_epoch_can_be_taken(fleet: Fleet) -> None:
    takes = Claim(**fleet.me(B), layout_version=1, cells=(CELL_OF[A], CELL_OF[B]))
    refused = await fleet.ask(takes, Refused)
    assert (refused.reason, refused.detail) == (RefusedReason.HELD, A)
    stale = await fleet.ask(replace(takes, layout_version=2), Refused)
    assert (stale.reason, stale.detail) == (RefusedReason.LAYOUT, "1")
    await fleet.recover(A)
    assert await fleet.done(takes) == "ok"
    assert {owner for owner, _ in (await fleet.ask(Observe(), Observed)).claims.values()} == {B}


async def test_link_lease_belongs_to_the_pair(fleet: Fleet) -> None:
    assert await fleet.done(LinkLease(**fleet.me(A), peer=B, ttl_ms=60_000)) == "ok"
    refused = await fleet.ask(LinkLease(**fleet.me(B), peer=A, ttl_ms=60_000), Refused)
    assert (refused.reason, refused.detail) == (RefusedReason.HELD, A)
    assert 0 < refused.wait_ms <= 60_000
    assert await fleet.done(LinkLease(**fleet.me(A), peer=B, ttl_ms=0)) == "ok"
    assert await fleet.done(LinkLease(**fleet.me(B), peer=A, ttl_ms=50)) == "ok"
    await asyncio.sleep(0.06)  # Redis' own clock lets it run out
    assert await fleet.done(LinkLease(**fleet.me(A), peer=B, ttl_ms=60_000)) == "ok"


async def test_a_resigned_epoch_never_comes_back(fleet: Fleet) -> None:
    await fleet.done(Resign(**fleet.me(B)))
    begin = fleet.begin(ids=(5,))  # by a source that has not seen it yet
    await fleet.done(begin)
    assert await fleet.done(Resign(**fleet.me(B))) == "ok", "the answer was lost: it is the same one again"
    refused = await fleet.ask(Renew(**fleet.me(B), ttl_ms=3000), Refused)
    assert refused.reason is RefusedReason.HELD, "a late renewal would make the successor wait"
    assert await keys_of(fleet.store, "lease:") == [f"lease:{A}"]
