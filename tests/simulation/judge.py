"""What the simulation's judge remembers: every tick that anyone simulated, every script that Redis executed.

It knows nothing of the protocol's insides. A1, A4 and A5 are checked as ticks come in, A2, A3 and their bounds once the
faults are over.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from shardfleet_shard.core.census_requests import RestoreEntity
from shardfleet_shard.core.context import CATCH_UP_LIMIT_US
from shardfleet_shard.core.journal_requests import Publish
from shardfleet_shard.core.requests import Adopted, Begin, Cancel, Done, Outcome, Refused, Released, Reply, Request
from shardfleet_shard.core.roll_requests import Rejoin
from shardfleet_shard.core.spawn_requests import Arrive, Despawn, Seed, Spawn
from shardfleet_shard.core.trace_events import TraceEvent, TraceTick
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.life import RuntimeState

if TYPE_CHECKING:
    from .fleet import Fleet
    from .process import Process

OWNED_AGAIN_US = 5_000_000
"""A2: on one machine, after the last fault."""
AFTER_THRESHOLD_US = 2_000_000
"""A3: so long past the watchdog's threshold, after the last fault."""
SEEN_US = 260_000
"""Who was simulated so lately is simulated: five ticks, and a little for a tick that comes late."""
FORGOTTEN_US = 1_000_000
"""Redis forgets so much at the most where it keeps anything."""
LATE_US = CATCH_UP_LIMIT_US - 1_000_000
"""Who comes back so late after what it goes on from need not repeat all of it."""
A_WHILE_TICKS = 400
"""More than a process that went before can have simulated alone."""
YOUNG_US = 1_000_000
"""An entity that was spawned so lately need not have been simulated yet."""


