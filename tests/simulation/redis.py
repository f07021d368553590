"""The simulated Redis: scripts on ``MemoryStore``, and everything that can happen to a request on its way."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from shardfleet_shard.core.repair_requests import ReadOverdue
from shardfleet_shard.core.requests import Ended, Join, Reopen, Reply, Request
from shardfleet_shard.core.roll_requests import MIN_CALL_MS, CallRoll, Rolled, RollPhase
from shardfleet_shard.store.memory import MemoryStore
from shardfleet_shard.store.memory_state import State

from .clocks import START_US
from .windows import Windows

if TYPE_CHECKING:
    from .fleet import Fleet
    from .process import Process

TIMEOUT_US = 1_000_000
"""After so long without an answer the client gives a request up; Redis may execute it all the same."""


SNAPSHOT_US = 150_000
KEPT_SNAPSHOTS = 10


class RedisServer:
    """One server and the ways to it. Every request is executed never, once or twice, at once or seconds later."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.store = MemoryStore(run_id="run-1", now_ms=lambda: (fleet.now_us - START_US) // 1000)
        self.store.execute(Join(founds=True), generation="")
        self.windows = Windows(fleet)
        self.gone_until_us = 0
        self._snapshots: deque[tuple[int, State]] = deque(maxlen=KEPT_SNAPSHOTS)

    @property
    def call_ms(self) -> int:
        """How long a roll is called."""
        return max(self.fleet.config.lease_us // 1_000, MIN_CALL_MS)

    @property
    def gone(self) -> bool:
        return self.gone_until_us > self.fleet.now_us

    def ask(self, request: Request, *, generation: str = "") -> Reply:
        """By the platform or the watchdog, at once; ``generation`` '': the present one."""
        reply = self.store.execute(request, generation=generation or self.store.run_id)
        self.fleet.note("platform", request, reply)
        return reply

    def submit(self, process: Process, request: Request, generation: str) -> None:
        fleet, windows, now_us = self.fleet, self.windows, self.fleet.now_us
        timeout_us, shards = now_us + TIMEOUT_US, (process.shard,)
        cut = process.cut_off or process.redis_cut_until_us > now_us
        if isinstance(request, ReadOverdue | CallRoll) and not (self.gone or cut):
            self._ask_quietly(process, request, generation)
            return
        if self.gone or cut or windows.strikes("request lost", shards):
            fleet.note("lost", process, request)
            if not process.cut_off:
                fleet.fault_until(timeout_us)  # only then does its sender know
            fleet.at(timeout_us, lambda: process.reply(request, None, generation))
            return
        reply_lost = windows.strikes("reply lost", shards)
        if reply_lost:
            fleet.fault_until(timeout_us)
        delay_us, back_us = process.random.randint(200, 4_000), 0
        if windows.strikes("redis slow", shards):
            slow_us = process.random.randint(5_000, 900_000)
            delay_us, back_us = (delay_us + slow_us, 0) if slow_us % 2 else (delay_us, slow_us)
        if windows.strikes("request very late", shards):
            delay_us += process.random.randint(500_000, 4_000_000)

        def execute() -> None:
            reply = None if self.gone else self._execute(process, request, generation)
            replied_us = fleet.now_us + process.random.randint(200, 3_000) + back_us
            in_time = reply is not None and not reply_lost and replied_us < timeout_us
            fleet.at(replied_us if in_time else timeout_us, lambda: answer(reply if in_time else None))

        def answer(reply: Reply | None) -> None:
            if reply is not None and self.gone:  # the connection broke under it
                fleet.at(timeout_us, lambda: process.reply(request, None, generation))
            else:
                process.reply(request, reply, generation)

        def execute_again() -> None:
            if not self.gone:
                self._execute(process, request, generation)

        if delay_us >= TIMEOUT_US:
            fleet.fault_until(now_us + delay_us)
            fleet.at(timeout_us, lambda: process.reply(request, None, generation))
            fleet.at(now_us + delay_us, execute_again)
        else:
            fleet.at(now_us + delay_us, execute)
        if windows.strikes("request doubled", shards):
            again_us = now_us + delay_us + process.random.randint(0, 400_000)
            fleet.fault_until(again_us)
            fleet.at(again_us, execute_again)

    def _ask_quietly(self, process: Process, request: ReadOverdue | CallRoll, generation: str) -> None:
        """Asked again and again, and all but never answered with anything: it draws nothing, so it moves no seed."""

        def execute() -> None:
            reply = None if self.gone else self._execute(process, request, generation)
            self.fleet.at(self.fleet.now_us + 1_000, lambda: process.reply(request, reply, generation))

        self.fleet.at(self.fleet.now_us + 2_000, execute)

    def _execute(self, process: Process, request: Request, generation: str) -> Reply:
        reply = self.store.execute(request, generation=generation)
        self.fleet.note("redis", process, request, reply)
        self.fleet.judge.executed(request, reply)
        return reply

    # --- another process of it ----------------------------------------------------------------------------------

    def restart(self, *, away_us: int, back_us: int = 0, wiped: bool = False) -> None:
        """Another process with all data, as an append-only file that is synced at every write gives it.

        Args:
            back_us: it starts from the data of at least so long ago; not with 0.
            wiped: it starts without any.
        """
        fleet, now_us = self.fleet, self.fleet.now_us
        self.gone_until_us = now_us + away_us
        if wiped:
            fleet.judge.forgets(START_US)
            self.store.wipe()
        elif back_us:
            since_us, snapshot = next(s for s in reversed(self._snapshots) if s[0] <= now_us - back_us)
            fleet.judge.forgets(since_us)
            self.store.restore(snapshot)
        else:
            self.store.restart()
        fleet.fault_until(self.gone_until_us + self.call_ms * 1_000)  # a roll-call lasts so long, and ends nobody

    def keep_snapshots(self) -> None:
        """For ``back_us``: from now on, of the last seconds."""
        self._snapshots.append((self.fleet.now_us, self.store.snapshot()))
        self.fleet.at(self.fleet.now_us + SNAPSHOT_US, self.keep_snapshots)

    def is_open(self) -> bool:
        """As a shard process asks before it begins; calls the roll where need be."""
        reply = self.ask(CallRoll(call_ms=self.call_ms))
        return isinstance(reply, Rolled) and reply.phase is RollPhase.OPEN

    def reopen(self) -> bool:
        """By the platform, once it knows that no process of the older generation lives. Returns whether it is open."""
        if self.gone:
            return False
        if self.store.state.generation != self.store.run_id:
            self.ask(Reopen())
        return self.store.state.generation == self.store.run_id

    def ended(self, process: Process) -> None:
        """The platform has seen the end of ``process``."""
        if process.runtime.context.epoch and not self.gone:
            self.ask(Ended(shard=process.shard, epoch=process.runtime.context.epoch))
