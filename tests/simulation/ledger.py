"""What the simulation's judge remembers: every tick that anyone simulated, every script that Redis executed.

It knows nothing of the protocol's insides. A1 and A4 are checked as ticks come in, the rest at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from shardfleet_shard.core.context import CATCH_UP_LIMIT_US
from shardfleet_shard.core.requests import Adopted, Cancel, Done, Outcome, Released, Reply, Request
from shardfleet_shard.core.trace_events import TraceEvent, TraceTick
from shardfleet_shard.life import RuntimeState

if TYPE_CHECKING:
    from .cluster import Cluster, Process


class Ledger:
    """Per entity: tick -> (process, version, state after)."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ticks: dict[int, dict[int, tuple[Process, int, int]]] = {}
        self.first_us: dict[Process, int] = {}
        self.last_us: dict[Process, int] = {}
        """When a process simulated for the first and for the last time."""
        self.adopted_from_offer: dict[tuple[int, int], range] = {}
        """(entity, version) -> the ticks through which the target moved the offered state forward by itself."""
        self.upgraded: dict[tuple[int, int], Process] = {}
        """(entity, version) -> the process that took it over from a former schema."""
        self.despawned: set[int] = set()
        self.completed = 0
        self.canceled = 0

    # --- while it runs ------------------------------------------------------------------------------------------

    def simulated(self, process: Process, tick: TraceTick) -> None:
        now_us = self.cluster.now_us
        self.cluster.note("tick", process.shard, process.number, tick.tick, tick.state_out.tolist())
        self.first_us.setdefault(process, now_us)
        self.last_us[process] = now_us
        rows = zip(
            tick.ids.tolist(), tick.versions.tolist(), tick.state_in.tolist(), tick.state_out.tolist(), strict=True
        )
        for entity, version, state_in, state_out in rows:
            history = self.ticks.setdefault(entity, {})
            before = history.get(tick.tick)
            if before is not None:
                other, other_version, _ = before
                repeated = other is not process and self.last_us[other] < self.first_us[process]
                assert repeated, (
                    f"A1: entity {entity} at tick {tick.tick}: simulated by {process.shard} (life {process.number}, "
                    f"version {version}) and by {other.shard} (life {other.number}, version {other_version})"
                )
            self._check_state(process, entity, version, tick.tick, state_in)
            history[tick.tick] = (process, version, state_out)

    def _check_state(self, process: Process, entity: int, version: int, tick: int, state_in: int) -> None:
        """A4: the row starts from the newest state before this tick; A5: versions never fall as ticks rise."""
        history = self.ticks[entity]
        earlier_tick = next((t for t in range(tick - 1, tick - 400, -1) if t in history), None)
        if earlier_tick is None:
            return
        other, other_version, state_out = history[earlier_tick]
        if other is not process and tick == self._first_caught_up(process):
            return  # too long at rest: it goes on from what is stored, whatever its former process did after that
        assert version >= other_version, f"A5: entity {entity} at tick {tick}: version {version} after {other_version}"
        if version != other_version:
            assert process.shard != other.shard or version > other_version, f"A5: entity {entity} at tick {tick}"
        if self.upgraded.get((entity, version)) is process and other is not process:
            self._check_upgrade(process, entity, version, tick, earlier_tick)
        elif state_in != state_out:
            # Only a target that never got the final state may differ, and only where the source left out a tick.
            forwarded = self.adopted_from_offer.get((entity, version), range(0))
            assert any(tick not in history for tick in forwarded), (
                f"A4: entity {entity} at tick {tick}: {process.shard} starts version {version} from another state "
                f"than {other.shard} ended version {other_version} with"
            )

    def _check_upgrade(self, process: Process, entity: int, version: int, tick: int, earlier_tick: int) -> None:
        """A4 over an upgrade: the row was made from the very one that the source ended with, or had offered."""
        self.cluster.count("upgrade")
        tracker = process.runtime.context.tracker
        index = tracker.index_of(entity)
        if index is None:
            return  # caught up before it is taken up
        forwarded = self.adopted_from_offer.get((entity, version))
        since = earlier_tick if forwarded is None else forwarded.start - 1
        state = self.ticks[entity][since][2]
        assert int(tracker.rows["former"][index]) == state, (
            f"A4: entity {entity} at tick {tick}: {process.shard} starts version {version} from another state than "
            f"that of tick {since}"
        )

    def _first_caught_up(self, process: Process) -> int:
        """A row is moved forward through the latest ticks alone, however many it missed."""
        return process.runtime.context.current_tick - self.cluster.grid.ticks_in(CATCH_UP_LIMIT_US)

    def event(self, process: Process, event: TraceEvent) -> None:
        for entity, version in zip(event.ids.tolist(), event.versions.tolist(), strict=True):
            if event.kind == "adopt" and event.detail.get("origin") == "offer":
                first, last = event.detail["offer_tick"] + 1, event.detail["state_tick"]
                self.adopted_from_offer[entity, version] = range(first, last + 1)
            if event.kind == "adopt" and event.detail.get("upgraded"):
                self.upgraded[entity, version] = process
            if event.kind == "despawn":
                self.despawned.add(entity)
        self.cluster.count(f"event {event.kind}", len(event.ids))

    def executed(self, request: Request, reply: Reply) -> None:
        if isinstance(reply, Done):
            if isinstance(request, Adopted | Released) and reply.outcome is Outcome.CLEARED:
                self.completed += 1
            if isinstance(request, Cancel) and reply.outcome is Outcome.CANCELED:
                self.canceled += 1

    # --- at the end ---------------------------------------------------------------------------------------------

    def check_end(self) -> None:
        cluster = self.cluster
        for process in cluster.processes.values():
            state = process.runtime.state
            needed = process.shard in cluster.layout.shards
            expected = RuntimeState.ACTIVE if needed else RuntimeState.RESIGNED
            assert state is expected, f"A2: {process.shard} is {state} at the end"
        owners = cluster.owners()
        alive = sorted(cluster.store.state.living)
        passing: set[int] = set()
        for record in cluster.store.state.records.values():
            if record.state == "accepted":
                passing |= set(np.frombuffer(record.begun.ids, "<u8").tolist())
        missing = sorted(set(alive) - set(owners) - passing)
        assert not missing, f"A2: entities {missing} have no owner"
        for entity, held in sorted(owners.items()):
            assert len(held) == 1 or any(state == "passing" for _, state, _ in held), (
                f"A1: entity {entity} is held by {held}"
            )
            assert not any(state == "frozen" for _, state, _ in held), f"A3: entity {entity} is frozen: {held}"
        strangers = sorted(entity for entity in owners if entity not in alive and entity not in self.despawned)
        assert not strangers, f"entities {strangers} are owned and were never spawned"
        records = cluster.store.state.records
        overdue = [t for t, r in records.items() if r.begun.transfer_time_us < cluster.now_us - 3_500_000]
        assert not overdue, f"A3: left behind: {overdue}"
        last_tick = cluster.grid.at(cluster.now_us) - 5
        for entity in sorted(set(alive) - passing):
            newest = max(self.ticks.get(entity, {0: None}))
            assert newest >= last_tick, f"A2: entity {entity} was last simulated at tick {newest}, now is {last_tick}"
