"""Shards as child processes of the supervisor.

Each runs in a session of its own, ends with the supervisor, and writes what it says to ``logs/SHARD.log``. That a
process has ended is known by ``waitpid`` and by nothing less; then, and before a successor is started, Redis is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shardfleet_shard.core.clock import Clock

from ..local.children import describe_exit, start_child
from .platform import ShardProcess

log = logging.getLogger(__name__)

SHARD_MODULE = ("-m", "shardfleet_shard.process")

_QUIET_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""A shard multiplies no matrices; a pool of threads for it would cost more memory than the shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """How the shards of one fleet are started.

    Attributes:
        fleet: its name; shards are called ``<fleet>-<ordinal>``.
        config: the JSON file that every shard reads.
        trace: where shards write their traces, or None.
        redis_url: goes into the shards' environment, never on a command line, for it may hold a password.
        command: what is run before the shard's arguments.
    """

    fleet: str
    config: Path
    logs: Path
    redis_url: str
    trace: Path | None = None
    command: Sequence[str] = (sys.executable, *SHARD_MODULE)

    def shard(self, ordinal: int) -> str:
        return f"{self.fleet}-{ordinal}"

    def arguments(self, ordinal: int) -> list[str]:
        """The whole command line of one shard."""
        trace = ["--trace", str(self.trace)] if self.trace else []
        return [
            *self.command,
            *("--shard", self.shard(ordinal), "--ordinal", str(ordinal)),
            *("--config", str(self.config), "--listen", "127.0.0.1:0"),
            *trace,
        ]

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        return {
            **_QUIET_THREADS,
            **inherited,
            "SHARDFLEET_REDIS_URL": self.redis_url,
            "SHARDFLEET_PARENT_PID": str(os.getpid()),
        }


@dataclass(slots=True)
class _Child:
    process: asyncio.subprocess.Process
    seen: ShardProcess
    watcher: asyncio.Task[None]


class LocalPlatform:
    """``Platform`` on this machine.

    Args:
        tell_ended: tells Redis that a shard's process has ended (``Ended``); raises ``StoreError``.
        environment: the supervisor's own, which the shards inherit.
        on_end: called with each process that has ended.
    """

    def __init__(
        self,
        options: LocalOptions,
        clock: Clock,
        tell_ended: Callable[[str], Awaitable[None]],
        *,
        environment: Mapping[str, str],
        on_end: Callable[[ShardProcess], None] = lambda _: None,
    ) -> None:
        self.options = options
        self._clock = clock
        self._tell_ended = tell_ended
        self._environment = options.environment(environment)
        self._on_end = on_end
        self._children: dict[int, _Child] = {}
        self._ended = asyncio.Event()

    def observe(self) -> list[ShardProcess]:
        return [child.seen for _, child in sorted(self._children.items())]

    async def start_shard(self, ordinal: int) -> None:
        starts = 0
        if (before := self._children.get(ordinal)) is not None:
            if before.seen.running:
                return
            await self.confirm_ended(ordinal)
            starts = before.seen.starts
        shard = self.options.shard(ordinal)
        with (self.options.logs / f"{shard}.log").open("ab") as output:
            process = await start_child(
                self.options.arguments(ordinal),
                parent_death=signal.SIGKILL,  # Redis goes as well, so there is nobody left to resign to
                environment=self._environment,
                output=output,
            )
        seen = ShardProcess(
            shard=shard, ordinal=ordinal, pid=process.pid, starts=starts + 1, since_us=self._clock.now_unix_us()
        )
        watcher = asyncio.create_task(self._watch(ordinal, process), name=f"watch {shard}")
        self._children[ordinal] = _Child(process, seen, watcher)
        log.info("started %s (pid %d)", shard, process.pid)

    async def stop_shard(self, ordinal: int) -> None:
        self._signal(ordinal, signal.SIGTERM)

    def kill_shard(self, ordinal: int) -> None:
        """Ends the process at once."""
        self._signal(ordinal, signal.SIGKILL)

    async def confirm_ended(self, ordinal: int) -> None:
        child = self._children[ordinal]
        if child.seen.running:
            raise ValueError(f"{child.seen.shard} (pid {child.seen.pid}) still runs")
        if not child.seen.end_confirmed:
            await self._tell_ended(child.seen.shard)
            child.seen = replace(child.seen, end_confirmed=True)

    @property
    def running(self) -> list[ShardProcess]:
        return [seen for seen in self.observe() if seen.running]

    async def wait_for_all(self, timeout_s: float) -> list[ShardProcess]:
        """Waits until no shard runs; returns those that still do after ``timeout_s`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.running:
                    self._ended.clear()
                    await self._ended.wait()
        return self.running

    async def end_all(self, *, term_s: float, kill_s: float = 5.0) -> list[ShardProcess]:
        """SIGTERM to all, SIGKILL to those that still run after ``term_s`` seconds. Returns the killed ones."""
        for seen in self.running:
            await self.stop_shard(seen.ordinal)
        late = await self.wait_for_all(term_s)
        for seen in late:
            self.kill_shard(seen.ordinal)
        await self.wait_for_all(kill_s)
        return late

    def _signal(self, ordinal: int, number: signal.Signals) -> None:
        child = self._children.get(ordinal)
        if child is not None and child.seen.running:
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(number)

    async def _watch(self, ordinal: int, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        child = self._children[ordinal]
        child.seen = replace(child.seen, exit_code=code, since_us=self._clock.now_unix_us())
        log.info("%s (pid %d) ended: %s", child.seen.shard, child.seen.pid, describe_exit(code))
        self._ended.set()
        self._on_end(child.seen)
