"""Redis' answers: which part of the runtime each of them is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .core.comeback import Comeback
from .core.context import Context
from .core.despawn import Despawns
from .core.election import OwnershipElection
from .core.journal_reader import JournalReader
from .core.journal_requests import Entries, FleetRecords, Publish, ReadEntries, ReadFleet, Tail
from .core.mailbox import TransferMailbox
from .core.membership import Membership
from .core.overdue import OverdueTransfers
from .core.repair_requests import Overdue, ReadOverdue
from .core.requests import (
    Accept,
    Adopted,
    Begin,
    Cancel,
    Claim,
    Done,
    Elect,
    Elected,
    Observe,
    Observed,
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
)
from .core.roll_call import RollCall, RollState
from .core.roll_requests import CallRoll, Ready, Rejoin, Rolled
from .core.spawn_requests import Arrive, Despawn, Seed
from .core.stream import EntityStream
from .core.takeover import Takeovers
from .errors import SchemaChanged, SimulationError
from .exit_codes import ExitCode
from .farewell import Farewell
from .life import OVER, SERVING, Life, RuntimeState
from .telemetry import TelemetryPublisher


@dataclass(slots=True, kw_only=True, eq=False)
class ReplyDesk:
    """Hands on each answer, and ends the process where one says that nothing it still does may count."""

    context: Context
    life: Life
    membership: Membership
    election: OwnershipElection
    stream: EntityStream
    mailbox: TransferMailbox
    journal_reader: JournalReader
    overdue: OverdueTransfers
    despawns: Despawns
    comeback: Comeback
    takeovers: Takeovers
    telemetry: TelemetryPublisher
    farewell: Farewell
    roll_call: RollCall
    nudge_all: Callable[[], None]
    """Tells all peers, and this shard, to read their journals."""
    redis_silent: bool = False
    """The last thing heard of Redis is that it does not answer."""

    def take(self, request: Request, reply: Reply | None) -> None:
        """``reply`` None: ``request`` may or may not have been executed."""
        if self.life.state in OVER:
            return
        self.redis_silent = reply is None
        now_us, boottime_us = self.context.clock.now_unix_us(), self.context.clock.boottime_us()
        if isinstance(reply, Refused):
            reply = self._refused(request, reply, now_us, boottime_us)
            if self.life.state in OVER:
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
                self._observed(reply, now_us, boottime_us)
            case Claim(), (Done() | Refused() | None):
                membership.handle_claimed(request, reply, now_us)
            case Recover(), (Recovered() | None):
                if membership.handle_recovered(reply, now_us):
                    self.life.state = RuntimeState.RECOVERING
            case ((Rejoin() | CallRoll() | Ready()), (Done() | Refused() | Rolled() | None)):
                self._roll_called(request, reply, now_us, boottime_us)
            case ReadFleet(), (FleetRecords() | None) if self.roll_call.on:
                self._roll_called(request, reply, now_us, boottime_us)
            case ReadFleet(), (FleetRecords() | None) if self.life.state in SERVING:
                self.takeovers.handle_fleet(request, reply, now_us)
            case ReadFleet(), (FleetRecords() | None):
                self.comeback.handle_fleet(reply, now_us)
            case Elect(), (Elected() | None):
                self.election.answered(reply, now_us)
            case ((Seed() | Arrive()), (Done() | Refused() | None)):
                if self.stream.handle_reply(request, reply, now_us):
                    self.nudge_all()
                if self.stream.stale:
                    membership.look_soon(now_us)
            case ReadOverdue(), (Overdue() | None):
                self.overdue.handle_reply(reply, now_us)
            case Despawn(), (Done() | None):
                self.despawns.handle_reply(request, reply)
            case Resign(), _:
                if self.farewell.handle_resigned(reply):
                    self.life.resign()

    def _refused(self, request: Request, reply: Refused, now_us: int, boottime_us: int) -> Refused | None:
        """What is left of a refusal for ``request``'s part; None: it was not executed, and is to be asked again.

        A successor exists: nothing that this process still does may count. Redis is another: the roll is called, where
        this process has rows; others begin anew. A lower epoch is that of a Redis that has forgotten this process, and
        not heard it yet: what was asked overtook the REJOIN.
        """
        reason, serving = reply.reason, self.life.state in SERVING
        if reason is RefusedReason.EPOCH and int(reply.detail) >= self.context.epoch:
            self.life.end(ExitCode.SUPERSEDED, f"a newer epoch of {self.context.shard} exists ({reply.detail})")
            return None
        if reason not in (RefusedReason.GENERATION, RefusedReason.CLOSED, RefusedReason.EPOCH):
            return reply
        if not serving:
            self._begin_anew()
        elif reason is RefusedReason.GENERATION and not (self.roll_call.on and reply.detail == self.context.generation):
            self.roll_call.notice(reply.detail, now_us, boottime_us)
        elif not self.roll_call.on:  # emptied, without a restart: it knows nobody any more
            self.roll_call.notice(self.context.generation, now_us, boottime_us)
        elif isinstance(request, Renew | Rejoin | Ready):
            return reply
        return None

    def _begin_anew(self) -> None:
        """What this process has read may be of two lives of Redis; it has no rows yet that anybody could miss."""
        self.life.end(ExitCode.GENERATION, "Redis restarted or was replaced: its generation is another")

    def _roll_called(
        self,
        request: Rejoin | CallRoll | ReadFleet | Ready,
        reply: Done | Refused | Rolled | FleetRecords | None,
        now_us: int,
        boottime_us: int,
    ) -> None:
        if not self.roll_call.on:
            if isinstance(request, CallRoll) and not isinstance(reply, Refused | FleetRecords | Done):
                if self.life.state in SERVING:
                    self._take_over(request, reply)
                else:
                    self.comeback.handle_checked(reply, now_us)
            return
        self.roll_call.handle_reply(request, reply, now_us, boottime_us)
        if self.roll_call.state is RollState.MISSED:
            self.life.end(ExitCode.GENERATION, "Redis restarted, and its roll-call ended without this process")
        elif not self.roll_call.on:
            self.telemetry.next_publish_us = 0

    def _fetched(self, reply: Entries | None) -> None:
        try:
            self.journal_reader.handle_fetched(reply)
        except SimulationError as error:
            self.life.end(ExitCode.SIMULATION, f"while taking up rows of former columns: {error}")

    def _take_over(self, request: CallRoll, reply: Rolled | None) -> None:
        try:
            self.takeovers.handle_checked(request, reply)
        except (SchemaChanged, SimulationError) as error:
            self.life.end(ExitCode.SIMULATION, f"while taking over what another shard held: {error}")

    def _observed(self, reply: Observed | None, now_us: int, boottime_us: int) -> None:
        if reply is not None and reply.generation != self.context.generation:
            if self.life.state in SERVING:
                self.roll_call.notice(reply.generation, now_us, boottime_us)
            else:
                self._begin_anew()
        if self.roll_call.on:
            reply = None  # it may have forgotten what is there
        holder = self.membership.members.get(self.election.holder)
        self.membership.handle_observed(reply, now_us)
        if reply is None:
            return
        self.stream.observed(seeded=reply.seeded, arrivals_through=reply.arrivals_through)
        now = self.membership.members.get(self.election.holder)
        if (holder is not None and holder.living) and (now is None or not now.living):
            self.election.look_soon(now_us)
        if self.life.state is not RuntimeState.RECOVERING:  # the former process' lease may still stand
            self.membership.claim(now_us)
