"""The watchdog on a real Valkey, with transfers stopped by hand after each step."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from shardfleet_operator.watchdog import Finding, RepairingStore, VerdictKind, Watchdog
from shardfleet_shard.errors import StoreUnavailable
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.system_clock import SystemClock

from tests.integration.servers import RedisServer, redis_server
from tests.patience import PATIENCE_S

from .world import S, T, World, world

_numbers = itertools.count(1)
THRESHOLD_US = 1_500_000
SILENT = "nothing is audited while Redis does not answer"


class FakeClock:
    now_us = 1_700_000_000_000_000

    def now_unix_us(self) -> int:
        return self.now_us

    def boottime_us(self) -> int:
        return self.now_us


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server(also_allowed=["xrevrange"]) as running:
        yield running


@pytest.fixture
async def fleet(server: RedisServer) -> AsyncIterator[World]:
    async with world(server.limited_url, f"watched-{next(_numbers)}") as made:
        yield made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def audit_twice(watchdog: Watchdog) -> list[Finding]:
    return [*await watchdog.audit_once(), *await watchdog.audit_once()]


async def test_a_transfer_at_every_step(fleet: World, clock: FakeClock) -> None:
    await fleet.spawn(S, {1: 1})
    await fleet.publish(S, {1: 1})
    watchdog = Watchdog(RepairingStore(fleet.store), clock)
    switch_us = clock.now_us
    transfer = await fleet.begin({1: 2}, switch_us)

    clock.now_us = switch_us + THRESHOLD_US
    assert await audit_twice(watchdog) == []  # not a microsecond before its time
    clock.now_us += 1
    [stalled] = await audit_twice(watchdog)
    assert (stalled.verdict.kind, stalled.verdict.state) == (VerdictKind.STALLED_TRANSFER, "started")
    assert (stalled.verdict.holders, stalled.verdict.entities) == ((S,), 1)
    assert f"{S} lives and was last seen at tick {fleet.tick}, before the switch" in stalled.verdict.meaning

    [canceled] = await watchdog.audit_once()
    assert (canceled.verdict.transfer, canceled.repair) == (transfer, "canceled")

    transfer = await fleet.begin({1: 2}, switch_us)
    await fleet.accept(transfer, {1: 2})
    [stalled] = await audit_twice(watchdog)
    assert (stalled.verdict.kind, stalled.verdict.state) == (VerdictKind.STALLED_TRANSFER, "accepted")

    await fleet.release(transfer)
    [limbo] = await audit_twice(watchdog)
    assert (limbo.verdict.kind, limbo.verdict.holders) == (VerdictKind.LIMBO, ())
    assert f"{T} never published" in limbo.verdict.meaning

    await fleet.adopt(transfer)
    [resolved] = await watchdog.audit_once()
    assert (resolved.verdict.kind, resolved.resolved_us) == (VerdictKind.LIMBO, clock.now_us)
    assert watchdog.book.standing == {} and watchdog.book.total == 3


async def test_two_holders_and_a_record_left_behind(fleet: World, clock: FakeClock) -> None:
    await fleet.spawn(S, {1: 1})
    transfer = await fleet.begin({1: 2}, clock.now_us)
    await fleet.accept(transfer, {1: 2})
    await fleet.adopt(transfer)
    clock.now_us += THRESHOLD_US + 1
    watchdog = Watchdog(RepairingStore(fleet.store), clock)
    [dual] = await audit_twice(watchdog)
    assert (dual.verdict.kind, dual.verdict.holders) == (VerdictKind.DUAL_AUTHORITY, (S, T))

    # No script leaves this behind, but a person with redis-cli can.
    await fleet.store.call([("SREM", f"{fleet.store.prefix}holders:{transfer}", S)])
    [due] = await audit_twice(watchdog)
    assert (due.verdict.kind, due.verdict.holders) == (VerdictKind.CLEAR_DUE, (T,))
    await fleet.release(transfer)
    assert [finding.resolved_us for finding in await watchdog.audit_once()] == [clock.now_us]


async def test_a_canceled_transfer_is_resolved_and_a_healthy_one_never_judged(fleet: World, clock: FakeClock) -> None:
    await fleet.spawn(S, {1: 1, 2: 1})
    watchdog = Watchdog(RepairingStore(fleet.store), clock)
    stuck = await fleet.begin({1: 2}, clock.now_us - THRESHOLD_US - 1)
    healthy = await fleet.begin({2: 2}, clock.now_us)
    [finding] = await audit_twice(watchdog)
    assert finding.verdict.transfer == stuck
    await fleet.cancel(stuck)
    await fleet.accept(healthy, {2: 2})
    await fleet.release(healthy)
    [resolved] = await audit_twice(watchdog)
    assert resolved.resolved_us is not None and watchdog.book.total == 1


async def test_many_fast_handoffs_give_no_verdict_and_a_clean_census(fleet: World, clock: FakeClock) -> None:
    """It looks all the time, and each handoff is over when it is almost due."""
    await fleet.spawn(S, dict.fromkeys(range(100, 150), 1))
    watchdog = Watchdog(RepairingStore(fleet.store), clock, interval_us=5_000, census_interval_us=10_000)
    task = asyncio.create_task(watchdog.run())
    for entity in range(100, 140):
        transfer = await fleet.begin({entity: 2}, clock.now_us + 1_000)
        clock.now_us += THRESHOLD_US
        await fleet.accept(transfer, {entity: 2})
        await (fleet.adopt(transfer) if entity % 2 else fleet.release(transfer))
        await (fleet.release(transfer) if entity % 2 else fleet.adopt(transfer))
        if entity % 5 == 0:
            await fleet.publish(S, dict.fromkeys(range(entity + 1, 150), 1))
            await fleet.publish(T, dict.fromkeys(range(100, entity + 1), 2))
    counted = await watchdog.census_once()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert watchdog.book.total == 0
    assert counted.to_dict() == {"expected": 50, "owned": 50, "passing": 0, "frozen": 0, "missing": 0, "doubled": 0}


async def test_census_finds_what_is_lost_and_what_is_there_twice(fleet: World, clock: FakeClock) -> None:
    await fleet.spawn(S, {1: 1, 2: 1, 3: 1, 2**64 - 1: 1})
    watchdog = Watchdog(RepairingStore(fleet.store), clock)
    clock.now_us += 10_000_000
    for _ in range(2):
        # S publishes without 3, which nobody has despawned, and T has a 2 of its own.
        await fleet.publish(S, {1: 1, 2: 1, 2**64 - 1: 1})
        await fleet.publish(T, {2: 5})
        clock.now_us += 2_000_000
        counted = await watchdog.census_once()
    assert (counted.missing.tolist(), counted.doubled.tolist()) == ([3], [2])
    assert (counted.expected, counted.owned) == (4, 2)
    assert counted.missing.dtype == np.uint64


async def test_redis_away_and_back(caplog: pytest.LogCaptureFixture) -> None:
    with redis_server(also_allowed=["xrevrange"]) as server:
        async with world(server.limited_url, "outage") as fleet:
            transfer = await fleet.begin({1: 2}, 1_000)
            store = RedisStore(server.limited_url, "outage", timeout_s=10.0)
            watchdog = Watchdog(RepairingStore(store), SystemClock(), interval_us=10_000, census_interval_us=15_000)
            caplog.set_level(logging.INFO, "shardfleet_operator")
            server.stop()
            with pytest.raises(StoreUnavailable):
                await watchdog.audit_once()
            task = asyncio.create_task(watchdog.run())
            async with asyncio.timeout(PATIENCE_S):
                while SILENT not in caplog.text:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                server.start()
                while not watchdog.book.standing:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await store.close()
    assert watchdog.book.standing[transfer].verdict.kind is VerdictKind.STALLED_TRANSFER
    mine = [record.message for record in caplog.records if record.name.startswith("shardfleet_operator")]
    said = [message.split(":")[1].strip() for message in mine]
    assert said.count(SILENT) == 1
    assert said.count("Redis answers again") == 1
