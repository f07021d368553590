"""A copy of a fleet's world on the operator's disk every minute, for a Redis that loses all while shards are down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.errors import ShardfleetError
from shardfleet_shard.store.redis_store import RedisStore

from ..backup import Backup, write_backup
from ..copying import copy_of
from .events import EventRecorder

log = logging.getLogger(__name__)

KEPT = 2
"""Copies of a fleet that stay: of Redis' present life, and of the one before. A world that began anew after a loss must
never overwrite the copy that has what was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The newest copy. ``entities`` were alive at ``unix_us``; ``file`` has ``size_bytes``."""

    file: Path
    unix_us: int
    entities: int
    size_bytes: int


class CopyTask:
    """Copies one fleet into ``folder`` from ``start`` to ``stop``.

    Args:
        folder: of all fleets' copies; None: nothing is copied.
        interval_us: from the end of one copy to the next.
    Attributes:
        latest: None before the first.
    """

    def __init__(self, folder: Path | None, interval_us: int, clock: Clock, say: EventRecorder) -> None:
        self.latest: Copy | None = None
        self._folder = folder
        self._interval_us = interval_us
        self._clock = clock
        self._say = say
        self._source: tuple[RedisStore, str] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, store: RedisStore, generation: str) -> None:
        """Does nothing where it runs on these already.

        Args:
            generation: Redis' present life, by which files are named.
        """
        source = store, generation
        if self._folder is None or (self._task is not None and self._source == source):
            return
        if self._task is not None:
            self._task.cancel()
        self._source = source
        run = self._run(store, self._folder / f"{store.fleet}.{generation[:8]}.backup")
        self._task = asyncio.create_task(run, name=f"copies {store.fleet}")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self, store: RedisStore, file: Path) -> None:
        said = ""
        while True:
            await asyncio.sleep(self._interval_us / 1_000_000)
            try:
                made = await copy_of(store)
                size_bytes = await asyncio.to_thread(_write, file, made)
            except (ShardfleetError, OSError) as error:
                if said != str(error):  # once, not each minute
                    said = str(error)
                    await self._say.say("Warning", "CopyFailed", f"no copy is made of the world: {error}")
                continue
            said = ""
            self.latest = Copy(file=file, unix_us=made.unix_us, entities=made.entities, size_bytes=size_bytes)


def _write(file: Path, made: Backup) -> int:
    """Returns its size in bytes; what is older than the ``KEPT`` newest of the fleet goes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    size_bytes = write_backup(file, made)
    of_fleet = sorted(
        file.parent.glob(f"{made.fleet}.{'[0-9a-f]' * 8}.backup"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for old in of_fleet[KEPT:]:
        old.unlink(missing_ok=True)
    return size_bytes
