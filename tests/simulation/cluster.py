"""A whole fleet on virtual time: production runtimes, a model of Redis, a network that loses things.

One seed makes one run. Everything random comes from one generator, everything timed from one heap of events; the only
production code that is replaced is what carries effects (authority_manager.py) and what executes scripts.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.frames import Frame
from shardfleet_shard.core.layout import Cell, Layout
from shardfleet_shard.core.manifest import STATE_NAMES
from shardfleet_shard.core.requests import Ended, Join, Joined, Reply, Request
from shardfleet_shard.core.roll_requests import CallRoll
from shardfleet_shard.core.schemas import schema_to_text
from shardfleet_shard.core.simulation import World
from shardfleet_shard.core.ticks import TickGrid
from shardfleet_shard.exit_codes import ExitCode
from shardfleet_shard.life import RuntimeState
from shardfleet_shard.runtime import ServerAuthorityRuntime
from shardfleet_shard.store.memory import MemoryStore

from .ledger import Ledger
from .wanderers import Birds, Wanderers

START_US = 1_700_000_000_000_000
REQUEST_TIMEOUT_US = 1_000_000
INFINITY = float("inf")


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Chances and bounds of what goes wrong until ``quiet_us``; afterwards nothing does."""

    frame_lost: float = 0.0
    frame_doubled: float = 0.0
    frame_late: float = 0.0
    request_lost: float = 0.0
    reply_lost: float = 0.0
    request_doubled: float = 0.0
    crashes: int = 0
    dead_us: tuple[int, int] = (50_000, 800_000)
    """How long a crashed shard stays away, at least and at most."""
    confirmed_crash: float = 0.7
    """How often the platform sees the end of a crashed process, so that its successor need not wait for the lease."""
    pauses: int = 0
    stalls_with_successor: int = 0
    """A process that gets no answer from Redis for a while, and is replaced while it lives on."""
    link_cuts: int = 0
    clock_offset_us: int = 0


class VirtualClock:
    """The cluster's time, as one shard reads it."""

    def __init__(self, cluster: Cluster, offset_us: int) -> None:
        self.cluster = cluster
        self.offset_us = offset_us

    def now_unix_us(self) -> int:
        return self.cluster.now_us + self.offset_us

    def boottime_us(self) -> int:
        return self.cluster.now_us - START_US


