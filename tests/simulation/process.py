"""One life of a shard: the production runtime, and a driver that carries what it owes, as authority_manager.py does."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from shardfleet_shard.authority_manager import MAX_TICKS_BEHIND, PAUSE_TICKS
from shardfleet_shard.core.clock import PeerClock
from shardfleet_shard.core.context import Effects
from shardfleet_shard.core.frames import Frame
from shardfleet_shard.core.requests import Reply, Request
from shardfleet_shard.life import RuntimeState
from shardfleet_shard.runtime import ServerAuthorityRuntime

from .clocks import ProcessClock
from .wanderers import FragileWanderers

if TYPE_CHECKING:
    from .fleet import Fleet

SERVING = (RuntimeState.ACTIVE, RuntimeState.SETTLING)
PING_INTERVAL_US = 500_000
NO_DEADLINE_US = 10_000_000
PAUSE_MORE_US = 5_000
"""Between the halves of a tick, at the most beyond the driver's own pause."""


@dataclass(eq=False)
class Process:
    """``dead`` processes get nothing any more; what they sent is still under way."""

    fleet: Fleet
    shard: str
    life: int
    runtime: ServerAuthorityRuntime = field(init=False)
    clock: ProcessClock = field(init=False)
    simulation: FragileWanderers = field(init=False)
    dead: bool = False
    cut_off: bool = False
    """It reaches neither peers nor Redis, and a successor runs: only its lease can stop it."""
    redis_cut_until_us: int = 0
    stopped_until_us: int = 0
    busy_until_us: int = 0
    crash_after: int = -1
    """Effects that still leave before it is killed; -1: it lives."""
    taken_after_us: int = -1
    """Killed, it never comes back: it is taken over so long after its lease has ended; -1: it is started again."""
    next_tick: int = 0
    _deadline_us: int = -1
    _peer_clocks: dict[tuple[str, int], tuple[PeerClock, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fleet = self.fleet
        self.random = random.Random(f"{fleet.seed} {self.shard} {self.life}")
        self.clock = ProcessClock(fleet, fleet.host(self.shard))
        self.simulation = FragileWanderers(fleet, self)
        self.runtime = ServerAuthorityRuntime(
            shard=self.shard,
            ordinal=int(self.shard.rpartition("-")[2]),
            address=self.shard,
            config=fleet.config,
            schema=fleet.schema,
            simulation=self.simulation,
            clock=self.clock,
            peers=self,
            generation=fleet.redis.store.run_id,
            rng=np.random.default_rng(self.random.getrandbits(32)),
            trace=True,
        )
        self.next_tick = fleet.grid.at(self.clock.look()) + 1
        self._schedule_tick()

    # --- the links, as the planner sees them --------------------------------------------------------------------

    def reachable(self) -> Mapping[str, int]:
        """``runtime.Peers``: whoever is up, not behind a link that is seen to be cut, and on time."""
        result: dict[str, int] = {}
        if self.cut_off:
            return result
        now_us = self.clock.look()
        for other in self.fleet.processes.values():
            up = other.runtime.state in SERVING and not other.dead
            up = up and other.runtime.context.generation == self.runtime.context.generation
            if other.shard == self.shard or not up or self.fleet.network.is_seen_cut(self.shard, other.shard):
                continue
            if self._peer_clock(other, now_us).within(self.fleet.config.skew_limit_us, now_us):
                result[other.shard] = other.runtime.context.epoch
        return result

    def _peer_clock(self, other: Process, now_us: int) -> PeerClock:
        """As the link's pings would have it; taken when it is looked at, at most once an interval."""
        clock, taken_us = self._peer_clocks.get((other.shard, other.life), (PeerClock(), 0))
        silent = other.stopped_until_us > self.fleet.now_us or self.fleet.network.is_cut(self.shard, other.shard)
        if now_us - taken_us >= PING_INTERVAL_US and not silent:
            there_us, back_us = self.random.randint(50, 900), self.random.randint(50, 900)
            theirs_us = other.clock.look() - back_us
            clock.observe(
                sent_us=now_us - there_us - back_us, received_us=theirs_us, answered_us=theirs_us, returned_us=now_us
            )
            self._peer_clocks[other.shard, other.life] = (clock, now_us)
        return clock

    # --- its driver ---------------------------------------------------------------------------------------------

    def act(self, call: Callable[[], None]) -> None:
        """Runs ``call`` in this process once it is neither stopped nor busy, and carries what it leaves behind."""
        fleet = self.fleet
        if self.dead:
            return
        free_us = max(self.busy_until_us, self.stopped_until_us)
        if free_us > fleet.now_us:
            fleet.at(free_us, lambda: self.act(call))
            return
        call()
        self._carry()
        if not self.dead and self.runtime.state in (RuntimeState.RESIGNED, RuntimeState.ENDED):
            fleet.platform.ended(self)

    def _schedule_tick(self) -> None:
        due_us = self.clock.true_us(self.fleet.grid.start_us(self.next_tick))
        self.fleet.at(due_us + self.random.randrange(2_000), lambda: self.act(self._tick))

    def _tick(self) -> None:
        current = self.fleet.grid.at(self.clock.look())
        tick = max(self.next_tick, current + 1 - MAX_TICKS_BEHIND)
        if tick <= current:
            self.runtime.begin_tick(tick)
            self.next_tick = tick + 1
            pause_us = round(PAUSE_TICKS * self.fleet.grid.duration_us) + self.random.randrange(PAUSE_MORE_US)
            self.fleet.at(self.fleet.now_us + pause_us, lambda: self.act(self.runtime.end_tick))
        self._schedule_tick()

    def _on_deadline(self) -> None:
        self._deadline_us = -1
        self.runtime.poll()

    def _carry(self) -> None:
        """Effects in their order; a crash may come between any two of them."""
        fleet, clock = self.fleet, self.clock
        effects, generation = self.runtime.take_effects(), self.runtime.context.generation
        self._tell_judge(effects)
        fleet.aim(self)
        if clock.lag_us:
            self.busy_until_us = fleet.now_us + clock.lag_us
            clock.lag_us = 0
            if effects:
                fleet.at(self.busy_until_us, lambda: self._send(effects, generation))
        else:
            self._send(effects, generation)
        deadline_us = self.runtime.next_deadline_us
        if deadline_us != self._deadline_us and deadline_us < clock.look() + NO_DEADLINE_US:
            self._deadline_us = deadline_us
            fleet.at(max(clock.true_us(deadline_us), fleet.now_us + 500), lambda: self.act(self._on_deadline))

    def _tell_judge(self, effects: Effects) -> None:
        judge, clock = self.fleet.judge, self.clock
        for event in effects.events:
            judge.event(self, event)
        for tick in effects.ticks:
            # When its lease was last seen to hold: later than that nothing was simulated.
            at_us = min(clock.true_us(tick.unix_us), clock.checked_us) if clock.lag_us else self.fleet.now_us
            judge.simulated(self, tick, max(at_us, self.fleet.now_us))

    def _send(self, effects: Effects, generation: str) -> None:
        for request in effects.requests:
            if self._killed():
                return
            self.fleet.redis.submit(self, request, generation)
        for peer, frame in effects.frames:
            if self._killed():
                return
            self.fleet.network.send(self, peer, frame)

    def _killed(self) -> bool:
        if self.crash_after == 0:
            self.fleet.platform.crash(self)
        self.crash_after -= self.crash_after >= 0
        return self.dead

    # --- what comes in ------------------------------------------------------------------------------------------

    def reply(self, request: Request, reply: Reply | None, generation: str) -> None:
        self.act(lambda: self.runtime.receive_reply(request, reply, generation=generation))

    def frame(self, sender: Process, frame: Frame) -> None:
        """A link knows the newest epoch that said hello on it, and drops what an older one sent."""

        def receive() -> None:
            newest = self.fleet.processes.get(sender.shard)
            said_hello = newest is not None and newest.runtime.state in SERVING
            if newest is sender or not said_hello:
                self.runtime.receive_frame(sender.shard, frame)

        self.act(receive)
