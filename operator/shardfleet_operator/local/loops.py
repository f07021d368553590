"""Small pieces of asyncio that the supervisor is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import Any


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