@dataclass(eq=False)
class Process:
    """One life of a shard. ``dead`` processes get nothing any more; what they sent is still under way."""

    cluster: Cluster
    shard: str
    number: int
    runtime: ServerAuthorityRuntime = field(init=False)
    dead: bool = False
    replaced: bool = False
    """A successor runs: this one reaches neither peers nor Redis, and only its lease can stop it."""
    paused_until_us: int = 0
    next_tick: int = 0
    deadline_at_us: int = -1

    def __post_init__(self) -> None:
        cluster = self.cluster
        clock = VirtualClock(cluster, cluster.offsets_us[self.shard])
        simulation = cluster.newer_simulation if self.shard in cluster.newer else cluster.simulation
        self.runtime = ServerAuthorityRuntime(
            shard=self.shard,
            ordinal=int(self.shard.rpartition("-")[2]),
            address=self.shard,
            config=cluster.config,
            schema=simulation.world.schema,
            simulation=simulation,
            clock=clock,
            peers=self,
            generation=cluster.store.run_id,
            rng=np.random.default_rng(cluster.random.getrandbits(32)),
            trace=True,
        )
        self.next_tick = cluster.grid.at(clock.now_unix_us()) + 1
        self._schedule_tick()

    def reachable(self) -> Mapping[str, int]:
        """``runtime.Peers``: whoever is up, reads rows of this schema, and is not behind a cut link."""
        result = {}
        own = self.runtime.context.schema.hash
        for other in self.cluster.processes.values():
            up = other.runtime.state in (RuntimeState.ACTIVE, RuntimeState.SETTLING) and not other.dead
            reader = other.runtime.context.reader
            up = up and own in (reader.schema.hash, *reader.takes)
            if other is not self and up and not self.cluster.is_cut(self.shard, other.shard):
                result[other.shard] = other.runtime.context.epoch
        return result

    # --- its driver ---------------------------------------------------------------------------------------------

    def _schedule_tick(self) -> None:
        due_us = self.cluster.grid.start_us(self.next_tick) - self.cluster.offsets_us[self.shard]
        self.cluster.at(max(due_us + self.cluster.random.randrange(2_000), self.paused_until_us), self._on_tick)

    def _on_tick(self) -> None:
        if self.dead:
            return
        if self.paused_until_us > self.cluster.now_us:
            self.cluster.at(self.paused_until_us, self._on_tick)
            return
        current = self.cluster.grid.at(self.runtime.context.clock.now_unix_us())
        for tick in range(max(self.next_tick, current - 3), current + 1):
            self.runtime.tick(tick)
            self.carry()
            if self.dead:
                return
        self.next_tick = max(self.next_tick, current + 1)
        if self.runtime.state in (RuntimeState.RESIGNED, RuntimeState.ENDED):
            self.cluster.process_ended(self)
        else:
            self._schedule_tick()

    def _on_deadline(self) -> None:
        self.deadline_at_us = -1
        if not self.dead and self.paused_until_us <= self.cluster.now_us:
            self.runtime.poll()
            self.carry()

    def carry(self) -> None:
        """Effects in their order; a crash may come between any two of them."""
        cluster = self.cluster
        effects = self.runtime.take_effects()
        for event in effects.events:
            cluster.ledger.event(self, event)
        for tick in effects.ticks:
            cluster.ledger.simulated(self, tick)
        for request in effects.requests:
            if cluster.crash_here(self):
                return
            cluster.request(self, request)
        for peer, frame in effects.frames:
            if cluster.crash_here(self):
                return
            cluster.send(self, peer, frame)
        deadline_us = self.runtime.next_deadline_us - cluster.offsets_us[self.shard]
        if deadline_us < cluster.now_us + 10_000_000 and deadline_us != self.deadline_at_us:
            self.deadline_at_us = deadline_us
            cluster.at(max(deadline_us, cluster.now_us + 500), self._on_deadline)

    def reply(self, request: Request, reply: Reply | None) -> None:
        if not self.dead:
            self.runtime.receive_reply(request, reply)
            self.carry()

    def frame(self, sender: Process, frame: Frame) -> None:
        epoch_current = self.cluster.processes.get(sender.shard) is sender
        if not self.dead and epoch_current:
            self.runtime.receive_frame(sender.shard, frame)
            self.carry()


