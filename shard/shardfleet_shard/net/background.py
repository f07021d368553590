"""Tasks that nobody awaits: kept alive, waited for at the end, and never silent about an error."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """An error goes to the loop's exception handler, which decides about the process.

    Args:
        expected: errors that are no news.
    """

    def __init__(self, *, expected: type[Exception]) -> None:
        self._expected = expected
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.watch(task)
        return task

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Takes care of a task that was started elsewhere."""
        self._tasks.add(task)
        task.add_done_callback(self._end)

    async def wait(self, *, at_most_s: float) -> None:
        """Returns once all have ended, or the time is up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=at_most_s)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not isinstance(error, self._expected):
            task.get_loop().call_exception_handler({"message": f"{task.get_coro()}: {error}", "exception": error})
