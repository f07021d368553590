"""ServerAuthorityRuntime: the handoff's tick order, and where each answer goes.

Synchronous and without I/O: time comes from an injected ``Clock``, answers come in through ``receive_*``, and what
is to be sent or stored waits in ``take_effects()``. The same object runs in production (authority_manager.py) and in
the deterministic simulation (tests/simulation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from .config import FleetConfig
from .core.authority import EntityAuthorityTracker
from .core.clock import Clock
from .core.columns import U64, Schema
from .core.comeback import Comeback
from .core.context import Context, Effects
from .core.despawn import Despawns
from .core.election import OwnershipElection
from .core.frames import Answer, Final, Frame, Nudge, Offer
from .core.journal_reader import JournalReader
from .core.lease import Lease
from .core.mailbox import TransferMailbox
from .core.manifest import PASSING
from .core.membership import Membership
from .core.overdue import OverdueTransfers
from .core.planner import BorderHandoffPlanner
from .core.repair_requests import Overdue, ReadOverdue
from .core.requests import (
    Accept,
    Adopted,
    Arrive,
    Begin,
    Cancel,
    Claim,
    Despawn,
    Done,
    Elect,
    Elected,
    Entries,
    FleetRecords,
    Observe,
    Observed,
    Publish,
    ReadEntries,
    ReadFleet,
    Recover,
    Recovered,
    Refused,
    RefusedReason,
    Reject,
    Released,
    Renew,
    Reply,
    Request,
    Resign,
    Seed,
    Tail,
)
from .core.simulation import Simulation
from .core.stream import EntityStream
from .core.ticks import TickGrid
from .errors import SimulationError
from .exit_codes import ExitCode
from .farewell import Farewell
from .telemetry import TelemetryPublisher

SIMULATION_RETRIES = 10
SIMULATION_RETRY_US = 1_000_000


class RuntimeState(StrEnum):
    STARTING = "starting"
    RECOVERING = "recovering"
    ACTIVE = "active"
    SETTLING = "settling"
    """No new transfers; open ones finish; then the last manifest and RESIGN."""
    RESIGNED = "resigned"
    ENDED = "ended"
    """The process must end; ``exit_code`` says how."""


class Peers(Protocol):
    """The links, as the runtime sees them."""

    def reachable(self) -> Mapping[str, int]:
        """Peers with a link, room in its queue and a clock within the limit, which take rows of this shard's schema
        -> the link's epoch."""
        ...


@dataclass(slots=True)
class _Failure:
    """A plugin that raises: how often in a row, and when to try again."""

    count: int = 0
    next_try_us: int = 0