class Cluster:
    """Shards, network, Redis, faults, and the ledger that judges them.

    Args:
        seed: makes the whole run.
        shards: 2 to 4, cells side by side along x.
        faulty_us: how long faults may start; afterwards ``quiet_us`` pass without any.
    """

    def __init__(
        self,
        seed: int,
        *,
        shards: int = 2,
        entities: int = 8,
        faults: Faults | None = None,
        faulty_us: int = 6_000_000,
        quiet_us: int = 12_000_000,
    ) -> None:
        self.random = random.Random(seed)
        self.faults = faults or Faults()
        self.now_us = START_US
        self.faults_end_us = START_US + faulty_us
        self.end_us = START_US + faulty_us + quiet_us
        self.grid = TickGrid(20)
        self.config = FleetConfig(
            name="sim", replicas=shards, world_low=(0.0, 0.0), world_high=(10.0 * shards, 10.0),
            seed_entities=entities, simulation="wanderers",
        )  # fmt: skip
        self.schema = Schema(2, Wanderers.dtype)
        self.simulation = Wanderers(
            World(self.config.world_low, self.config.world_high, 20, schema=self.schema), {"speed": 25.0}
        )
        self.newer: set[str] = set()
        """Shards whose next process has the simulation's second version, with other columns."""
        self.newer_simulation = Birds(
            World(self.config.world_low, self.config.world_high, 20, schema=Schema(2, Birds.dtype)), {"speed": 25.0}
        )
        self.store = MemoryStore(run_id="run-1", now_ms=lambda: (self.now_us - START_US) // 1000)
        self.store.execute(Join(founds=True), generation="")
        self.layout = self._columns(shards)
        self.store.state.layout, self.store.state.layout_version = self.layout.to_json(), self.layout.version
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._cuts: dict[frozenset[str], int] = {}
        self._crashing: tuple[str, int] | None = None
        self.counts: dict[str, int] = {}
        self.digest = hashlib.sha256()
        self.ledger = Ledger(self)
        names = [f"sim-{number}" for number in range(shards)]
        limit = self.faults.clock_offset_us
        self.offsets_us = {name: self.random.randint(-limit, limit) for name in names}
        self.processes: dict[str, Process] = {}
        self.lives: dict[str, int] = dict.fromkeys(names, 0)
        for name in names:
            self.start(name)
        self._plan_faults(faulty_us)

    def _columns(self, shards: int) -> Layout:
        edges = [-INFINITY, *(10.0 * number for number in range(1, shards)), INFINITY]
        cells = tuple(
            Cell(
                path=format(number, "02b"),
                shard=f"sim-{number}",
                low=(edges[number], -INFINITY),
                high=(edges[number + 1], INFINITY),
            )
            for number in range(shards)
        )
        return Layout(version=1, cells=cells)

    # --- time ---------------------------------------------------------------------------------------------------

    def at(self, when_us: int, call: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (max(when_us, self.now_us), self._sequence, call))

    def run(self) -> None:
        """Runs to the end of the quiet phase and checks everything. Raises ``AssertionError``."""
        while self._events and self._events[0][0] <= self.end_us:
            self.now_us, _, call = heapq.heappop(self._events)
            call()
        self.now_us = self.end_us
        self.ledger.check_end()

    @property
    def faulty(self) -> bool:
        return self.now_us < self.faults_end_us

    def chance(self, probability: float) -> bool:
        return self.faulty and probability > 0 and self.random.random() < probability

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + by

    def note(self, *what: Any) -> None:
        """Goes into the digest: two runs of one seed must agree on every note."""
        self.digest.update(repr((self.now_us - START_US, *what)).encode())

    # --- processes ----------------------------------------------------------------------------------------------

    def start(self, shard: str) -> None:
        self.lives[shard] += 1
        self.processes[shard] = process = Process(self, shard, self.lives[shard])
        reader = process.runtime.context.reader
        join = Join(schema_hash=reader.schema.hash, schema=schema_to_text(reader.schema), takes=reader.takes)
        joined = self.store.execute(join, generation="")
        assert isinstance(joined, Joined) and not joined.misfit, f"{shard} does not take {joined}"

    def crash(self, process: Process) -> None:
        if process.dead:
            return
        self.note("crash", process.shard)
        self.count("crash")
        process.dead = True
        confirmed = self.random.random() < self.faults.confirmed_crash
        delay_us = self.random.randint(*self.faults.dead_us)

        def restart() -> None:
            if confirmed:
                self.store.execute(Ended(shard=process.shard, epoch=0), generation=self.store.run_id)
            self.start(process.shard)

        self.at(self.now_us + delay_us, restart)

    def process_ended(self, process: Process) -> None:
        """Superseded by its own RECOVER, executed twice, or after it was given up: the platform starts another."""
        process.dead = True
        if process.runtime.state is RuntimeState.RESIGNED:
            assert process.shard not in self.layout.shards, f"{process.shard} resigned with a cell"
            return
        assert process.runtime.exit_code == ExitCode.SUPERSEDED, (
            f"{process.shard} ended with {process.runtime.exit_code}: {process.runtime.exit_reason}"
        )
        self.count("superseded")
        if not process.replaced:
            self.at(self.now_us + 100_000, lambda: self.start(process.shard))

    def crash_here(self, process: Process) -> bool:
        """A planned crash strikes at the n-th effect from now on, whichever that is."""
        if self._crashing is None or self._crashing[0] != process.shard:
            return False
        shard, left = self._crashing
        if left > 0:
            self._crashing = (shard, left - 1)
            return False
        self._crashing = None
        self.crash(process)
        return True

    # --- Redis --------------------------------------------------------------------------------------------------

    def request(self, process: Process, request: Request) -> None:
        if isinstance(request, CallRoll):  # asked once a life, of a Redis that never restarts: it draws nothing
            reply = self.store.execute(request, generation=process.runtime.context.generation)
            self.at(self.now_us, lambda: process.reply(request, reply))
            return
        delay_us = self.random.randint(200, 4_000)
        if self.chance(self.faults.request_lost):
            self.count("request lost")
            self.at(self.now_us + REQUEST_TIMEOUT_US, lambda: process.reply(request, None))
            return
        if process.replaced:
            self.at(self.now_us + REQUEST_TIMEOUT_US, lambda: process.reply(request, None))
            return
        generation = process.runtime.context.generation
        reply_lost = self.chance(self.faults.reply_lost)

        def execute() -> None:
            reply = self.store.execute(request, generation=generation)
            self.note(process.shard, type(request).__name__, reply)
            self.ledger.executed(request, reply)
            if reply_lost:
                self.count("reply lost")
                self.at(self.now_us + REQUEST_TIMEOUT_US, lambda: process.reply(request, None))
            else:
                self.at(self.now_us + self.random.randint(200, 3_000), lambda: process.reply(request, reply))

        def execute_again() -> None:
            self.count("request doubled")
            self.store.execute(request, generation=generation)

        self.at(self.now_us + delay_us, execute)
        if self.chance(self.faults.request_doubled):
            self.at(self.now_us + delay_us + self.random.randint(0, 400_000), execute_again)

    # --- network ------------------------------------------------------------------------------------------------

    def is_cut(self, one: str, other: str) -> bool:
        return self._cuts.get(frozenset((one, other)), 0) > self.now_us

    def send(self, process: Process, peer: str, frame: Frame) -> None:
        if process.replaced or self.is_cut(process.shard, peer) or self.chance(self.faults.frame_lost):
            self.count("frame lost")
            return
        copies = 1 + self.chance(self.faults.frame_doubled)
        self.count("frame doubled", copies - 1)
        for _ in range(copies):
            late = self.chance(self.faults.frame_late)
            self.count("frame late", int(late))
            delay_us = self.random.randint(100, 300_000) if late else self.random.randint(100, 2_000)

            def deliver() -> None:
                receiver = self.processes[peer]
                self.note("frame", process.shard, peer, type(frame).__name__)
                if receiver.paused_until_us > self.now_us:
                    self.at(receiver.paused_until_us, deliver)
                else:
                    receiver.frame(process, frame)

            self.at(self.now_us + delay_us, deliver)

    # --- faults that are planned --------------------------------------------------------------------------------

    def _plan_faults(self, faulty_us: int) -> None:
        names = sorted(self.processes)

        def sometime() -> int:
            return START_US + self.random.randint(1_000_000, faulty_us)

        for _ in range(self.faults.crashes):
            self.at(sometime(), lambda: self._arm_crash(self.random.choice(names)))
        for _ in range(self.faults.pauses):
            self.at(sometime(), lambda: self._pause(self.random.choice(names)))
        for _ in range(self.faults.stalls_with_successor):
            self.at(sometime(), lambda: self._replace(self.random.choice(names)))
        for _ in range(self.faults.link_cuts):
            self.at(sometime(), lambda: self._cut(*self.random.sample(names, 2)))

    def _arm_crash(self, shard: str) -> None:
        self._crashing = (shard, self.random.randint(0, 12))

    def _pause(self, shard: str) -> None:
        self.count("pause")
        self.processes[shard].paused_until_us = self.now_us + self.random.choice([200_000, 1_500_000, 3_500_000])

    def _replace(self, shard: str) -> None:
        """Nobody can see whether the old process lives: its successor starts beside it."""
        self.count("replaced")
        self.processes[shard].replaced = True
        self.start(shard)

    def _cut(self, one: str, other: str) -> None:
        self.count("link cut")
        self._cuts[frozenset((one, other))] = self.now_us + self.random.randint(50_000, 2_000_000)

    # --- looking in ---------------------------------------------------------------------------------------------

    def owners(self) -> dict[int, list[tuple[str, str, int]]]:
        """Entity -> [(shard, state, version)] over all living processes."""
        result: dict[int, list[tuple[str, str, int]]] = {}
        for process in self.processes.values():
            tracker = process.runtime.context.tracker
            for index, entity in enumerate(tracker.rows.id.tolist()):
                state = STATE_NAMES[int(tracker.states[index])]
                result.setdefault(entity, []).append((process.shard, state, int(tracker.rows.version[index])))
        return result
