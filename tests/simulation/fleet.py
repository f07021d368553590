"""A whole fleet on virtual time: production runtimes and watchdog, a model of Redis, a network that loses things.

One plan makes one run. Everything random comes from generators that are seeded by the plan, everything timed from one
heap of events; the only production code that is replaced is what carries effects and what executes scripts.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.layout import INFINITY, Cell, Layout
from shardfleet_shard.core.manifest import STATE_NAMES
from shardfleet_shard.core.requests import Done
from shardfleet_shard.core.ticks import TickGrid

from .clocks import START_US, HostClock
from .faults import Fault, strike
from .hits import Hits, states_of
from .judge import Judge
from .network import Network
from .plan import Plan, host_clock
from .platform import Platform
from .process import Process
from .redis import RedisServer
from .takeovers import Takeovers
from .wanderers import Wanderers
from .watch import Watch

LOOK_US = 100_000
"""How often a quiet fleet is looked at for having converged."""
REST_US = 500_000
"""How much longer a fleet that has converged is watched."""


class Fleet:
    """Shards, network, Redis, platform, watchdog, faults, and the ledger that judges them.

    Args:
        plan: what is there and what goes wrong, when.
        record: gets every note as it is made, for a trace.
    """

    def __init__(self, plan: Plan, *, record: Callable[[int, tuple[Any, ...]], None] | None = None) -> None:
        self.plan = plan
        self.seed = plan.seed
        self.now_us = START_US
        self.last_fault_us = START_US
        """When the last fault ended: bounds count from here."""
        self._record = record
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._digest = hashlib.blake2b(digest_size=16)
        self._aiming: list[tuple[Fault, int]] = []
        self.grid = TickGrid(20)
        self.config = FleetConfig(
            name="sim", replicas=plan.shards, world_low=(0.0, 0.0), world_high=(10.0 * plan.shards, 10.0),
            seed_entities=plan.entities, simulation="wanderers", lease_us=plan.lease_us, election_interval_us=1_000_000,
        )  # fmt: skip
        self.schema = Schema(2, Wanderers.dtype)
        self._hosts: dict[str, HostClock] = {}
        self.hits = Hits(self)
        self.judge = Judge(self)
        self.network = Network(self)
        self.redis = RedisServer(self)
        self.platform = Platform(self)
        self.takeovers = Takeovers(self)
        self.watch = Watch(self)
        self.processes: dict[str, Process] = {}
        """The newest of each shard."""
        self.all_processes: list[Process] = []
        self.lives: dict[str, int] = {}
        self.layout = Layout(version=0, cells=())
        self.write_layout(_columns(plan.shards))
        if any(fault.kind == "redis without its last second" for fault in plan.faults):
            self.redis.keep_snapshots()
        for fault in plan.faults:
            self.at(START_US + fault.at_us, lambda fault=fault: self._begin(fault))  # type: ignore[misc]

    # --- time ---------------------------------------------------------------------------------------------------

    def at(self, when_us: int, call: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (max(when_us, self.now_us), self._sequence, call))

    def run_until(self, end_us: int) -> None:
        events = self._events
        while events and events[0][0] <= end_us:
            self.now_us, _, call = heapq.heappop(events)
            call()
        self.now_us = end_us

    def run(self) -> None:
        """The faulty phase, then quiet until all has converged and a little longer. Raises ``AssertionError``."""
        self.run_until(START_US + self.plan.faulty_us)
        self._expire_aims(all_of_them=True)
        converged_us = None
        while converged_us is None or self.now_us < converged_us + REST_US:
            self.run_until(self.now_us + LOOK_US)
            if converged_us is not None and (self.last_fault_us > converged_us or self.judge.undone()):
                converged_us = None  # what had been aimed has only struck now, or a fault's last effect came now
            if converged_us is None and self.now_us >= self.last_fault_us:
                converged_us = self.judge.converged_us()
        self.judge.check_end()
        self.watch.check_end()

    def fault_until(self, until_us: int) -> None:
        """Some fault goes on until then."""
        self.last_fault_us = max(self.last_fault_us, until_us)

    # --- notes --------------------------------------------------------------------------------------------------

    def note(self, what: str, *parts: Any) -> None:
        """Goes into the digest: two runs of one plan must agree on every note."""
        self._digest.update(f"{self.now_us} {what}".encode())
        for part in parts:
            self._digest.update(part if isinstance(part, bytes) else brief(part).encode())
        if self._record is not None:
            self._record(self.now_us - START_US, (what, *parts))

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    # --- faults -------------------------------------------------------------------------------------------------

    def _begin(self, fault: Fault) -> None:
        """Strikes now, or as soon as some transfer is in the state that it is aimed at."""
        if fault.aim:
            self._aiming.append((fault, self.now_us + fault.patience_us))
            self.at(self.now_us + fault.patience_us, self._expire_aims)
        else:
            strike(self, fault, self.shard_names[fault.shard % len(self.shard_names)])

    def aim(self, process: Process) -> None:
        """Before what ``process`` has just decided leaves it: does any fault wait for that?"""
        if self._aiming and not process.dead:
            states = states_of(process)
            for entry in [entry for entry in self._aiming if entry[0].aim in states]:
                self._aiming.remove(entry)
                strike(self, entry[0], process.shard)

    def _expire_aims(self, *, all_of_them: bool = False) -> None:
        for entry in [entry for entry in self._aiming if all_of_them or entry[1] <= self.now_us]:
            self._aiming.remove(entry)
            strike(self, entry[0], self.shard_names[entry[0].shard % len(self.shard_names)])

    @property
    def shard_names(self) -> list[str]:
        return sorted(self.processes)

    # --- parts --------------------------------------------------------------------------------------------------

    def host(self, shard: str) -> HostClock:
        """The machine of ``shard``: it outlives its processes."""
        if shard not in self._hosts:
            self._hosts[shard] = host_clock(self.plan, shard)
        return self._hosts[shard]

    def write_layout(self, cells: tuple[Cell, ...]) -> None:
        """As the operator does: a new version, and a process for each shard that has a cell and none yet."""
        self.layout = Layout(version=self.layout.version + 1, cells=tuple(sorted(cells, key=lambda cell: cell.path)))
        state = self.redis.store.state
        state.layout, state.layout_version = self.layout.to_json(), self.layout.version
        self.note("layout", [(cell.path, cell.shard) for cell in self.layout.cells])
        for shard in self.layout.shards:
            process = self.processes.get(shard)
            resigned = process is not None and process.dead and process.runtime.state == "resigned"
            if process is None or resigned or shard in self.takeovers.away:
                self.platform.start(shard)

    def give_cells(self, shard: str, to: str) -> None:
        """All of ``shard``'s cells go to ``to``."""
        self.write_layout(tuple(replace(cell, shard=to) if cell.shard == shard else cell for cell in self.layout.cells))

    # --- looking in ---------------------------------------------------------------------------------------------

    def owners(self) -> dict[int, list[tuple[str, str, int]]]:
        """Entity -> [(shard, state, version)] over the newest process of each shard."""
        result: dict[int, list[tuple[str, str, int]]] = {}
        for process in self.processes.values():
            if process.dead:
                continue
            tracker = process.runtime.context.tracker
            for index, entity in enumerate(tracker.rows.id.tolist()):
                state = STATE_NAMES[int(tracker.states[index])]
                result.setdefault(entity, []).append((process.shard, state, int(tracker.rows.version[index])))
        return result


def brief(part: Any) -> str:
    """A word for a part of a note; never an address in memory."""
    match part:
        case Process():
            return f"{part.shard}#{part.life}"
        case Done():
            return str(part.outcome)
        case str() | int() | list():
            return str(part)
        case _:
            return type(part).__name__


def _columns(shards: int) -> tuple[Cell, ...]:
    """One cell a shard, side by side along x."""
    edges = [-INFINITY, *(10.0 * number for number in range(1, shards)), INFINITY]
    return tuple(
        Cell(
            path=format(number, "03b"),
            shard=f"sim-{number}",
            low=(edges[number], -INFINITY),
            high=(edges[number + 1], INFINITY),
        )
        for number in range(shards)
    )
