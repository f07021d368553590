"""Small pieces of asyncio that the supervisor is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from shardfleet_shard.errors import ShardfleetError


@asynccontextmanager
async def beside(*loops: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Runs ``loops`` beside the block and cancels them at its end.

    Raises:
        BaseException: what a loop, or the block, raised first; the others are canceled.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop) for loop in loops]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def within(awaitable: Awaitable[object], seconds: float) -> bool:
    """Whether ``awaitable`` finished in time; if not, it is canceled."""
    try:
        async with asyncio.timeout(seconds):
            await awaitable
    except TimeoutError:
        return False
    return True


async def first_of(*coroutines: Coroutine[Any, Any, Any]) -> None:
    """Until one of them has finished; the others are canceled. Raises what the first raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def some_at_a_time(
    calls: Iterable[Callable[[], Awaitable[object]]], *, at_a_time: int, max_failures: int
) -> None:
    """Makes independent calls, up to ``at_a_time`` of them at once, begun in their order.

    One that fails keeps none of the others from being made; after ``max_failures`` no more are begun, because what
    refuses so many (a quota, a server that is away) would refuse the rest.

    Raises:
        ShardfleetError: of the failed calls the first in their order, once all that were begun have ended.
        BaseException: anything else a call raised; the others are canceled.
    """
    waiting = enumerate(calls)
    failures: dict[int, ShardfleetError] = {}

    async def make() -> None:
        for number, call in waiting:
            try:
                await call()
            except ShardfleetError as error:
                failures[number] = error
            if len(failures) >= max_failures:
                return

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_a_time):
                group.create_task(make())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if failures:
        raise failures[min(failures)]
