"""ServerAuthorityRuntime: the handoff's tick order, and where each answer goes.

Synchronous and without I/O: time comes from an injected ``Clock``, answers come in through ``receive_*``, and what
is to be sent or stored waits in ``take_effects()``. The same object runs in production (authority_manager.py) and in
the deterministic simulation (tests/simulation).
"""

from __future__ import annotations

from collections.abc import Mapping
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
from .core.outgoing import NOT_SCHEDULED
from .core.overdue import OverdueTransfers
from .core.planner import BorderHandoffPlanner
from .core.requests import Elect, Recovered, Reply, Request
from .core.roll_call import RollCall
from .core.simulation import Simulation
from .core.stream import EntityStream
from .core.takeover import Takeovers
from .core.ticks import TickGrid
from .errors import SimulationError
from .exit_codes import ExitCode
from .farewell import Farewell
from .life import OVER, SERVING, Life, PluginFailure, RuntimeState
from .replies import ReplyDesk
from .telemetry import TelemetryPublisher


class Peers(Protocol):
    """The links, as the runtime sees them."""

    def reachable(self) -> Mapping[str, int]:
        """Peers with a link, room in its queue and a clock within the limit, which take rows of this shard's schema
        -> the link's epoch."""
        ...


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
        self.takeovers = Takeovers(self.context, self.mailbox, self.stream)
        self.journal_reader = JournalReader(self.context, self.mailbox, self.stream, self.takeovers)
        self.overdue = OverdueTransfers(self.context, self.mailbox, self.journal_reader)
        self.despawns = Despawns(self.context)
        self.comeback = Comeback(self.context, self.membership, self.mailbox, self.stream, self.takeovers)
        self.telemetry = TelemetryPublisher(self.context)
        self.roll_call = RollCall(
            self.context, self.membership, self.mailbox, self.stream, self.journal_reader, self.election
        )
        self.unreachable: tuple[str, ...] = ()
        self._prepared_tick = -1
        self._prepared_us: int | None = None
        """How long that took; None where the tick is not to be simulated."""
        self._begun: tuple[int, int, int] | None = None
        """The tick whose second half is owed, Unix us at which its first half ended, and how long that took."""
        self.life = Life(self.context)
        self.failure = PluginFailure(self.context, self.life, self.membership, self.mailbox)
        self.farewell = Farewell(
            self.context,
            self.membership,
            self.mailbox,
            self.stream,
            self.journal_reader,
            self.despawns,
            self.telemetry,
        )
        self.replies = ReplyDesk(
            context=self.context,
            life=self.life,
            membership=self.membership,
            election=self.election,
            stream=self.stream,
            mailbox=self.mailbox,
            journal_reader=self.journal_reader,
            overdue=self.overdue,
            despawns=self.despawns,
            comeback=self.comeback,
            takeovers=self.takeovers,
            telemetry=self.telemetry,
            farewell=self.farewell,
            roll_call=self.roll_call,
            nudge_all=self._nudge_all,
        )

    # --- what the driver does with it ---------------------------------------------------------------------------

    @property
    def state(self) -> RuntimeState:
        return self.life.state

    @property
    def exit_code(self) -> int:
        return self.life.exit_code

    @property
    def exit_reason(self) -> str:
        return self.life.exit_reason

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
        return NOT_SCHEDULED if self.roll_call.on else self.mailbox.next_try_us

    def despawn(self, ids: U64) -> U64:
        """See ``Despawns.ask``."""
        return self.despawns.ask(ids)

    def read_journal_now(self) -> None:
        """Something was written to this shard's journal."""
        self.journal_reader.read_soon()
        self.journal_reader.poll(self.context.clock.now_unix_us(), publishing=self.telemetry.in_flight is not None)

    def poll(self) -> None:
        """Between ticks: deadlines and repeats of transfers."""
        if self.state in SERVING and not self.roll_call.on:
            self.mailbox.poll(self.context.clock.now_unix_us())

    # --- the tick, in the seed's order, in two halves -----------------------------------------------------------

    def tick(self, tick: int) -> None:
        """One tick number, both halves. Numbers only rise; those left out count as passed."""
        self.begin_tick(tick)
        self.end_tick()

    def prepare_tick(self, tick: int) -> None:
        """Steps 1 and 2, also a moment before ``tick`` is due: nothing but ``begin_tick`` may come between."""
        self.end_tick()
        clock = self.context.clock
        started_us = clock.now_unix_us()
        self._prepared_tick, self._prepared_us = tick, None
        self.context.current_tick = tick
        self._housekeep(started_us, clock.boottime_us())
        if not self._may_tick():
            return
        self.context.stats.state = self._said_state()
        try:
            self._read_mailbox(tick)
            self._adopt_incoming(tick)
        except SimulationError as error:
            self._tick_failed(error, tick)
            self.context.stats.ticks += 1
        else:
            self._prepared_us = clock.now_unix_us() - started_us

    def begin_tick(self, tick: int) -> None:
        """Step 3, for which neighbours wait, after the first two: from then on the world is at ``tick``."""
        if self._prepared_tick != tick:
            self.prepare_tick(tick)
        prepared_us, self._prepared_us = self._prepared_us, None
        if prepared_us is None:
            return
        started_us = self.context.clock.now_unix_us()
        try:
            ended_us = self._simulate(tick)
            if ended_us is None:
                return
            self._begun = (tick, ended_us, prepared_us + ended_us - started_us)
        except SimulationError as error:
            self._tick_failed(error, tick)
        self.context.stats.ticks += 1

    def end_tick(self) -> None:
        """Steps 4 to 6 of the tick that was begun, which nobody waits for; nothing if none was."""
        if self._begun is None:
            return
        (tick, ended_us, first_half_us), self._begun = self._begun, None
        clock = self.context.clock
        resumed_us = clock.now_unix_us()
        if not self._may_tick():
            return
        try:
            self.mailbox.tell_ended(tick, ended_us)
            self._plan_outgoing(tick)
            self._commit_outgoing(tick)
            if self.state is RuntimeState.SETTLING and not self.roll_call.on:
                self.farewell.rest(tick)
            self._publish_telemetry(tick)
            self.failure.works()
        except SimulationError as error:
            self._tick_failed(error, tick)
        self.context.stats.tick_us.add(first_half_us + clock.now_unix_us() - resumed_us)

    def _may_tick(self) -> bool:
        if self.state not in SERVING or self.farewell.resting_tick >= 0:
            return False
        held = self.membership.lease.held(self.context.clock.boottime_us())
        if not held:
            self.context.stats.state = "fenced"
        return held

    def _tick_failed(self, error: SimulationError, tick: int) -> None:
        self.failure.failed(error)
        if not self.exit_reason:
            self._publish_telemetry(tick)  # rows as they were; otherwise nobody would hear of the error

    def _said_state(self) -> str:
        if self.failure.count:
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
        self.takeovers.take_due(tick)

    def _simulate(self, tick: int) -> int | None:
        """3. One step on the back buffer; without the lease at its end the tick never happened: None. Else when it
        ended."""
        context, tracker = self.context, self.context.tracker
        now_us = context.clock.now_unix_us()
        if self.failure.waits(now_us):
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
            return None
        if moving is not None:
            for name, column in part.arrays.items():
                rows.arrays[name][moving] = column
        tracker.swap()
        context.rows_tick = tick
        ended_us = context.clock.now_unix_us()
        context.trace_tick(tick, part, before)
        context.stats.frozen_entity_ticks += tracker.frozen_count
        self.mailbox.after_step(tick, ended_us)
        if len(leaving):
            self.despawns.ask(leaving)
        return ended_us

    def _plan_outgoing(self, tick: int) -> None:
        """4. Border crossings become transfers."""
        if self.state is not RuntimeState.ACTIVE or not self.membership.layout.cells or self.failure.count:
            return
        if self.replies.redis_silent or self.roll_call.on:
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
        if self.roll_call.on:
            return
        if self.farewell.resting_tick == tick or self.telemetry.due(context.clock.now_unix_us()):
            self.telemetry.publish(tick)

    # --- around the tick ----------------------------------------------------------------------------------------

    def _housekeep(self, now_us: int, boottime_us: int) -> None:
        """Whatever runs on an interval and binds to no tick."""
        if self.state in OVER:
            return
        context, membership = self.context, self.membership
        membership.poll(now_us, boottime_us)
        if membership.recovered is None:
            return
        if self.state is RuntimeState.RECOVERING:
            self._recover(now_us, boottime_us)
            if self.context.stats.state != RuntimeState.ACTIVE:
                return
        if self.roll_call.on:
            self.roll_call.poll(now_us, boottime_us)
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
        self.takeovers.poll(now_us)
        self.despawns.repeat(now_us)
        if self.state is RuntimeState.SETTLING:
            self.farewell.advance(failing=bool(self.failure.count))

    def _enter_or_leave_settling(self) -> None:
        """A fleet that settles rests with its rows; a shard without a cell ends once it has none."""
        farewell = self.farewell
        if self.state is RuntimeState.ACTIVE and (farewell.asked or farewell.drained):
            self.life.state = RuntimeState.SETTLING
            farewell.begin()
        elif self.state is RuntimeState.SETTLING and not farewell.asked and len(self.context.tracker):
            self.life.state = RuntimeState.ACTIVE
            farewell.take_back()

    def _advance_stream(self, now_us: int) -> None:
        if not self.membership.layout.cells:
            return
        try:
            self.stream.advance(self.membership.layout, now_us)
        except SimulationError as error:
            self.failure.failed(error)

    def _recover(self, now_us: int, boottime_us: int) -> None:
        try:
            if not self.comeback.advance(now_us, boottime_us):
                return
        except SimulationError as error:
            self.life.end(ExitCode.SIMULATION, f"while catching up: {error}")
            return
        self.life.state = RuntimeState.ACTIVE
        self.context.stats.state = str(self.state)

    # --- what comes from outside --------------------------------------------------------------------------------

    def receive_frame(self, peer: str, frame: Frame, *, generation: str = "") -> None:
        """A frame of ``peer``'s present epoch, as it arrives, also between ticks.

        ``generation``: Redis', as its sender knew it; '' where that is known to be this shard's.
        """
        if self.state not in SERVING or self.roll_call.deaf or generation not in ("", self.context.generation):
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

    def receive_reply(self, request: Request, reply: Reply | None, *, generation: str = "") -> None:
        """Redis' answer to ``request``; None: it may or may not have been executed.

        ``generation``: under which it was sent; '' where that is known to be the present one.
        """
        if generation not in ("", self.context.generation):
            reply = None  # another Redis gave it
        self.replies.take(request, reply)
        if isinstance(reply, Recovered) and self.state is RuntimeState.RECOVERING:
            self._housekeep(self.context.clock.now_unix_us(), self.context.clock.boottime_us())

    def _nudge_all(self) -> None:
        self.journal_reader.read_soon()
        for peer in sorted(self.peers.reachable()):
            self.context.send(peer, Nudge())
