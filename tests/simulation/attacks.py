"""Harsher than cluster.py: pauses inside a tick, zombies with a working network, requests that Redis executes seconds
late, settling in the middle, layouts that swap cells, plugins that fail, clocks that differ from life to life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from shardfleet_shard.core.columns import Columns
from shardfleet_shard.core.frames import Frame
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.requests import Ended, Renew, Reply, Request
from shardfleet_shard.core.simulation import World
from shardfleet_shard.core.spawn_requests import Spawn, SpawnGroup
from shardfleet_shard.exit_codes import ExitCode
from shardfleet_shard.life import RuntimeState

from .cluster import REQUEST_TIMEOUT_US, START_US, Cluster, Faults, Process, VirtualClock
from .wanderers import Wanderers


@dataclass(frozen=True, kw_only=True)
class Attack:
    """Chances a call, or numbers of events in the faulty phase."""

    pause_inside: float = 0.0
    """A read of the clock, anywhere in the runtime, takes up to 5 s."""
    slow_step_us: int = 0
    """Each call of ``step`` takes up to this long."""
    request_very_late: float = 0.0
    """No answer within the timeout; Redis executes it up to 5 s later all the same."""
    zombies: int = 0
    """A successor starts while the old process lives on, with Redis and network at hand."""
    settles: int = 0
    layouts: int = 0
    step_fails: float = 0.0
    despawns: int = 0
    spawns: int = 0
    clock_drift_us: int = 0
    """Each life of a shard has a clock that is off by up to this."""
    speed: float = 25.0


class AttackClock(VirtualClock):
    """Time goes on inside a callback: ``lag_us`` since the event began."""

    def __init__(self, process: AttackProcess, offset_us: int) -> None:
        super().__init__(process.cluster, offset_us)
        self.process = process
        self.lag_us = 0
        self.checked_us = 0
        """The last reading of the boot-time clock, which is what leases are held against."""

    def _pass(self) -> None:
        cluster = self.cluster
        assert isinstance(cluster, AttackCluster)
        if cluster.chance(cluster.attack.pause_inside):
            cluster.count("pause inside")
            self.lag_us += cluster.random.choice([50_000, 400_000, 2_000_000, 3_100_000, 5_000_000])

    def now_unix_us(self) -> int:
        self._pass()
        return super().now_unix_us() + self.lag_us

    def boottime_us(self) -> int:
        self._pass()
        self.checked_us = super().boottime_us() + self.lag_us
        return self.checked_us


class FragileWanderers(Wanderers):
    """``step`` may fail, and may be slow."""

    process: AttackProcess

    def step(self, entities: Columns, tick: int, dt: float) -> Any:
        cluster = self.process.cluster
        assert isinstance(cluster, AttackCluster)
        if cluster.faulty:
            self.process.clock.lag_us += cluster.random.randint(0, cluster.attack.slow_step_us)
        if self.process.runtime.state is RuntimeState.ACTIVE and cluster.chance(cluster.attack.step_fails):
            cluster.count("step failed")
            entities.position[:] = 77.0
            raise RuntimeError("plugin")
        return super().step(entities, tick, dt)


@dataclass(eq=False)
class AttackProcess(Process):
    """Busy until its own time has been caught up with; what it sends leaves at its own time."""

    busy_until_us: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        cluster = self.cluster
        assert isinstance(cluster, AttackCluster)
        limit = cluster.attack.clock_drift_us
        offset = cluster.offsets_us[self.shard] + (cluster.random.randint(-limit, limit) if limit else 0)
        self.clock = AttackClock(self, offset)
        self.runtime.context.clock = self.clock
        simulation = FragileWanderers(
            World(cluster.config.world_low, cluster.config.world_high, 20, schema=cluster.schema),
            {"speed": cluster.attack.speed},
        )
        simulation.process = self
        self.runtime.context.simulation = simulation
        self.next_tick = cluster.grid.at(cluster.now_us + offset) + 1

    def _when_free(self, call: Callable[[], None]) -> bool:
        """False: busy, ``call`` is put off."""
        free_us = max(self.busy_until_us, self.paused_until_us)
        if self.dead or free_us <= self.cluster.now_us:
            return True
        self.cluster.at(free_us, call)
        return False

    def _done(self) -> None:
        self.busy_until_us = self.cluster.now_us + self.clock.lag_us
        self.clock.lag_us = 0

    def _schedule_tick(self) -> None:
        if not hasattr(self, "clock"):
            self.cluster.at(self.cluster.now_us + 50_000, self._on_tick)
            return
        due_us = self.cluster.grid.start_us(self.next_tick) - self.clock.offset_us
        self.cluster.at(max(due_us + self.cluster.random.randrange(2_000), self.paused_until_us), self._on_tick)

    def _on_tick(self) -> None:
        if self._when_free(self._on_tick):
            super()._on_tick()
            self._done()

    def _on_deadline(self) -> None:
        if self._when_free(self._on_deadline):
            super()._on_deadline()
            self._done()

    def carry(self) -> None:
        cluster = self.cluster
        assert isinstance(cluster, AttackCluster)
        effects = self.runtime.context.effects
        lease = self.runtime.membership.lease
        for tick in effects.ticks:
            late = tick.tick < self.runtime.context.current_tick
            ended_us = tick.unix_us - self.clock.offset_us - START_US
            assert not late or lease.held(ended_us), (
                f"{self.shard} (life {self.number}) caught up tick {tick.tick} without its lease"
            )
        if not self.clock.lag_us:
            super().carry()
            return
        effects = self.runtime.take_effects()
        for event in effects.events:
            cluster.ledger.event(self, event)
        now_us = cluster.now_us
        for tick in effects.ticks:
            # When its lease was last seen to hold: later than that nothing was simulated.
            cluster.now_us = max(now_us, min(tick.unix_us - self.clock.offset_us, self.clock.checked_us + START_US))
            cluster.ledger.simulated(self, tick)
        cluster.now_us = now_us

        def leave() -> None:
            for request in effects.requests:
                cluster.request(self, request)
            for peer, frame in effects.frames:
                cluster.send(self, peer, frame)

        cluster.at(now_us + self.clock.lag_us, leave)
        deadline_us = self.runtime.next_deadline_us - self.clock.offset_us
        if deadline_us < now_us + 10_000_000:
            cluster.at(max(deadline_us, now_us + self.clock.lag_us + 500), self._on_deadline)

    def reply(self, request: Request, reply: Reply | None) -> None:
        if self._when_free(lambda: self.reply(request, reply)):
            super().reply(request, reply)
            self._done()

    def frame(self, sender: Process, frame: Frame) -> None:
        if not self._when_free(lambda: self.frame(sender, frame)) or self.dead:
            return
        newest = self.cluster.processes.get(sender.shard)
        said_hello = newest is not None and newest.runtime.state in (RuntimeState.ACTIVE, RuntimeState.SETTLING)
        if newest is sender or not said_hello:
            self.runtime.receive_frame(sender.shard, frame)
            self.carry()
            self._done()


class AttackCluster(Cluster):
    """``Cluster`` under an ``Attack``."""

    def __init__(self, seed: int, attack: Attack, **options: Any) -> None:
        self.attack = attack
        self.all_processes: list[AttackProcess] = []
        super().__init__(seed, **options)
        faulty_us = self.faults_end_us - START_US
        names = sorted(self.processes)

        def sometime() -> int:
            return START_US + self.random.randint(1_000_000, faulty_us)

        for count, call in (
            (attack.zombies, self._zombie),
            (attack.settles, self._settle),
            (attack.layouts, self._change_layout),
            (attack.despawns, self._despawn),
            (attack.spawns, self._spawn),
        ):
            for _ in range(count):
                self.at(sometime(), lambda call=call: call(self.random.choice(names)))  # type: ignore[misc]

    def start(self, shard: str) -> None:
        self.lives[shard] += 1
        process = AttackProcess(self, shard, self.lives[shard])
        self.processes[shard] = process
        self.all_processes.append(process)

    def process_ended(self, process: Process) -> None:
        code = process.runtime.exit_code
        assert code in (ExitCode.SUPERSEDED, ExitCode.RESIGNED, ExitCode.SIMULATION), process.runtime.exit_reason
        self.count(f"exit {code}")
        process.dead = True
        if self.processes[process.shard] is process:
            self.at(self.now_us + 100_000, lambda: self._restart(process))

    def _restart(self, process: Process) -> None:
        if self.processes[process.shard] is process:
            self.start(process.shard)

    def crash(self, process: Process) -> None:
        if process.dead:
            return
        self.count("crash")
        process.dead = True
        confirmed = self.random.random() < self.faults.confirmed_crash

        def restart() -> None:
            holder = self.store.state.leases.get(process.shard, (0, 0))[0]
            if confirmed and holder == process.runtime.context.epoch:
                ended = Ended(shard=process.shard, epoch=process.runtime.context.epoch)
                self.store.execute(ended, generation=self.store.run_id)
            self._restart(process)

        self.at(self.now_us + self.random.randint(50_000, 800_000), restart)

    def request(self, process: Process, request: Request) -> None:
        if self.chance(self.attack.request_very_late):
            self.count("request very late")
            generation = process.runtime.context.generation
            late_us = self.now_us + self.random.randint(500_000, 5_000_000)
            self.at(late_us, lambda: self.ledger.executed(request, self.store.execute(request, generation=generation)))
            self.at(self.now_us + REQUEST_TIMEOUT_US, lambda: process.reply(request, None))
            return
        super().request(process, request)

    def run(self) -> None:
        super().run()
        self._check_memory()

    def _check_memory(self) -> None:
        """After a quiet while nothing is kept that is not needed any more, here or in Redis."""
        for process in self.processes.values():
            runtime = process.runtime
            mailbox, journal = runtime.mailbox, runtime.context.journal
            open_ids = mailbox.open_count
            assert open_ids <= 8, f"{process.shard}: {open_ids} open transfers"
            assert len(journal.applied) + len(journal.pending) <= 24, f"{process.shard}: journal {journal}"
            assert len(mailbox.outgoing._began_us) <= open_ids, f"{process.shard}: _began_us"
            assert len(mailbox.incoming._unmatched) <= 12, f"{process.shard}: _unmatched"
            assert not runtime.journal_reader._to_fetch, f"{process.shard}: _to_fetch"
            assert not runtime.stream.waiting, f"{process.shard}: spawns wait"
        state = self.store.state
        for owner, decided in state.decided.items():
            assert state.is_current(owner), f"decided sequences of {owner} are kept"
            assert len(decided.above) <= 8, f"{owner}: gaps below {sorted(decided.above)}, floor {decided.floor}"
        for cell in self.layout.cells:
            claim = state.claims.get(cell.path)
            assert claim is not None and claim[0] == cell.shard, f"cell {cell.path} is claimed by {claim}"

    def _zombie(self, shard: str) -> None:
        self.count("zombie")
        self.start(shard)

    def _settle(self, shard: str) -> None:
        self.count("settle")
        self.processes[shard].runtime.settle()

    def _change_layout(self, _: str) -> None:
        shards = [cell.shard for cell in self.layout.cells]
        self.random.shuffle(shards)
        cells = tuple(replace(c, shard=s) for c, s in zip(self.layout.cells, shards, strict=True))
        self.layout = Layout(version=self.layout.version + 1, cells=cells)
        self.store.state.layout, self.store.state.layout_version = self.layout.to_json(), self.layout.version
        self.count("layout")

    def _despawn(self, shard: str) -> None:
        runtime = self.processes[shard].runtime
        ids = runtime.context.tracker.rows.id
        if len(ids) and not self.processes[shard].dead:
            self.count("despawn")
            runtime.despawn(ids[:1].copy())
            self.processes[shard].carry()

    def _spawn(self, shard: str) -> None:
        """As service.py does: any shard asks, whoever claims the cell gets the row."""
        runtime = self.processes[shard].runtime
        context = runtime.context
        if not context.epoch or not runtime.stream.seeded:
            return
        entity = self.random.choice([5, 5_000_000 + self.random.randrange(20)])
        position = np.array([[self.random.uniform(0, self.config.world_high[0]), 5.0]])
        rows = self.schema.rows(id=entity, position=position, velocity=[[self.attack.speed, 1.0]])
        cell = self.layout.cells[int(self.layout.cell_index(position)[0])].path
        tick = context.current_tick + 4
        group = SpawnGroup(cell=cell, count=1, ids=rows.id.tobytes(), rows=rows.pack(), tick=tick)
        self.request(self.processes[shard], Spawn(shard=shard, epoch=context.epoch, groups=(group,)))
        self.count("spawn")


__all__ = ["Attack", "AttackCluster", "AttackProcess", "Faults", "Renew"]
