"""What starts processes: as the supervisor on one machine, or the operator in a cluster, does it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from shardfleet_shard.exit_codes import ExitCode

from .process import Process

if TYPE_CHECKING:
    from .fleet import Fleet

RETRY_US = 100_000
TAKES_EFFECT_US = 400_000
"""After a start that had to wait: by then it is seen that its former process simulates nothing any more."""


class Platform:
    """Every shard that has a cell, or may still own something, gets a process again, as ``plan_elastic`` has it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.seen_to_end = 0.7
        """How often it sees a killed process end, so that the successor need not wait for the lease."""

    def start(self, shard: str) -> None:
        """As soon as Redis can be worked with."""
        fleet = self.fleet
        if not self._reopened():
            former = fleet.processes.get(shard)
            fleet.fault_until(fleet.now_us + RETRY_US + TAKES_EFFECT_US)
            fleet.at(fleet.now_us + RETRY_US, lambda: self._start_in_place_of(former, shard))
            return
        fleet.takeovers.started(shard)
        fleet.lives[shard] = fleet.lives.get(shard, 0) + 1
        fleet.processes[shard] = Process(fleet, shard, fleet.lives[shard])
        fleet.all_processes.append(fleet.processes[shard])
        fleet.note("start", fleet.processes[shard])

    def _start_in_place_of(self, former: Process | None, shard: str) -> None:
        if self.fleet.processes.get(shard) is former:
            self.start(shard)

    def _reopened(self) -> bool:
        """After a restart of Redis: where nobody of the time before lives, the platform opens the world again."""
        fleet, state = self.fleet, self.fleet.redis.store.state
        if fleet.redis.gone:
            return False
        if state.generation == fleet.redis.store.run_id and state.roll is None:
            return True
        if state.roll is not None or any(not p.dead and not p.cut_off for p in fleet.all_processes):
            return fleet.redis.is_open()  # it waits until the living ones have said what they know
        for process in fleet.processes.values():
            if process.dead:
                fleet.redis.ended(process)
        return fleet.redis.reopen()

    # --- ends ---------------------------------------------------------------------------------------------------

    def crash(self, process: Process) -> None:
        """kill -9."""
        fleet = self.fleet
        if process.dead:
            return
        never_back = process.taken_after_us >= 0
        fleet.hits.strike("never comes back" if never_back else "crash", (process.shard,))
        process.dead = True
        fleet.fault_until(fleet.now_us)
        if never_back and fleet.processes[process.shard] is process:
            fleet.takeovers.lost(process)
            return
        seen = process.random.random() < self.seen_to_end

        def restart() -> None:
            holder = fleet.redis.store.state.leases.get(process.shard, (0, 0))[0]
            if seen and holder == process.runtime.context.epoch:
                fleet.redis.ended(process)
            self._start_in_place_of(process, process.shard)

        fleet.at(fleet.now_us + process.random.randint(50_000, 800_000), restart)

    def ended(self, process: Process) -> None:
        """By itself, with an exit code."""
        fleet, runtime = self.fleet, process.runtime
        code = runtime.exit_code
        assert code in (ExitCode.RESIGNED, ExitCode.SUPERSEDED, ExitCode.SIMULATION, ExitCode.GENERATION), (
            f"{process.shard} ended with {code}: {runtime.exit_reason}"
        )
        fleet.note("exit", process, code)
        process.dead = True
        if fleet.processes[process.shard] is process:
            fleet.at(fleet.now_us + RETRY_US, lambda: self._restart(process))

    def _restart(self, process: Process) -> None:
        resigned = process.runtime.exit_code == ExitCode.RESIGNED
        if resigned and process.shard not in self.fleet.layout.shards and not self._may_own(process.shard):
            return  # drained; a layout that gives it a cell again starts it
        self._start_in_place_of(process, process.shard)

    def _may_own(self, shard: str) -> bool:
        """By its manifest's header and its journal: one that was told to settle rests with its rows."""
        state = self.fleet.redis.store.state
        manifest = state.manifests.get(shard)
        return bool(state.journal(shard).entries or (manifest and json.loads(manifest.header)["count"]))

    def replace(self, shard: str, *, cut_off: bool) -> None:
        """A successor starts while the old process lives on, unseen; ``cut_off``: without network."""
        process = self.fleet.processes[shard]
        process.cut_off = cut_off
        self._start_in_place_of(process, shard)
