"""Each verdict's repair on a real Valkey; two watchdogs, and one that is very late, do no harm."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from shardfleet_operator.watchdog import RepairingStore, VerdictKind, Watchdog
from shardfleet_shard.core.repair_requests import Overdue, ReadOverdue, Repair
from shardfleet_shard.core.requests import Outcome
from shardfleet_shard.store.admin import FleetAdmin

from tests.integration.servers import RedisServer, redis_server

from .test_watchdog import THRESHOLD_US, FakeClock, audit_twice
from .world import S, T, World, world

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def fleet(server: RedisServer) -> AsyncIterator[World]:
    async with world(server.url, f"repaired-{next(_numbers)}") as made:
        yield made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def counted(fleet: World) -> dict[str, int]:
    counters = await FleetAdmin(fleet.store).counters()
    return {name: counters[f"{name}_entities"] for name in ("completed", "canceled", "repaired")}


async def test_a_started_one_is_canceled_once_by_two_watchdogs(fleet: World, clock: FakeClock) -> None:
    transfer = await fleet.begin({1: 2, 2: 2}, clock.now_us - THRESHOLD_US - 1)
    first, second = Watchdog(RepairingStore(fleet.store), clock), Watchdog(RepairingStore(fleet.store), clock)
    for _ in range(2):
        await asyncio.gather(first.audit_once(), second.audit_once())
    assert await counted(fleet) == {"completed": 0, "canceled": 2, "repaired": 2}
    over = [*await first.audit_once(), *await second.audit_once()]
    assert {finding.verdict.kind for finding in over} == {VerdictKind.STALLED_TRANSFER}
    assert sorted(finding.repair for finding in over) == ["", "canceled"]  # one of them did it
    assert sum(one.counts.repairs.get("canceled", 0) for one in (first, second)) == 1
    # Both sides find it decided, so the entity stays where it is.
    assert await fleet.cancel(transfer) is Outcome.CANCELED
    assert await RepairingStore(fleet.store).repair(Repair(transfer=transfer)) is Outcome.DECIDED
    assert await counted(fleet) == {"completed": 0, "canceled": 2, "repaired": 2}


async def test_a_record_left_behind_is_cleared(fleet: World, clock: FakeClock) -> None:
    transfer = await fleet.begin({1: 2}, clock.now_us - THRESHOLD_US - 1)
    await fleet.accept(transfer, {1: 2})
    await fleet.adopt(transfer)
    await fleet.store.call([("SREM", f"{fleet.store.prefix}holders:{transfer}", S)])
    watchdog = Watchdog(RepairingStore(fleet.store), clock)
    [due] = await audit_twice(watchdog)
    assert due.verdict.kind is VerdictKind.CLEAR_DUE
    [over] = await watchdog.audit_once()
    assert over.repair == "cleared"
    assert (watchdog.counts.verdicts, watchdog.counts.repairs) == ({"CLEAR_DUE": 1}, {"cleared": 1})
    assert await counted(fleet) == {"completed": 1, "canceled": 0, "repaired": 1}
    assert await fleet.store.call([("ZCARD", f"{fleet.store.prefix}active")]) == [0]


@pytest.mark.parametrize("released", [False, True])
async def test_an_accepted_one_is_never_undone(fleet: World, clock: FakeClock, *, released: bool) -> None:
    transfer = await fleet.begin({1: 2}, clock.now_us - THRESHOLD_US - 1)
    slow = Watchdog(RepairingStore(fleet.store), clock)
    await slow.audit_once()  # it saw the transfer started, and acts on that only now
    await fleet.accept(transfer, {1: 2})
    if released:
        await fleet.release(transfer)
    assert await RepairingStore(fleet.store).repair(Repair(transfer=transfer)) is Outcome.ACCEPTED
    await audit_twice(slow)
    assert await counted(fleet) == {"completed": 0, "canceled": 0, "repaired": 0}
    await fleet.adopt(transfer)
    if not released:
        await fleet.release(transfer)
    assert await counted(fleet) == {"completed": 1, "canceled": 0, "repaired": 0}


async def test_a_shard_reads_its_own_overdue_records_alone(fleet: World, clock: FakeClock) -> None:
    old = await fleet.begin({1: 2}, clock.now_us - 1)
    await fleet.begin({2: 2}, clock.now_us + 1)
    await fleet.accept(old, {1: 2})
    [mine], [theirs] = [
        reply.transfers
        for reply in await fleet.store.execute(
            [ReadOverdue(shard=shard, epoch=fleet.epochs[shard], through_us=clock.now_us) for shard in (S, T)]
        )
        if isinstance(reply, Overdue)
    ]
    assert (mine.transfer, mine.target, mine.accepted, mine.held) == (old, T, True, True)
    assert (theirs.transfer, theirs.accepted, theirs.held) == (old, True, False)


async def test_nothing_is_repaired_on_a_redis_that_restarted(fleet: World) -> None:
    transfer = await fleet.begin({1: 2}, 1_000)
    await fleet.store.call([("HSET", f"{fleet.store.prefix}meta", "generation", "another")])
    assert await RepairingStore(fleet.store).repair(Repair(transfer=transfer)) is None
    assert await fleet.store.call([("ZCARD", f"{fleet.store.prefix}active")]) == [1]
