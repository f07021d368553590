"""RollCall: a living shard's way through the roll-call of a Redis that restarted.

It says what it knows, waits until all have had a lease's time to do so, reads what all have said, acts on it, and waits
until everybody has. Meanwhile its entities go on, as long as its lease stands; nothing else does.
"""

from __future__ import annotations

from enum import StrEnum

from .context import Context
from .election import OwnershipElection
from .journal_reader import JournalReader
from .journal_requests import FleetRecords, ReadFleet
from .mailbox import TransferMailbox
from .membership import Membership
from .outgoing import RETRY_US
from .requests import Done, Refused, RefusedReason, Request
from .roll_conclusion import RollConclusion
from .roll_requests import MIN_CALL_MS, CallRoll, Ready, Rejoin, Rolled, RollPhase, WorldKnown
from .roll_statements import statements_of
from .schemas import schema_to_text
from .stream import EntityStream

POLL_US = 100_000


class RollState(StrEnum):
    OFF = "off"
    SAYING = "saying"
    WAITING = "waiting"
    """For the end of calling."""
    READING = "reading"
    CHECKING = "checking"
    """Whether all that was read is of this roll-call, and of it closed."""
    SETTLING = "settling"
    """Concluded; Redis is told."""
    READY = "ready"
    MISSED = "missed"
    """The world opened without this process: it has to recover."""


class RollCall:
    """At most one at a time; a Redis that restarts again begins another."""

    def __init__(
        self,
        context: Context,
        membership: Membership,
        mailbox: TransferMailbox,
        stream: EntityStream,
        journal_reader: JournalReader,
        election: OwnershipElection,
    ) -> None:
        self.context = context
        self.membership = membership
        self.mailbox = mailbox
        self.stream = stream
        self.journal_reader = journal_reader
        self.election = election
        self.state = RollState.OFF
        self._asked: Request | None = None
        """What is under way; answers to anything else are old."""
        self._asked_boottime_us = 0
        self._held = False
        """Whether the lease stood when it was said."""
        self._fleet: FleetRecords | None = None
        self._next_us = 0

    @property
    def on(self) -> bool:
        return self.state is not RollState.OFF

    @property
    def deaf(self) -> bool:
        """Frames are dropped: what this process has said of its transfers stands until it has read the others'."""
        return self.state not in (RollState.OFF, RollState.SETTLING, RollState.READY)

    def notice(self, generation: str, now_us: int, boottime_us: int) -> None:
        """Redis is another. From here on answers and frames of the former generation are dropped."""
        self.context.generation = generation
        self.context.stats.roll_calls += 1
        self._fleet = None
        # What was read of takeovers is of the former one; rows that came from now on would not be among those it says.
        self.journal_reader.takeovers.begin_anew()
        self._to(RollState.SAYING)
        self.poll(now_us, boottime_us)

    def poll(self, now_us: int, boottime_us: int) -> None:
        """Whatever is due."""
        if self._asked is not None or now_us < self._next_us:
            return
        match self.state:
            case RollState.SAYING:
                self._held = self.membership.lease.held(boottime_us)
                self._ask(self._rejoin(), boottime_us)
            case RollState.WAITING | RollState.CHECKING | RollState.READY:
                self._ask(CallRoll(call_ms=self._call_ms), boottime_us)
            case RollState.READING:
                self._ask(ReadFleet(registry=True), boottime_us)
            case RollState.SETTLING:
                self._ask(self._ready(), boottime_us)

    # --- answers ------------------------------------------------------------------------------------------------

    def handle_reply(
        self,
        request: Rejoin | CallRoll | ReadFleet | Ready,
        reply: Done | Refused | Rolled | FleetRecords | None,
        now_us: int,
        boottime_us: int,
    ) -> None:
        if request is not self._asked:
            return
        self._asked = None
        self._next_us = now_us + RETRY_US
        match self.state, reply:
            case _, None:
                pass
            case ((RollState.SAYING | RollState.SETTLING), Refused(reason=RefusedReason.CLOSED)):
                self._to(RollState.MISSED)
            case RollState.SAYING, Done():
                if self._held:
                    self.membership.lease.renewed(self._asked_boottime_us)
                self._to(RollState.WAITING)
            case ((RollState.WAITING | RollState.CHECKING), Rolled(phase=RollPhase.OPEN)):
                self._to(RollState.MISSED)
            case RollState.WAITING, Rolled(phase=RollPhase.CALLING):
                self._next_us = now_us + min(POLL_US, reply.wait_ms * 1_000 + 1)
            case RollState.WAITING, Rolled():
                self._to(RollState.READING)
            case RollState.READING, FleetRecords():
                self._fleet = reply
                self._to(RollState.CHECKING)
            case RollState.CHECKING, Rolled():
                self._conclude()
                self._to(RollState.SETTLING)
            case RollState.SETTLING, Done():
                self._to(RollState.READY)
            case RollState.READY, Rolled(phase=RollPhase.OPEN):
                self._to(RollState.OFF)
                self._go_on(now_us)
            case RollState.READY, Rolled():
                self._next_us = now_us + POLL_US // 4
        self.poll(now_us, boottime_us)

    # --- what is asked ------------------------------------------------------------------------------------------

    def _ask(self, request: Request, boottime_us: int) -> None:
        self._asked, self._asked_boottime_us = request, boottime_us
        self.context.request(request)

    def _to(self, state: RollState) -> None:
        self.state, self._asked, self._next_us = state, None, 0

    @property
    def _call_ms(self) -> int:
        return max(self.context.config.lease_us // 1_000, MIN_CALL_MS)

    def _rejoin(self) -> Rejoin:
        context, layout = self.context, self.membership.layout
        context.shadows.forget(context.clock.now_unix_us())
        return Rejoin(
            shard=context.shard,
            epoch=context.epoch,
            tick=context.current_tick,
            ordinal=context.ordinal,
            address=context.address,
            schema_hash=context.schema.hash,
            schema=schema_to_text(context.schema),
            takes=tuple(context.reader.takes),
            lease_ms=self.membership.lease.ttl_us // 1_000 if self._held else 0,
            call_ms=self._call_ms,
            world=WorldKnown(
                layout_version=layout.version,
                layout=layout.to_json() if layout.version else "",
                phase=self.membership.phase,
                seeded=self.stream.seeded,
                origin_tick=context.origin_tick,
                rests=context.rests,
                arrivals_through=self.stream.arrivals_through,
            ),
            statements=statements_of(context, self.mailbox, self.stream),
        )

    def _ready(self) -> Ready:
        return Ready(
            shard=self.context.shard,
            epoch=self.context.epoch,
            sequence=self.mailbox.outgoing.last_sequence,
            open=self.mailbox.accepted_ids,
        )

    # --- what follows -------------------------------------------------------------------------------------------

    def _conclude(self) -> None:
        assert self._fleet is not None
        fleet, self._fleet = self._fleet, None
        RollConclusion(self.context, self.mailbox, self.stream, self.journal_reader, fleet).conclude()

    def _go_on(self, now_us: int) -> None:
        """The world is open. What Redis has of claims and leases may be less than it was."""
        self.membership.claim_anew(now_us)
        self.election.look_soon(now_us)
        self.stream.stale = True
        self.journal_reader.read_soon()
