"""Shards as child processes of the supervisor.

Each runs in a session of its own, ends with the supervisor, and writes what it says to ``logs/SHARD.log``. That a
process has ended is known by ``waitpid`` and by nothing less.
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
from shardfleet_shard.environment import REDIS_URL_VARIABLE, THREADS_VARIABLES
from shardfleet_shard.errors import InvariantError
from shardfleet_shard.log_lines import message_of

from ..plan import Process, ProcessState, shard_name
from .children import describe_exit, start_child

log = logging.getLogger(__name__)

SHARD_COMMAND = (sys.executable, "-m", "shardfleet_shard.process")

_LAST_WORDS_BYTES = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """How the shards of one fleet are started.

    Attributes:
        fleet: its name; shards are called ``<fleet>-<ordinal>``.
        config: the JSON file that every shard reads.
        logs: the folder of their logs.
        trace: where shards write their traces, or None.
        metrics_port: shard N serves its metrics on this port plus N, or None.
        tls: the folder with the certificate of all shards, or None for plain text.
        redis_url: goes into the shards' environment, never on a command line, for it may hold a password.
        command: what is run before the shard's arguments.
    """

    fleet: str
    config: Path
    logs: Path
    redis_url: str
    trace: Path | None = None
    metrics_port: int | None = None
    tls: Path | None = None
    command: Sequence[str] = SHARD_COMMAND

    def arguments(self, ordinal: int) -> list[str]:
        """The whole command line of one shard."""
        trace = ["--trace", str(self.trace)] if self.trace else []
        metrics = ["--metrics", f"127.0.0.1:{self.metrics_port + ordinal}"] if self.metrics_port else []
        tls = ["--tls", str(self.tls)] if self.tls else []
        return [
            *self.command,
            *("--shard", shard_name(self.fleet, ordinal), "--ordinal", str(ordinal)),
            *("--config", str(self.config), "--listen", "127.0.0.1:0", "--parent-pid", str(os.getpid())),
            *trace,
            *metrics,
            *tls,
        ]

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        return {**dict.fromkeys(THREADS_VARIABLES, "1"), **inherited, REDIS_URL_VARIABLE: self.redis_url}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalProcess:
    """A shard's newest process, with what only this platform knows of it.

    Attributes:
        starts: how many processes of this shard were started here, this one included.
    """

    process: Process
    pid: int
    starts: int

    @property
    def shard(self) -> str:
        return self.process.shard

    @property
    def running(self) -> bool:
        return self.process.state is not ProcessState.ENDED


@dataclass(slots=True)
class _Child:
    handle: asyncio.subprocess.Process
    seen: LocalProcess
    log_start: int
    watcher: asyncio.Task[None] | None = None


class LocalPlatform:
    """``Platform`` on this machine.

    Args:
        tell_ended: tells Redis that a shard's process of an epoch has ended (``Ended``); raises ``StoreError``.
        environment: the supervisor's own, which the shards inherit.
        on_end: called with each process that has ended.
    """

    def __init__(
        self,
        options: LocalOptions,
        clock: Clock,
        tell_ended: Callable[[str, int], Awaitable[None]],
        *,
        environment: Mapping[str, str],
        on_end: Callable[[LocalProcess], None] = lambda _: None,
    ) -> None:
        self.options = options
        self._clock = clock
        self._tell_ended = tell_ended
        self._environment = options.environment(environment)
        self._on_end = on_end
        self._children: dict[int, _Child] = {}
        self._ended = asyncio.Event()

    # --- as the plan sees it -----------------------------------------------------------------------------------

    def observe(self) -> list[Process]:
        return [one.process for one in self.processes]

    async def start_shard(self, ordinal: int, *, restarts: int = 0) -> None:
        before = self._children.get(ordinal)
        if before is not None and before.seen.running:
            return
        shard = shard_name(self.options.fleet, ordinal)
        started_us = self._clock.now_unix_us()
        with (self.options.logs / f"{shard}.log").open("ab") as output:
            log_start = output.tell()
            handle = await start_child(
                self.options.arguments(ordinal),
                parent_death=signal.SIGKILL,  # Redis goes as well, so there is nobody left to resign to
                environment=self._environment,
                output=output,
            )
        process = Process(
            shard=shard, ordinal=ordinal, state=ProcessState.RUNNING, started_us=started_us, restarts=restarts
        )
        starts = 1 + (before.seen.starts if before is not None else 0)
        child = _Child(handle, LocalProcess(process=process, pid=handle.pid, starts=starts), log_start)
        self._children[ordinal] = child
        child.watcher = asyncio.create_task(self._watch(child), name=f"watch {shard}")
        log.info("started %s (pid %d)", shard, handle.pid)

    async def stop_shard(self, ordinal: int) -> None:
        child = self._children.get(ordinal)
        if child is not None and child.seen.process.state is ProcessState.RUNNING:
            child.seen = _with(child.seen, state=ProcessState.STOPPING)
            self._signal(child, signal.SIGTERM)

    async def confirm_ended(self, shard: str, epoch: int) -> None:
        if any(one.shard == shard and one.running for one in self.processes):
            raise InvariantError(f"{shard} runs, and Redis was to be told that it has ended")
        await self._tell_ended(shard, epoch)

    # --- what only one machine can do --------------------------------------------------------------------------

    @property
    def processes(self) -> list[LocalProcess]:
        return [child.seen for _, child in sorted(self._children.items())]

    @property
    def running(self) -> list[LocalProcess]:
        return [one for one in self.processes if one.running]

    def learn_epoch(self, shard: str, epoch: int) -> None:
        """An announcement in Redis. Epochs are Unix microseconds or more, so one from before the start is another's."""
        for child in self._children.values():
            process = child.seen.process
            if process.shard == shard and child.seen.running and epoch >= process.started_us:
                child.seen = _with(child.seen, epoch=epoch)

    def kill_shard(self, ordinal: int) -> None:
        """Ends the process at once."""
        if (child := self._children.get(ordinal)) is not None:
            self._signal(child, signal.SIGKILL)

    async def wait_for_all(self, timeout_s: float) -> list[LocalProcess]:
        """Waits until no shard runs; returns those that still do after ``timeout_s`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.running:
                    self._ended.clear()
                    await self._ended.wait()
        return self.running

    async def end_all(self, *, term_s: float, kill_s: float = 5.0) -> list[LocalProcess]:
        """SIGTERM to all, SIGKILL to those that still run after ``term_s`` seconds. Returns the killed ones."""
        for one in self.running:
            await self.stop_shard(one.process.ordinal)
        late = await self.wait_for_all(term_s)
        for one in late:
            self.kill_shard(one.process.ordinal)
        await self.wait_for_all(kill_s)
        return late

    # --- inside ------------------------------------------------------------------------------------------------

    def _signal(self, child: _Child, number: signal.Signals) -> None:
        if child.seen.running:
            with contextlib.suppress(ProcessLookupError):
                child.handle.send_signal(number)

    async def _watch(self, child: _Child) -> None:
        code = await child.handle.wait()
        shard = child.seen.shard
        words = _last_words(self.options.logs / f"{shard}.log", child.log_start)
        detail = f"{describe_exit(code)}{f': {words}' if words and code > 0 else ''}"
        child.seen = _with(
            child.seen,
            state=ProcessState.ENDED,
            ended_us=self._clock.now_unix_us(),
            exit_code=code,
            detail=detail,
        )
        log.info("%s (pid %d) ended: %s", shard, child.seen.pid, detail)
        self._ended.set()
        self._on_end(child.seen)


def _with(seen: LocalProcess, **changes: object) -> LocalProcess:
    return replace(seen, process=replace(seen.process, **changes))  # type: ignore[arg-type]


def _last_words(log_file: Path, start: int) -> str:
    """The last line that is not empty of what a process wrote, its message alone; '' where it wrote nothing."""
    with contextlib.suppress(OSError), log_file.open("rb") as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - _LAST_WORDS_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
        return message_of(next((line for line in reversed(lines) if line), ""))
    return ""