class Judge:
    """Per entity: tick -> (process, version, state after)."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.ticks: dict[int, dict[int, tuple[Process, int, int]]] = {}
        self.first_us: dict[Process, int] = {}
        self.last_us: dict[Process, int] = {}
        """When a process simulated for the first and for the last time."""
        self.seen_us: dict[int, int] = {}
        """When an entity was simulated last, by anyone."""
        self.born_us: dict[int, int] = {}
        """Spawned and not despawned, by what Redis executed."""
        self.gone_us: dict[int, int] = {}
        """Despawned, by what Redis executed, and when."""
        self.uncertain: set[int] = set()
        """Redis forgot that they came, or that they went: either is right."""
        self.despawned: set[int] = set()
        self.published: dict[tuple[str, int], int] = {}
        """(shard, epoch) -> the tick of its newest manifest that Redis took."""
        self.open_us: dict[TransferId, int] = {}
        """Records by when they were begun."""
        self.adopted_from_offer: dict[tuple[int, int], range] = {}
        """(entity, version) -> the ticks through which its new owner moved the state that it got forward by itself."""
        self._restored: dict[tuple[int, int], int] = {}
        """(entity, version) -> the tick at whose end the row is that a census has restored."""
        self.outcomes: Counter[str] = Counter()
        self._taken_us: dict[tuple[str, str], int] = {}
        """(taker, whom it took over) -> when."""
        self._forgot_us = 0
        """When Redis forgot last; 0: never."""
        self._heard: set[tuple[str, int]] = set()
        """(shard, epoch) of those that have said what they know since."""
        self.owned_again_us = self.cleared_us = -1
        """How long after the last fault A2 and A3 held."""
        self._bounds_from_us = 0

    @property
    def completed(self) -> int:
        return self.outcomes["cleared"]

    # --- while it runs ------------------------------------------------------------------------------------------

    def simulated(self, process: Process, tick: TraceTick, at_us: int) -> None:
        self.fleet.note("tick", process, tick.tick, tick.ids.tobytes(), tick.state_out.tobytes())
        number = tick.tick
        self.first_us.setdefault(process, at_us)
        self.last_us[process] = at_us
        if self.fleet.now_us >= self.fleet.grid.start_us(number) + LATE_US:
            self.not_repeated(process, tick.ids.tolist(), range(number - A_WHILE_TICKS, number))
        rows = zip(
            tick.ids.tolist(), tick.versions.tolist(), tick.state_in.tolist(), tick.state_out.tolist(), strict=True
        )
        for entity, version, state_in, state_out in rows:
            history = self.ticks.setdefault(entity, {})
            before = history.get(number)
            if before is not None:
                other, other_version, _ = before
                repeated = other is not process and self._ended_before(other, process)
                assert repeated, (
                    f"A1: entity {entity} at tick {number}: simulated by {process.shard} (life {process.life}, "
                    f"version {version}) and by {other.shard} (life {other.life}, version {other_version})"
                )
            self._check_state(process, entity, version, number, state_in)
            history[number] = (process, version, state_out)
            self.seen_us[entity] = at_us

    def _ended_before(self, other: Process, process: Process) -> bool:
        """What ``other`` simulated lies before all of ``process``, or before that one took it over."""
        taken_us = self._taken_us.get((process.shard, other.shard), 0)
        return self.last_us[other] < max(self.first_us.get(process, self.fleet.now_us), taken_us)

    def not_repeated(self, process: Process, entities: list[int], ticks: range) -> None:
        """What those before ``process`` made of these ticks, and nobody heard of, is gone: it leaves them out."""
        for entity in entities:
            history = self.ticks.get(entity, {})
            for tick in sorted(history.keys() & set(ticks), reverse=True):
                other = history[tick][0]
                published = self.published.get((other.shard, other.runtime.context.epoch), 0)
                if other is not process and tick > published and self._ended_before(other, process):
                    del history[tick]

    def taken_over(self, taker: str, gone: str) -> None:
        """With ``gone`` go those that it had taken over."""
        chain = {gone, *(shard for one, shard in self._taken_us if one == gone)}
        self._taken_us.update({(taker, shard): self.fleet.now_us for shard in sorted(chain)})

    def _check_state(self, process: Process, entity: int, version: int, tick: int, state_in: int) -> None:
        """A4: the row starts from the newest state before this tick; A5: versions never fall as ticks rise."""
        history = self.ticks[entity]
        earlier = (t for t in range(tick - 1, tick - A_WHILE_TICKS, -1) if t in history)
        newest = next(earlier, None)
        if newest is None:
            return
        wrong = self._follows(process, entity, version, tick, state_in, newest)
        if wrong and self._unheard(history[newest][0]):
            heard = next((t for t in earlier if not self._unheard(history[t][0])), None)
            wrong = "" if heard is None else self._follows(process, entity, version, tick, state_in, heard)
        assert not wrong, wrong

    def _follows(self, process: Process, entity: int, version: int, tick: int, state_in: int, earlier: int) -> str:
        """What is wrong with a row that comes after what was simulated at tick ``earlier``; "" where nothing is."""
        history = self.ticks[entity]
        other, other_version, state_out = history[earlier]
        if version < other_version:
            return f"A5: entity {entity} at tick {tick}: version {version} after {other_version}"
        if version == other_version and process.shard != other.shard:
            return f"A5: entity {entity} at tick {tick}: {process.shard} and {other.shard} both under version {version}"
        if state_in != state_out:
            # Only a target that never got the final state may differ, and only where the source left out a tick.
            forwarded = self.adopted_from_offer.get((entity, version), range(0))
            if all(tick in history for tick in forwarded):
                return (
                    f"A4: entity {entity} at tick {tick}: {process.shard} starts version {version} from another state "
                    f"than {other.shard} ended version {other_version} with"
                )
        return ""

    def _unheard(self, process: Process) -> bool:
        """Redis forgot what this one had shared with it, and it died unheard: others may go on from before."""
        if not self._forgot_us or not process.dead:
            return False
        is_heard = (process.shard, process.runtime.context.epoch) in self._heard
        return not is_heard and self.last_us[process] >= self._forgot_us - FORGOTTEN_US

    def event(self, process: Process, event: TraceEvent) -> None:
        self.fleet.note(event.kind, process, event.tick, event.ids.tolist())
        if event.kind == "despawn":
            self.despawned.update(event.ids.tolist())
        if (
            event.kind == "adopt"
            and event.detail.get("origin") in ("offer", "takeover")
            and "offer_tick" in event.detail
        ):
            forwarded = range(event.detail["offer_tick"] + 1, event.detail["state_tick"] + 1)
            for entity, version in zip(event.ids.tolist(), event.versions.tolist(), strict=True):
                self.adopted_from_offer[entity, version] = forwarded
        if event.kind == "adopt" and event.detail.get("origin") == "manifest":
            for restored in zip(event.ids.tolist(), event.versions.tolist(), strict=True):
                if restored in self._restored:
                    self.adopted_from_offer[restored] = range(
                        self._restored[restored] + 1, event.detail["state_tick"] + 1
                    )

    def executed(self, request: Request, reply: Reply) -> None:
        if isinstance(request, Publish) and not isinstance(reply, Refused):
            self.published[request.shard, request.epoch] = request.tick
        if not isinstance(reply, Done):
            return
        match request:
            case Seed() | Arrive() | Spawn():
                for group in request.groups:
                    self.born_us.update(dict.fromkeys(np.frombuffer(group.ids, "<u8").tolist(), self.fleet.now_us))
            case Despawn():
                for entity in np.frombuffer(request.ids, "<u8").tolist():
                    self.born_us.pop(entity, None)
                    self.gone_us[entity] = self.fleet.now_us
            case Begin():
                self.open_us.setdefault(request.transfer, self.fleet.now_us)
            case Adopted() | Released() if reply.outcome is Outcome.CLEARED:
                self.outcomes["cleared"] += request.transfer in self.open_us
                self.open_us.pop(request.transfer, None)
            case RestoreEntity() if reply.outcome is Outcome.OK:
                self._restored[request.entity, request.version] = request.offer_tick
            case Rejoin():
                self._heard.add((request.shard, request.epoch))
            case Cancel() if reply.outcome is Outcome.CANCELED:
                self.outcomes["canceled"] += 1

    def forgets(self, since_us: int) -> None:
        """Redis loses what it executed since then. What nobody had taken up is gone; what a shard knows is not."""
        self._forgot_us = self.fleet.now_us
        self._heard.clear()
        self.published.clear()
        unseen = [e for e, born_us in self.born_us.items() if born_us >= since_us and e not in self.seen_us]
        recent_us = max(since_us, self.fleet.now_us - YOUNG_US)
        self.uncertain.update(unseen, (e for e, gone_us in self.gone_us.items() if gone_us >= recent_us))
        for entity in unseen:
            del self.born_us[entity]

    # --- once the faults are over -------------------------------------------------------------------------------

    def converged_us(self) -> int | None:
        """The present time once A2 and A3 hold, else None. Raises ``AssertionError`` past their bounds."""
        fleet, after_us = self.fleet, self.fleet.now_us - self.fleet.last_fault_us
        config = fleet.config
        if fleet.last_fault_us > self._bounds_from_us:  # what was well after the one before may not be so any more
            self._bounds_from_us = fleet.last_fault_us
            self.owned_again_us = self.cleared_us = -1
        if self.owned_again_us < 0:
            if missing := self._comes_back() or self._missing():
                bound_us = max(OWNED_AGAIN_US, config.lease_us + 2_000_000) + self._clocks_off_us()
                assert after_us <= bound_us, f"A2: {missing} {after_us / 1e6:.1f} s after the last fault"
            else:
                self.owned_again_us = after_us
        if self.cleared_us < 0:
            records = fleet.redis.store.state.records
            left = [t for t in records if self.open_us.get(t, 0) <= fleet.last_fault_us]
            if left:
                bound_us = config.discrepancy_threshold_us + AFTER_THRESHOLD_US
                assert after_us <= bound_us, f"A3: left behind: {', '.join(map(str, left))}"
            else:
                self.cleared_us = after_us
        return fleet.now_us if self.owned_again_us >= 0 and self.cleared_us >= 0 else None

    def undone(self) -> bool:
        """Whether what had been well is so no more: the bound goes on counting from the last fault."""
        if not self._missing():
            return False
        self.owned_again_us = -1
        return True

    def _comes_back(self) -> str:
        """A shard without a cell, which all the same may find something in its journal."""
        for shard, process in self.fleet.processes.items():
            if not (process.dead or process.cut_off) and process.runtime.state is RuntimeState.RECOVERING:
                return f"{shard} still comes back"
        return ""

    def _missing(self) -> str:
        """What is not as it should be: shards that do not work, cells without a shard, entities at a standstill."""
        fleet, now_us = self.fleet, self.fleet.now_us
        for shard in fleet.layout.shards:
            process = fleet.processes.get(shard)
            if process is None or process.dead or process.runtime.state is not RuntimeState.ACTIVE:
                return f"{shard} does not work"
        for cell in fleet.layout.cells:
            epoch = fleet.processes[cell.shard].runtime.context.epoch
            if fleet.redis.store.state.claims.get(cell.path) != (cell.shard, epoch):
                return f"cell {cell.path} is not claimed by {cell.shard}"
        # Born by a clock that is right, simulated by one that may be behind.
        young_us = YOUNG_US + self._clocks_off_us()
        # Since the last fault: whom it struck may have been simulated a moment before.
        recent_us = max(now_us - SEEN_US, fleet.last_fault_us + 1)
        still = [
            entity
            for entity, born_us in self.born_us.items()
            if self.seen_us.get(entity, 0) < recent_us and born_us < now_us - young_us
        ]
        return f"entities {still} have no owner that simulates them" if still else ""

    def _clocks_off_us(self) -> int:
        """A tick that a process with a clock ahead has simulated is not simulated again: its successor waits."""
        return max((abs(f.amount) for f in self.fleet.plan.faults if f.kind == "clock set"), default=0)

    def check_end(self) -> None:
        """Raises ``AssertionError`` unless every entity has exactly one owner, and every owner's entity is alive."""
        missing = self._missing()
        assert not missing, f"A2: {missing}, after it had converged"
        for process in self.fleet.all_processes:
            error = process.runtime.context.stats.continuity_error_max
            assert not error, f"A4: {process.shard} (life {process.life}): a handoff changed a state by {error}"
        state = self.fleet.redis.store.state
        differ = (state.living ^ set(self.born_us)) - self.uncertain
        assert not differ, f"A2: entities {sorted(differ)} are alive by Redis or by its scripts, not by both"
        for entity, held in sorted(self.fleet.owners().items()):
            sure = [shard for shard, how, _ in held if how != "passing"]
            assert len(sure) <= 1, f"A1: entity {entity} is held by {held}"
            assert not any(how == "frozen" for _, how, _ in held), f"A3: entity {entity} is frozen: {held}"
            leaving = self.gone_us.get(entity, 0) >= self.fleet.now_us - YOUNG_US  # its owner has not heard of it yet
            known = entity in self.born_us or entity in self.despawned or entity in self.uncertain or leaving
            assert known, f"A2: entity {entity} was never spawned"