class ServerAuthorityRuntime:
    """One shard's authority over its entities."""

    def __init__(
        self,
        *,
        shard: str,
        ordinal: int,
        address: str,
        config: FleetConfig,
        schema: Schema,
        simulation: Simulation,
        clock: Clock,
        peers: Peers,
        generation: str,
        rng: np.random.Generator,
        trace: bool = False,
    ) -> None:
        grid = TickGrid(config.tick_rate)
        self.context = Context(
            shard=shard,
            ordinal=ordinal,
            address=address,
            config=config,
            grid=grid,
            schema=schema,
            simulation=simulation,
            clock=clock,
            rng=rng,
            tracker=EntityAuthorityTracker(schema),
            trace=trace,
            generation=generation,
        )
        self.peers = peers
        self.membership = Membership(
            self.context, Lease(config.lease_us, outlives_outage=config.redis_outage_policy == "Continue")
        )
        self.context.lease_held = lambda: self.membership.lease.held(self.context.clock.boottime_us())
        self.election = OwnershipElection(shard, config.election_interval_us)
        self.stream = EntityStream(self.context, self.election)
        self.planner = BorderHandoffPlanner(
            shard,
            grid,
            BorderHandoffPlanner.Options(
                handoff_delay_us=config.handoff_delay_us, border_margin=config.border_margin, guard_us=config.guard_us
            ),
        )
        self.mailbox = TransferMailbox(self.context, self.planner.delay)
        self.journal_reader = JournalReader(self.context, self.mailbox, self.stream)
        self.overdue = OverdueTransfers(self.context, self.mailbox, self.journal_reader)
        self.despawns = Despawns(self.context)
        self.comeback = Comeback(self.context, self.membership, self.mailbox, self.stream)
        self.telemetry = TelemetryPublisher(self.context)
        self.state = RuntimeState.STARTING
        self.exit_code: int = ExitCode.RESIGNED
        self.exit_reason = ""
        self.unreachable: tuple[str, ...] = ()
        self._failure = _Failure()
        self._redis_silent = False
        """The last thing heard of Redis is that it does not answer."""
        self.farewell = Farewell(
            self.context,
            self.membership,
            self.mailbox,
            self.stream,
            self.journal_reader,
            self.despawns,
            self.telemetry,
        )

    # --- what the driver does with it ---------------------------------------------------------------------------

    def take_effects(self) -> Effects:
        """What is owed to the outside since the last call; see ``Effects`` for the order to keep."""
        effects, self.context.effects = self.context.effects, Effects()
        return effects

    def drain(self) -> None:
        """Ends this shard once the layout has given its cells to others and they have its entities."""
        self.farewell.drain = True

    def settle(self) -> None:
        """Ends this shard in order: no new transfers, open ones finish, last manifest, RESIGN."""
        self.farewell.settle = True

    @property
    def next_deadline_us(self) -> int:
        """Unix us at which ``poll`` has something to do between ticks."""
        return self.mailbox.next_try_us

    def despawn(self, ids: U64) -> U64:
        """See ``Despawns.ask``."""
        return self.despawns.ask(ids)

    def read_journal_now(self) -> None:
        """Something was written to this shard's journal."""
        self.journal_reader.read_soon()
        self.journal_reader.poll(self.context.clock.now_unix_us(), publishing=self.telemetry.in_flight is not None)

    def poll(self) -> None:
        """Between ticks: deadlines and repeats of transfers."""
        if self.state in (RuntimeState.ACTIVE, RuntimeState.SETTLING):
            self.mailbox.poll(self.context.clock.now_unix_us())

    # --- the tick, in the seed's order --------------------------------------------------------------------------

    def tick(self, tick: int) -> None:
        """One tick number. Numbers only rise; those left out count as passed."""
        clock = self.context.clock
        started_us = clock.now_unix_us()
        self.context.current_tick = tick
        self._housekeep(started_us, clock.boottime_us())
        if self.state not in (RuntimeState.ACTIVE, RuntimeState.SETTLING) or self.farewell.resting_tick >= 0:
            return
        stats = self.context.stats
        if not self.membership.lease.held(clock.boottime_us()):
            stats.state = "fenced"
            return
        stats.state = self._said_state()
        try:
            self._read_mailbox(tick)
            self._adopt_incoming(tick)
            if not self._simulate(tick):
                return
            self._plan_outgoing(tick)
            self._commit_outgoing(tick)
            if self.state is RuntimeState.SETTLING:
                self.farewell.rest(tick)
            self._publish_telemetry(tick)
            self._simulation_works()
        except SimulationError as error:
            self._simulation_failed(error)
            if not self.exit_reason:
                self._publish_telemetry(tick)  # rows as they were; otherwise nobody would hear of the error
        stats.ticks += 1
        stats.tick_us.add(clock.now_unix_us() - started_us)

    def _said_state(self) -> str:
        if self._failure.count:
            return "simulation-error"
        return "draining" if self.farewell.draining else str(self.state)

    def _read_mailbox(self, tick: int) -> None:
        """1. Frames and answers were taken as they came; what they left for the tick is rows that must go."""
        self.journal_reader.remove_due(tick)

    def _adopt_incoming(self, tick: int) -> None:
        """2. Everything that switches at or before this tick does so now, on both sides of this shard."""
        self.mailbox.switch_due(tick)
        self.mailbox.adopt_due(tick)
        self.stream.take_due(tick)

    def _simulate(self, tick: int) -> bool:
        """3. One step on the back buffer; without the lease at its end the tick never happened."""
        context, tracker = self.context, self.context.tracker
        now_us = context.clock.now_unix_us()
        if self._failure.count and now_us < self._failure.next_try_us:
            raise SimulationError(context.stats.last_error)
        moving = tracker.moving()
        rows = tracker.back_buffer()
        part = rows if moving is None else rows.take(moving)
        before = part.hashes() if context.trace else None
        leaving = context.step(part, tick) if len(part) else np.zeros(0, np.uint64)
        if not self.membership.lease.held(context.clock.boottime_us()):
            context.stats.ticks_thrown_away += 1
            context.stats.state = "fenced"
            self.mailbox.tick_thrown_away()
            return False
        if moving is not None:
            for name, column in part.arrays.items():
                rows.arrays[name][moving] = column
        tracker.swap()
        ended_us = context.clock.now_unix_us()
        context.trace_tick(tick, part, before)
        context.stats.frozen_entity_ticks += tracker.frozen_count
        self.mailbox.after_step(tick, ended_us)
        if len(leaving):
            self.despawns.ask(leaving)
        return True

    def _plan_outgoing(self, tick: int) -> None:
        """4. Border crossings become transfers."""
        if self.state is not RuntimeState.ACTIVE or not self.membership.layout.cells or self._failure.count:
            return
        if self._redis_silent:
            return  # a transfer that begins now would freeze its rows until Redis is back
        plan = self.planner.plan(
            self.context.tracker, self.membership.layout, self.membership.claims, self.peers.reachable(), tick=tick
        )
        self.unreachable = plan.unreachable
        if plan.unreachable or plan.waiting:
            self.membership.look_soon(self.context.clock.now_unix_us())
        if plan.transfers:
            transfer_time_us, switch_tick = self.planner.switch(self.context.clock.now_unix_us())
            self.mailbox.begin(plan.transfers, transfer_time_us=transfer_time_us, switch_tick=switch_tick, tick=tick)

    def _commit_outgoing(self, tick: int) -> None:
        """5. Last columns to the targets; what is accepted and switches before the next tick goes."""
        self.mailbox.commit_due(tick)

    def _publish_telemetry(self, tick: int) -> None:
        """6. On interval, the manifest."""
        context = self.context
        context.stats.entities = len(context.tracker)
        context.stats.passing = int(np.count_nonzero(context.tracker.states == PASSING))
        context.stats.frozen = context.tracker.frozen_count
        context.stats.transfers_open = self.mailbox.open_count
        context.stats.handoff_delay_us = self.planner.delay.at(context.clock.now_unix_us())
        if self.farewell.resting_tick == tick or self.telemetry.due(context.clock.now_unix_us()):
            self.telemetry.publish(tick)

    # --- around the tick ----------------------------------------------------------------------------------------

    def _housekeep(self, now_us: int, boottime_us: int) -> None:
        """Whatever runs on an interval and binds to no tick."""
        if self.state in (RuntimeState.RESIGNED, RuntimeState.ENDED):
            return
        context, membership = self.context, self.membership
        membership.poll(now_us, boottime_us)
        if membership.recovered is None:
            return
        if self.state is RuntimeState.RECOVERING:
            self._recover(now_us, boottime_us)
            if self.context.stats.state != RuntimeState.ACTIVE:
                return
        self._enter_or_leave_settling()
        membership.claim(now_us)
        if self.election.look_due(now_us) and self.state is RuntimeState.ACTIVE:
            self.election.sent()
            context.request(Elect(shard=context.shard, epoch=context.epoch, ttl_ms=self.election.ttl_ms))
        if self.state is RuntimeState.ACTIVE and self.farewell.resting_tick < 0 and membership.lease.held(boottime_us):
            self._advance_stream(now_us)
        quiet = self.state is RuntimeState.SETTLING and self.farewell.quiet
        self.journal_reader.poll(now_us, publishing=self.telemetry.in_flight is not None or quiet)
        self.overdue.poll(now_us)
        self.despawns.repeat(now_us)
        if self.state is RuntimeState.SETTLING:
            self.farewell.advance(failing=bool(self._failure.count))

    def _enter_or_leave_settling(self) -> None:
        """A fleet that settles rests with its rows; a shard without a cell ends once it has none."""
        farewell = self.farewell
        if self.state is RuntimeState.ACTIVE and (farewell.asked or farewell.drained):
            self.state = RuntimeState.SETTLING
            farewell.begin()
        elif self.state is RuntimeState.SETTLING and not farewell.asked and len(self.context.tracker):
            self.state = RuntimeState.ACTIVE
            farewell.take_back()

    def _advance_stream(self, now_us: int) -> None:
        if not self.membership.layout.cells:
            return
        try:
            self.stream.advance(self.membership.layout, now_us)
        except SimulationError as error:
            self._simulation_failed(error)

    def _recover(self, now_us: int, boottime_us: int) -> None:
        try:
            if not self.comeback.advance(now_us, boottime_us):
                return
        except SimulationError as error:
            self._end(ExitCode.SIMULATION, f"while catching up: {error}")
            return
        self.state = RuntimeState.ACTIVE
        self.context.stats.state = str(self.state)

    def _simulation_failed(self, error: SimulationError) -> None:
        """The old buffer stays, the claims are given up, and it is tried again each second."""
        context, failure = self.context, self._failure
        now_us = context.clock.now_unix_us()
        if failure.count and now_us < failure.next_try_us:
            return
        self.mailbox.tick_thrown_away()
        failure.count += 1
        failure.next_try_us = now_us + SIMULATION_RETRY_US
        context.stats.simulation_errors += 1
        context.stats.last_error = str(error)
        context.stats.state = "simulation-error"
        self.membership.giving_up = True
        if failure.count > SIMULATION_RETRIES:
            self._end(ExitCode.SIMULATION, str(error))

    def _simulation_works(self) -> None:
        if self._failure.count:
            self._failure.count = 0
            self.membership.giving_up = self.state is RuntimeState.SETTLING

    def _end(self, code: ExitCode, reason: str) -> None:
        self.state = RuntimeState.ENDED
        self.exit_code, self.exit_reason = code, reason
        self.context.stats.state = "ended"

    # --- what comes from outside --------------------------------------------------------------------------------

    def receive_frame(self, peer: str, frame: Frame) -> None:
        """A frame of ``peer``'s present epoch, as it arrives, also between ticks."""
        if self.state not in (RuntimeState.ACTIVE, RuntimeState.SETTLING):
            return
        match frame:
            case Offer():
                self.mailbox.handle_offer(peer, frame)
            case Answer():
                self.mailbox.handle_answer(peer, frame)
            case Final():
                self.mailbox.handle_final(peer, frame)
            case Nudge():
                self.read_journal_now()

    def receive_reply(self, request: Request, reply: Reply | None) -> None:
        """Redis' answer to ``request``; None: it may or may not have been executed."""
        if self.state in (RuntimeState.RESIGNED, RuntimeState.ENDED):
            return
        self._redis_silent = reply is None
        now_us, boottime_us = self.context.clock.now_unix_us(), self.context.clock.boottime_us()
        if isinstance(reply, Refused) and self._fatal(request, reply):
            return
        membership = self.membership
        match request, reply:
            case ((Begin() | Accept() | Reject() | Cancel() | Adopted() | Released()), (Done() | None)):
                self.mailbox.handle_reply(request, reply)
            case Publish(), _:
                self.telemetry.answered(isinstance(reply, Entries))
                if isinstance(reply, Entries):
                    self.journal_reader.handle_published(reply, now_us)
            case Tail(), (Entries() | None):
                self.journal_reader.handle_tail(reply)
            case ReadEntries(), (Entries() | None):
                self._fetched(reply)
            case Renew(), (Done() | Refused() | None):
                membership.handle_renewed(reply, boottime_us)
            case Observe(), (Observed() | None):
                self._observed(reply, now_us)
            case Claim(), (Done() | Refused() | None):
                membership.handle_claimed(request, reply, now_us)
            case Recover(), (Recovered() | None):
                if membership.handle_recovered(reply, now_us):
                    self.state = RuntimeState.RECOVERING
                    self._housekeep(now_us, boottime_us)
            case ReadFleet(), (FleetRecords() | None):
                self.comeback.handle_fleet(reply, now_us)
            case Elect(), (Elected() | None):
                self.election.answered(reply, now_us)
            case ((Seed() | Arrive()), (Done() | Refused() | None)):
                if self.stream.handle_reply(request, reply, now_us):
                    self._nudge_all()
                if self.stream.stale:
                    membership.look_soon(now_us)
            case ReadOverdue(), (Overdue() | None):
                self.overdue.handle_reply(reply, now_us)
            case Despawn(), (Done() | None):
                self.despawns.handle_reply(request, reply)
            case Resign(), _:
                self._resigned(reply)

    def _fetched(self, reply: Entries | None) -> None:
        try:
            self.journal_reader.handle_fetched(reply)
        except SimulationError as error:
            self._end(ExitCode.SIMULATION, f"while taking up rows of former columns: {error}")

    def _fatal(self, request: Request, reply: Refused) -> bool:
        """A successor exists, or Redis is another: nothing that this process still does may count."""
        if reply.reason is RefusedReason.EPOCH:
            self._end(ExitCode.SUPERSEDED, f"a newer epoch of {self.context.shard} exists ({reply.detail})")
        elif reply.reason is RefusedReason.GENERATION:
            self._end(ExitCode.GENERATION, "Redis restarted or was replaced: its generation is another")
        else:
            return False
        return True

    def _observed(self, reply: Observed | None, now_us: int) -> None:
        holder = self.membership.members.get(self.election.holder)
        self.membership.handle_observed(reply, now_us)
        if reply is None:
            return
        self.stream.observed(seeded=reply.seeded, arrivals_through=reply.arrivals_through)
        now = self.membership.members.get(self.election.holder)
        if (holder is not None and holder.living) and (now is None or not now.living):
            self.election.look_soon(now_us)
        if self.state is not RuntimeState.RECOVERING:  # the former process' lease may still stand
            self.membership.claim(now_us)

    def _resigned(self, reply: Reply | None) -> None:
        if self.farewell.handle_resigned(reply):
            self.state = RuntimeState.RESIGNED
            self.exit_code = ExitCode.RESIGNED
            self.context.stats.state = "resigned"

    def _nudge_all(self) -> None:
        self.journal_reader.read_soon()
        for peer in sorted(self.peers.reachable()):
            self.context.send(peer, Nudge())
