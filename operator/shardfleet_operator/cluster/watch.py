"""The watchdog of one fleet as a task beside its worker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.clock import Clock

from ..census import Census
from ..watchdog import Finding, Watchdog, WatchdogCounts, WatchdogStore
from .events import EventRecorder

MAX_WAITING = 50
"""Findings that wait to become Events; a fleet with more is in trouble enough, and the status counts them."""


class WatchdogTask:
    """Runs a ``Watchdog`` from ``start`` to ``stop``, and makes Events of what it finds, repairs and waits for.

    Attributes:
        counts: of all watchdogs that ran here.
    """

    def __init__(self, clock: Clock, say: EventRecorder, wake: Callable[[], None]) -> None:
        self.counts = WatchdogCounts()
        self._clock = clock
        self._say = say
        self._wake = wake
        self._watchdog: Watchdog | None = None
        self._store: WatchdogStore | None = None
        self._settings = (0, 0, 0)
        self._task: asyncio.Task[None] | None = None
        self._news: asyncio.Queue[Finding | str] = asyncio.Queue(MAX_WAITING)

    @property
    def census(self) -> Census | None:
        return self._watchdog.latest_census if self._watchdog is not None else None

    @property
    def standing(self) -> list[Finding]:
        """The findings that stand, sorted."""
        book = self._watchdog.book.standing if self._watchdog is not None else {}
        return [finding for _, finding in sorted(book.items())]

    def start(self, store: WatchdogStore, config: FleetConfig) -> None:
        """Does nothing where it runs on ``store`` with these settings already."""
        settings = config.discrepancy_threshold_us, config.audit_interval_us, config.lease_us
        if self._task is not None and self._store is store and self._settings == settings:
            return
        if self._task is not None:
            self._task.cancel()
        self._store, self._settings = store, settings
        self._watchdog = Watchdog(
            store,
            self._clock,
            threshold_us=config.discrepancy_threshold_us,
            interval_us=config.audit_interval_us,
            lease_us=config.lease_us,
            on_news=self._take,
            say=self._take,
            counts=self.counts,
        )
        self._task = asyncio.create_task(self._run(self._watchdog), name=f"watchdog {config.identity}")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self, watchdog: Watchdog) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watchdog.run())
            tasks.create_task(self._tell())

    def _take(self, news: Finding | str) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._news.put_nowait(news)
        self._wake()

    async def _tell(self) -> None:
        while True:
            finding = await self._news.get()
            if isinstance(finding, str):
                await self._say.say("Warning", "Watchdog", finding)
                continue
            is_over = finding.resolved_us is not None
            ended = "TransferRepaired" if finding.repair else "TransferResolved"
            reason = ended if is_over else _camel(str(finding.verdict.kind))
            transfer = str(finding.verdict.transfer)
            await self._say.say("Normal" if is_over else "Warning", reason, str(finding), transfer=transfer)


def _camel(word: str) -> str:
    """STALLED_TRANSFER -> StalledTransfer, as Events have their reasons."""
    return "".join(part.capitalize() for part in word.split("_"))
