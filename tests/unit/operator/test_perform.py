"""``perform``: a plan's orders to many shards are given several at a time, and one that fails keeps no other back."""

from __future__ import annotations

import asyncio

import pytest
from shardfleet_operator.kube import ApiError
from shardfleet_operator.plan import (
    Action,
    ConfirmEnded,
    Process,
    StartShard,
    StopShard,
    TakeOver,
    WriteLayout,
    first_layout,
)
from shardfleet_operator.platforms import perform
from shardfleet_operator.platforms.platform import MAX_REFUSED, ORDERS_AT_A_TIME
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.errors import StoreUnavailable


class SlowPlatform:
    """Each order takes a few turns of the loop, as a call to an API server does."""

    def __init__(self, *, refused: frozenset[int] = frozenset(), away: bool = False) -> None:
        self.refused = refused
        self.away = away
        self.done: list[str] = []
        self.tried = self.under_way = self.most_at_once = 0

    def observe(self) -> list[Process]:
        return []

    async def start_shard(self, ordinal: int, *, restarts: int = 0) -> None:
        await self._order(f"start {ordinal}", ordinal)

    async def stop_shard(self, ordinal: int) -> None:
        await self._order(f"stop {ordinal}", ordinal)

    async def confirm_ended(self, shard: str, epoch: int) -> None:
        if self.away:
            raise StoreUnavailable("no answer")
        self.done.append(f"confirm {shard}")

    async def write_layout(self, layout: Layout) -> None:
        await asyncio.sleep(0)
        self.done.append("layout")

    async def take_over(self, shard: str, epoch: int, *, gone: str, gone_epoch: int, unix_us: int) -> str:
        self.done.append(f"{shard} {epoch} takes over {gone} {gone_epoch} at {unix_us}")
        return "held" if gone == "arena-9" else ""

    async def _order(self, what: str, ordinal: int) -> None:
        self.tried += 1
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        for _ in range(3):
            await asyncio.sleep(0)
        self.under_way -= 1
        if ordinal in self.refused:
            raise ApiError(what, status=403, reason="Forbidden", message=f"no {what}")
        self.done.append(what)


def starts(count: int) -> list[Action]:
    return [StartShard(shard=f"arena-{ordinal}", ordinal=ordinal) for ordinal in range(count)]


async def test_a_thousand_starts_overlap_up_to_the_bound() -> None:
    platform = SlowPlatform()
    await perform(starts(1000), platform, platform)
    assert len(platform.done) == 1000 and platform.most_at_once == ORDERS_AT_A_TIME


async def test_the_layout_and_the_ends_are_told_before_any_order_is_given() -> None:
    platform = SlowPlatform()
    layout = WriteLayout(layout=first_layout(FleetConfig(name="arena", replicas=2)))
    await perform([layout, *starts(2), ConfirmEnded(shard="arena-2", epoch=1)], platform, platform)
    assert platform.done[:2] == ["layout", "confirm arena-2"]


async def test_no_order_is_given_where_redis_could_not_be_told() -> None:
    platform = SlowPlatform(away=True)
    with pytest.raises(StoreUnavailable):
        await perform([ConfirmEnded(shard="arena-0", epoch=1), *starts(3)], platform, platform)
    assert platform.tried == 0


async def test_one_that_is_refused_keeps_no_other_back_and_is_told_of() -> None:
    platform = SlowPlatform(refused=frozenset({1, 3}))
    with pytest.raises(ApiError, match="no start 1"):
        await perform(starts(40), platform, platform)
    assert len(platform.done) == 38


async def test_what_refuses_all_of_them_is_not_asked_a_thousand_times() -> None:
    platform = SlowPlatform(refused=frozenset(range(1000)))
    with pytest.raises(ApiError, match="no start 0"):
        await perform(starts(1000), platform, platform)
    assert platform.tried <= MAX_REFUSED + ORDERS_AT_A_TIME


async def test_orders_to_one_shard_keep_their_order() -> None:
    platform = SlowPlatform()
    actions = [action for pair in zip(starts(20), stops(20), strict=True) for action in pair]
    await perform(actions, platform, platform)
    for ordinal in range(20):
        assert platform.done.index(f"start {ordinal}") < platform.done.index(f"stop {ordinal}")


def stops(count: int) -> list[Action]:
    return [StopShard(shard=f"arena-{ordinal}", ordinal=ordinal) for ordinal in range(count)]


async def test_a_takeover_is_told_of_once_it_is_done() -> None:
    platform, said = SlowPlatform(), list[str]()
    takeovers: list[Action] = [
        TakeOver(shard="arena-0", epoch=4, gone=gone, gone_epoch=5, unix_us=6, reason="it is away")
        for gone in ("arena-1", "arena-9")
    ]
    performed = await perform([*takeovers, *starts(1)], platform, platform, say=said.append)
    assert platform.done == [
        "arena-0 4 takes over arena-1 5 at 6",
        "arena-0 4 takes over arena-9 5 at 6",
        "start 0",
    ]
    assert list(performed.taken_over) == said == ["arena-0 takes over from arena-1: it is away"], (
        "the other was refused"
    )
