"""Faults put into a real Valkey by hand, and what the census makes of them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from shardfleet_operator.census import Census
from shardfleet_operator.watchdog import RepairingStore, Watchdog
from shardfleet_shard.core.census_requests import RemoveCopy, RestoreEntity
from shardfleet_shard.core.journal_requests import EntryKind, JournalEntry
from shardfleet_shard.core.requests import Done, Outcome, Refused, RefusedReason
from shardfleet_shard.store.admin import FleetAdmin

from tests.integration.servers import RedisServer, redis_server

from .test_watchdog import FakeClock
from .world import SWITCH_TICK, S, T, World, rows, world

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def fleet(server: RedisServer) -> AsyncIterator[World]:
    async with world(server.url, f"counted-{next(_numbers)}") as made:
        yield made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def journal(fleet: World, shard: str) -> list[JournalEntry]:
    (record,) = await fleet.store.read_shards([shard])
    return list(record.entries)


async def count_until_sure(fleet: World, clock: FakeClock, *watchdogs: Watchdog) -> Census:
    """Two censuses each, with a manifest in between: one proves nothing."""
    for _ in range(2):
        await fleet.publish(T, {50: 1})
        clock.now_us += 2_000_000
        for watchdog in watchdogs:
            counted = await watchdog.census_once()
    return counted


async def handed_over_and_lost(fleet: World) -> None:
    """S gave 1 to T, whose journal has lost the entry; S's manifest still shows the row as it was."""
    await fleet.spawn(S, {1: 1, 2: 1})
    await fleet.spawn(T, {50: 1})
    await fleet.publish(S, {1: 1, 2: 1})
    transfer = await fleet.begin({1: 2}, 1_000)
    await fleet.accept(transfer, {1: 2})
    [gone] = [entry for entry in await journal(fleet, T) if entry.kind is EntryKind.IN]
    await fleet.store.call([("XDEL", f"{fleet.store.prefix}journal:{T}", gone.id)])


async def test_a_damaged_record_is_named_and_nothing_is_restored_as_long_as_it_stands(
    fleet: World, clock: FakeClock
) -> None:
    """What is missing may be in the rest of it. S lives: its next manifest replaces it, and the row comes back."""
    await handed_over_and_lost(fleet)
    prefix = fleet.store.prefix
    epoch, tick = (await fleet.store.call([("HMGET", f"{prefix}manifest:{S}", "epoch", "tick")]))[0]
    header = (await fleet.store.call([("HGET", f"{prefix}manifest:{S}", "header")]))[0]
    await fleet.store.call([("HSET", f"{prefix}manifest:{S}", "header", header.replace(b'"count"', b'"coun4"'))])
    said: list[str] = []
    watchdog = Watchdog(RepairingStore(fleet.store), clock, say=said.append)
    counted = await count_until_sure(fleet, clock, watchdog)
    assert [damage.key for damage in counted.damages] == [f"manifest:{S}"]
    assert said[0] == (
        f"census: damaged in Redis, and left out: {prefix}manifest:{S}: "
        "the header is damaged: its checksum does not match"
    )
    assert await watchdog.audit_once() == [] and watchdog.counts.repairs == {}
    await fleet.store.call([("HSET", f"{prefix}manifest:{S}", "header", header)])
    chunk = f"{prefix}chunk:{S}:{epoch.decode()}:{tick.decode()}:1"
    whole = (await fleet.store.call([("GET", chunk)]))[0]
    await fleet.store.call([("SET", chunk, whole[:-1])])
    assert [damage.key for damage in (await watchdog.census_once()).damages] == [chunk.removeprefix(prefix)]
    await fleet.store.call([("SET", chunk, whole)])
    await fleet.publish(T, {50: 1})
    clock.now_us += 2_000_000
    await watchdog.census_once()
    assert "census: no record is damaged any more" in said, said
    assert watchdog.counts.repairs == {"restored": 1}, said


