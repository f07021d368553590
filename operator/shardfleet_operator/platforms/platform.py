"""What a platform is to the rest: something on which shard processes run. The plan decides, ``perform`` carries out."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from shardfleet_shard.core.layout import Layout

from ..local.loops import some_at_a_time
from ..plan import (
    Action,
    ConfirmEnded,
    FailFleet,
    Process,
    RestartShard,
    StartShard,
    StopShard,
    TakeOver,
    Wait,
    WriteLayout,
)

log = logging.getLogger(__name__)

ORDERS_AT_A_TIME = 16
"""Shards that are started or stopped at once: a round trip to an API server each, and a thousand shards wait for it."""
MAX_REFUSED = 16
"""Orders of one plan that may fail before the rest waits for the next plan."""

Order = Callable[[], Awaitable[object]]


class Platform(Protocol):
    """Starting and stopping return once the platform has taken the order, not once it is carried out.

    Orders to different shards may be given at the same time.
    """

    def observe(self) -> Sequence[Process]:
        """The newest process of every shard that was ever started here, sorted by ordinal."""
        ...

    async def start_shard(self, ordinal: int, *, restarts: int = 0) -> None:
        """Starts a process unless one runs. ``restarts`` is kept and shown by ``observe``."""
        ...

    async def stop_shard(self, ordinal: int) -> None:
        """Tells the shard to end in order: finish its transfers, publish, resign."""
        ...

    async def confirm_ended(self, shard: str, epoch: int) -> None:
        """Tells Redis that the shard's process of this epoch has ended, which the platform has seen.

        Raises:
            StoreError: Redis could not be told; call again.
            InvariantError: the process runs.
        """
        ...


class PlanStore(Protocol):
    """The store's part in a plan."""

    async def write_layout(self, layout: Layout) -> None: ...

    async def take_over(self, shard: str, epoch: int, *, gone: str, gone_epoch: int, unix_us: int) -> str:
        """'' once it is done; else why it is not, in words: something has changed, and the next plan knows of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """What ``perform`` could not do itself.

    Attributes:
        failed: why the fleet was given up; '' where it was not.
        look_again_us: Unix microseconds before which nothing is due; None: only a change can make something due.
        taken_over: what was done of the takeovers, in words.
    """

    failed: str = ""
    taken_over: tuple[str, ...] = ()
    look_again_us: int | None = None


async def perform(
    actions: Sequence[Action],
    platform: Platform,
    store: PlanStore,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Performed:
    """Carries out a plan: what it writes to Redis first and in order, then its orders to shards, several at a time.

    Raises:
        StoreError: at the first write that fails; no order is given.
        ShardfleetError: the first order, by the plan, that the platform refused; the others were given all the same.
            What is left comes again with the next plan.
    """
    failed, look_again_us, taken_over = "", None, list[str]()
    orders: dict[int, list[Order]] = {}
    for action in actions:
        match action:
            case WriteLayout(layout=layout):
                await store.write_layout(layout)
            case TakeOver():
                if words := await _take_over(action, store):
                    taken_over.append(words)
                    say(words)
            case ConfirmEnded(shard=shard, epoch=epoch):
                await platform.confirm_ended(shard, epoch)
            case StartShard(ordinal=ordinal):
                orders.setdefault(ordinal, []).append(partial(platform.start_shard, ordinal))
            case RestartShard(shard=shard, ordinal=ordinal, restarts=restarts, reason=reason):
                say(f"{shard} is started again: {reason}")
                orders.setdefault(ordinal, []).append(partial(platform.start_shard, ordinal, restarts=restarts))
            case StopShard(ordinal=ordinal):
                orders.setdefault(ordinal, []).append(partial(platform.stop_shard, ordinal))
            case FailFleet(reason=reason):
                failed = reason
            case Wait(until_us=until_us):
                look_again_us = until_us
    await give(orders.values())
    return Performed(failed=failed, look_again_us=look_again_us, taken_over=tuple(taken_over))


async def _take_over(action: TakeOver, store: PlanStore) -> str:
    """What was done, in words; '' where it was refused."""
    refused = await store.take_over(
        action.shard, action.epoch, gone=action.gone, gone_epoch=action.gone_epoch, unix_us=action.unix_us
    )
    if refused:
        log.info("%s was not taken over by %s: %s", action.gone, action.shard, refused)
        return ""
    return f"{action.shard} takes over from {action.gone}: {action.reason}"


async def give(orders: Iterable[Sequence[Order]]) -> None:
    """Gives orders to many shards, several at a time; those of one shard (an item of ``orders``) in their order.

    Raises:
        ShardfleetError: as ``perform``.
    """

    async def in_turn(of_one_shard: Sequence[Order]) -> None:
        for order in of_one_shard:
            await order()

    calls = [partial(in_turn, of_one_shard) for of_one_shard in orders]
    await some_at_a_time(calls, at_a_time=ORDERS_AT_A_TIME, max_failures=MAX_REFUSED)
