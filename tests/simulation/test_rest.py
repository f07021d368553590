"""A world that rests, or whose processes are all killed, goes on at the world tick at which it stopped."""

from __future__ import annotations

import heapq
from pathlib import Path

import numpy as np
import pytest
from shardfleet_operator.checker import check_directory
from shardfleet_shard.core.requests import Ended
from shardfleet_shard.core.ticks import WorldTime
from shardfleet_shard.life import RuntimeState

from .cluster import START_US, Cluster, Process
from .test_trace import Tracing
from .wanderers import LAST_ARRIVAL_TICK

HOUR_US = 3_600_000_000
SEEDED = 8
LIFE_TICKS = 100
"""Of an entity that arrives."""


class RestingCluster(Cluster):
    """A cluster that can be ended and started again."""

    def process_ended(self, process: Process) -> None:
        if process.runtime.state is RuntimeState.RESIGNED:
            process.dead = True
        else:
            super().process_ended(process)

    def run_until(self, seconds: float) -> None:
        end_us = START_US + round(seconds * 1e6)
        while self._events and self._events[0][0] <= end_us:
            when_us, _, call = heapq.heappop(self._events)
            self.now_us = max(self.now_us, when_us)  # what was under way when time leapt comes late
            call()
        self.now_us = end_us

    def settle(self) -> None:
        for process in self.processes.values():
            process.runtime.settle()
        self.run_until((self.now_us - START_US) / 1e6 + 4)
        assert all(process.dead for process in self.processes.values())

    def kill(self) -> None:
        for process in self.processes.values():
            process.dead = True
        self.run_until((self.now_us - START_US) / 1e6 + 1)

    def go_on(self, after_us: int) -> None:
        """As the supervisor does: the leases are gone, the origin moves, the shards start."""
        self.now_us += after_us
        state = self.store.state
        for shard in self.lives:
            self.store.execute(Ended(shard=shard, epoch=0), generation=self.store.run_id)
        time = WorldTime(state.origin_tick, state.rests)
        now_tick = self.grid.at(self.now_us)
        if pause := time.pause([manifest.tick for manifest in state.manifests.values()], now_tick):
            state.rests = (*state.rests, (now_tick, state.origin_tick))
            state.origin_tick += pause

    def start_all(self, after_us: int = 700_000) -> None:
        self.now_us += after_us
        for shard in self.lives:
            self.start(shard)

    @property
    def world_tick(self) -> int:
        state = self.store.state
        return self.grid.at(self.now_us) - state.origin_tick

    def check_each_tick_was_simulated_once(self) -> None:
        """``steps`` of a row counts the steps in its line of states, so it tells the world tick that it is at."""
        wrong = {}
        seen = set()
        for process in self.processes.values():
            context = process.runtime.context
            rows = context.tracker.rows
            reached = context.current_tick - self.store.state.origin_tick
            for entity, steps in zip(rows.id.tolist(), rows["steps"].tolist(), strict=True):
                first = entity - 1000 if entity > 1000 else 0
                seen.add(entity)
                if steps != reached - first + 1:
                    wrong[entity] = (steps, reached - first + 1)
        assert not wrong, f"(steps, world ticks) since the first: {wrong}"
        for record in self.store.state.records.values():
            seen |= set(np.frombuffer(record.begun.ids, "<u8").tolist())  # between two shards
        # Those whose first or last tick is near may be on their way in or out.
        arrivals = range(25, LAST_ARRIVAL_TICK + 1, 25)
        reached = self.world_tick
        assert seen >= {1000 + t for t in arrivals if t + 3 <= reached < t + LIFE_TICKS - 3}
        assert not seen & {1000 + t for t in arrivals if reached > t + LIFE_TICKS + 20}
        assert seen >= set(range(1, SEEDED + 1))


def _rest(cluster: RestingCluster, end: str, rest_us: int = HOUR_US) -> None:
    cluster.settle() if end == "settled" else cluster.kill()
    before = cluster.world_tick
    cluster.go_on(rest_us)
    assert before - 120 < cluster.world_tick <= before, "a rest takes no world ticks"
    cluster.start_all()


@pytest.mark.parametrize("end", ["settled", "killed"])
def test_every_row_is_simulated_once_for_each_world_tick(end: str, tmp_path: Path) -> None:
    for seed in range(6):
        cluster = RestingCluster(seed, shards=2 + seed % 3, entities=SEEDED)
        tracing = Tracing(cluster, tmp_path / str(seed))
        cluster.run_until(2.2 + 0.31 * seed)
        cluster.check_each_tick_was_simulated_once()
        before = list(cluster.processes.values())
        _rest(cluster, end)
        cluster.run_until((cluster.now_us - START_US) / 1e6 + 2)
        cluster.check_each_tick_was_simulated_once()
        cluster.run_until((cluster.now_us - START_US) / 1e6 + 8)
        cluster.check_each_tick_was_simulated_once()
        cluster.ledger.check_end()
        for process, writer in tracing.writers.items():
            writer.close(end=end == "settled" and process in before, tick=process.runtime.context.current_tick)
        report = check_directory(tmp_path / str(seed), bound_s=5 if end == "settled" else 4_000)
        assert report.ok, report.to_text()
        assert report.handoffs > 10


def test_a_start_that_came_to_nothing_moves_no_tick_twice() -> None:
    cluster = RestingCluster(3, shards=3, entities=SEEDED)
    cluster.run_until(3.0)
    cluster.kill()
    stopped = cluster.world_tick
    for _ in range(3):
        cluster.go_on(HOUR_US)
        assert stopped - 60 < cluster.world_tick <= stopped
    cluster.start_all()
    cluster.run_until((cluster.now_us - START_US) / 1e6 + 3)
    cluster.check_each_tick_was_simulated_once()
    _rest(cluster, "killed", 20_000_000)
    cluster.run_until((cluster.now_us - START_US) / 1e6 + 3)
    cluster.check_each_tick_was_simulated_once()


def test_arrivals_that_fell_behind_before_the_rest_come_at_their_own_world_tick() -> None:
    """Their grid ticks lie before the world went on, and yet they are written after that."""
    cluster = RestingCluster(1, shards=3, entities=SEEDED)
    cluster.run_until(3.0)
    for process in cluster.processes.values():
        process.runtime.stream.advance = lambda *_: None  # type: ignore[method-assign]  # as where nobody has a claim
    cluster.run_until(5.2)
    behind, reached = cluster.store.state.arrivals_through, cluster.world_tick
    assert behind < 75 and reached > 80, "else there is nothing to make up for"
    _rest(cluster, "killed")
    cluster.run_until((cluster.now_us - START_US) / 1e6 + 2)
    cluster.check_each_tick_was_simulated_once()
    cluster.settle()