async def test_a_row_that_is_nowhere_comes_back_from_its_sources_copy(fleet: World, clock: FakeClock) -> None:
    await handed_over_and_lost(fleet)
    said: list[str] = []
    store = RepairingStore(fleet.store)
    watchdogs = [Watchdog(store, clock, say=said.append), Watchdog(store, clock, say=said.append)]
    counted = await count_until_sure(fleet, clock, *watchdogs)
    restored = [entry for entry in await journal(fleet, T) if entry.kind is EntryKind.RESTORE]
    assert [(entry.count, entry.tick, entry.rows) for entry in restored] == [(1, SWITCH_TICK, rows({1: 2}).pack())]
    assert [word for word in said if "restored" in word] == [
        f"census: entity 1 is restored to {T}, as of tick {fleet.tick - 2}"
    ]
    assert counted.missing.tolist() in ([1], [])  # the second watchdog read it after the first had restored it
    after = await watchdogs[0].census_once()
    assert (after.missing.tolist(), after.owned) == ([], 3)
    assert (await FleetAdmin(fleet.store).counters())["repaired_entities"] == 1
    assert sum(one.counts.repairs.get("restored", 0) for one in watchdogs) == 1


async def test_the_script_looks_again(fleet: World) -> None:
    await handed_over_and_lost(fleet)
    restore = RestoreEntity(owner=T, entity=1, version=2, tick=100, offer_tick=11, row=rows({1: 2}).pack())

    async def ask(request: RestoreEntity | RemoveCopy) -> Done | Refused:
        (reply,) = await fleet.store.execute([request])
        assert isinstance(reply, Done | Refused)
        return reply

    await fleet.store.call([("HSET", f"{fleet.store.prefix}epoch", "arena-2", 7)])
    unborn = RestoreEntity(owner=T, entity=77, version=2, tick=100, offer_tick=11, row=rows({77: 2}).pack())
    assert await ask(unborn) == Done(outcome=Outcome.DECIDED)
    older = RestoreEntity(owner=T, entity=1, version=1, tick=100, offer_tick=11, row=rows({1: 1}).pack())
    assert await ask(older) == Refused(reason=RefusedReason.OLDER, detail=S)
    await fleet.publish(T, {1: 2, 50: 1})  # it has it after all
    assert await ask(restore) == Refused(reason=RefusedReason.HELD, detail=T)
    await fleet.publish(T, {50: 1})
    assert await ask(restore) == Done(outcome=Outcome.OK)
    assert await ask(restore) == Refused(reason=RefusedReason.HELD, detail=T)


async def test_what_has_no_row_left_is_said_to_be_lost(fleet: World, clock: FakeClock) -> None:
    await handed_over_and_lost(fleet)
    await fleet.publish(S, {2: 1})
    said: list[str] = []
    watchdog = Watchdog(RepairingStore(fleet.store), clock, say=said.append)
    counted = await count_until_sure(fleet, clock, watchdog)
    assert counted.missing.tolist() == [1]
    assert said == ["census: 1 missing: 1; no row is left of 1"]


async def test_a_copy_goes_once_both_manifests_are_past_the_switch(fleet: World, clock: FakeClock) -> None:
    await fleet.spawn(S, {1: 1})
    await fleet.spawn(T, {50: 1})
    transfer = await fleet.begin({1: 2}, 1_000)
    await fleet.accept(transfer, {1: 2})
    await fleet.publish(S, {1: 1})  # it says that its ``out`` is applied, and shows the row all the same
    store, remove = RepairingStore(fleet.store), RemoveCopy(shard=S, owner=T, entity=1, tick=SWITCH_TICK)
    assert await store.repair(remove) is None
    fleet.tick = SWITCH_TICK
    await fleet.publish(S, {1: 1})
    assert await store.repair(remove) is None  # T's is not
    await fleet.publish(T, {1: 2, 50: 1})
    assert await store.repair(remove) is Outcome.OK
    assert await store.repair(remove) is None
    [left] = await journal(fleet, S)
    assert (left.kind, left.transfer, left.peer, left.tick) == (EntryKind.OUT, None, T, SWITCH_TICK)
    assert (left.ids, left.versions) == ((1).to_bytes(8, "little"), (2).to_bytes(4, "little"))
    assert (await Watchdog(store, clock).census_once()).doubled.tolist() == []


async def test_the_census_takes_a_copy_away(fleet: World, clock: FakeClock) -> None:
    await fleet.spawn(S, {1: 1})
    await fleet.spawn(T, {50: 1})
    said: list[str] = []
    watchdog = Watchdog(RepairingStore(fleet.store), clock, say=said.append)
    for _ in range(2):
        await fleet.publish(S, {1: 1})
        await fleet.publish(T, {1: 4, 50: 1})
        clock.now_us += 2_000_000
        await watchdog.census_once()
    assert said[-1] == f"census: the copy of entity 1 in {S} is taken away: it is {T}'s"
    assert (await watchdog.census_once()).doubled.tolist() == []
