"""Transfers: their identity, the records both sides keep, and the transition tables.

A transfer is every entity that leaves one shard for another in one tick. Its life is two small state machines,
one on each side; the tables below are the whole of both, and a pair that is not in a table is a bug that stops
the process (recovery then takes over).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ..errors import InvariantError
from .columns import Columns
from .transfer_spans import OpenSpans

MAX_ENTITIES_PER_TRANSFER = 4096
"""More go under further ids: bounds a frame, a script's run time and what one doubt can freeze."""


class TransferId(NamedTuple):
    """``source/epoch/sequence``; sequences count from 1 within a shard's epoch."""

    source: str
    epoch: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.source}/{self.epoch}/{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> TransferId:
        """Raises ``ValueError`` for anything but ``source/epoch/sequence``."""
        source, epoch, sequence = text.rsplit("/", 2)
        if not source or int(epoch) < 0 or int(sequence) < 1:
            raise ValueError(f"not a transfer id: {text!r}")
        return cls(source, int(epoch), int(sequence))


class OutgoingState(StrEnum):
    """Where an outgoing transfer is, as its source knows it."""

    OFFERED = "offered"
    """BEGIN and the offer are on their way; no answer yet."""
    CANCELING = "canceling"
    """The deadline passed without an answer: CANCEL was sent; only its result ends the doubt."""
    FROZEN = "frozen"
    """The switch tick came in doubt: the entities are neither simulated nor dropped."""
    WITHDRAWN = "withdrawn"
    """The target promised never: the entities are free again; CANCEL tidies the record."""
    ACCEPTED = "accepted"
    """The point of no return: at the switch tick the entities go."""
    RELEASED = "released"
    """The entities have gone; RELEASED is repeated until Redis has it."""
    KEPT = "kept"
    """End: the entities stayed."""
    GONE = "gone"
    """End: the entities went and Redis knows."""


class OutgoingInput(StrEnum):
    LEARN_ACCEPTED = "learn accepted"
    """By answer, by a script's result, by the own journal, or by a returning entity of a higher version."""
    LEARN_KEPT = "learn kept"
    """By a compare-and-set alone: CANCEL's or BEGIN's result."""
    LEARN_REFUSED = "learn refused"
    """The target's answer 'rejected'."""
    DEADLINE = "deadline"
    """``transferTimeUs - guard`` passed, or it is time to repeat."""
    SWITCH = "switch"
    """The switch tick is the next to be simulated, or has passed."""
    CONFIRM_RELEASED = "confirm released"


class OutgoingAction(StrEnum):
    NOTHING = "-"
    SEND_CANCEL = "send CANCEL"
    FREEZE = "freeze"
    FREEZE_AND_CANCEL = "freeze, send CANCEL"
    RESUME = "resume"
    RESUME_AND_CANCEL = "resume, send CANCEL"
    RELEASE = "release, send RELEASED"
    SEND_RELEASED = "send RELEASED"


_S, _I, _A = OutgoingState, OutgoingInput, OutgoingAction
OUTGOING: dict[tuple[OutgoingState, OutgoingInput], tuple[OutgoingAction, OutgoingState]] = {
    (_S.OFFERED, _I.LEARN_ACCEPTED): (_A.NOTHING, _S.ACCEPTED),
    (_S.OFFERED, _I.LEARN_KEPT): (_A.RESUME, _S.KEPT),
    (_S.OFFERED, _I.LEARN_REFUSED): (_A.RESUME_AND_CANCEL, _S.WITHDRAWN),
    (_S.OFFERED, _I.DEADLINE): (_A.SEND_CANCEL, _S.CANCELING),
    (_S.OFFERED, _I.SWITCH): (_A.FREEZE_AND_CANCEL, _S.FROZEN),
    (_S.CANCELING, _I.LEARN_ACCEPTED): (_A.NOTHING, _S.ACCEPTED),
    (_S.CANCELING, _I.LEARN_KEPT): (_A.RESUME, _S.KEPT),
    (_S.CANCELING, _I.LEARN_REFUSED): (_A.RESUME, _S.WITHDRAWN),
    (_S.CANCELING, _I.DEADLINE): (_A.SEND_CANCEL, _S.CANCELING),
    (_S.CANCELING, _I.SWITCH): (_A.FREEZE, _S.FROZEN),
    (_S.FROZEN, _I.LEARN_ACCEPTED): (_A.RELEASE, _S.RELEASED),
    (_S.FROZEN, _I.LEARN_KEPT): (_A.RESUME, _S.KEPT),
    (_S.FROZEN, _I.LEARN_REFUSED): (_A.RESUME, _S.WITHDRAWN),
    (_S.FROZEN, _I.DEADLINE): (_A.SEND_CANCEL, _S.FROZEN),
    (_S.FROZEN, _I.SWITCH): (_A.NOTHING, _S.FROZEN),
    (_S.WITHDRAWN, _I.LEARN_KEPT): (_A.NOTHING, _S.KEPT),
    (_S.WITHDRAWN, _I.LEARN_REFUSED): (_A.NOTHING, _S.WITHDRAWN),
    (_S.WITHDRAWN, _I.DEADLINE): (_A.SEND_CANCEL, _S.WITHDRAWN),
    (_S.WITHDRAWN, _I.SWITCH): (_A.NOTHING, _S.WITHDRAWN),
    (_S.ACCEPTED, _I.LEARN_ACCEPTED): (_A.NOTHING, _S.ACCEPTED),
    (_S.ACCEPTED, _I.DEADLINE): (_A.NOTHING, _S.ACCEPTED),
    (_S.ACCEPTED, _I.SWITCH): (_A.RELEASE, _S.RELEASED),
    (_S.RELEASED, _I.LEARN_ACCEPTED): (_A.NOTHING, _S.RELEASED),
    # A BEGIN that Redis executes again after the record was cleared answers 'decided': no news any more.
    (_S.RELEASED, _I.LEARN_KEPT): (_A.NOTHING, _S.RELEASED),
    (_S.RELEASED, _I.LEARN_REFUSED): (_A.NOTHING, _S.RELEASED),
    (_S.RELEASED, _I.DEADLINE): (_A.SEND_RELEASED, _S.RELEASED),
    (_S.RELEASED, _I.SWITCH): (_A.NOTHING, _S.RELEASED),
    (_S.RELEASED, _I.CONFIRM_RELEASED): (_A.NOTHING, _S.GONE),
}


class IncomingState(StrEnum):
    """Where an incoming transfer is, as its target knows it."""

    ASKED = "asked"
    """ACCEPT was handed to a socket: the target may no longer promise 'never' by itself."""
    REJECTING = "rejecting"
    """The target wants out; only REJECT's result can say whether it is."""
    ACCEPTED = "accepted"
    """Will be adopted at the switch tick."""
    ADOPTED = "adopted"
    """Simulated here; ADOPTED is repeated until Redis has it."""
    REFUSED = "refused"
    """End: it never came."""
    DONE = "done"
    """End: it came and Redis knows."""


class IncomingInput(StrEnum):
    LEARN_ACCEPTED = "learn accepted"
    """By ACCEPT's or REJECT's result, or by an ``in`` in the own journal."""
    LEARN_REFUSED = "learn refused"
    """By ACCEPT's or REJECT's result: never."""
    NOT_YET = "not yet"
    """ACCEPT came before BEGIN."""
    REPEAT = "repeat"
    """No result for a while: ask again."""
    EXPIRE = "expire"
    """Long past the transfer time and still not begun."""
    SWITCH = "switch"
    """The switch tick is the next to be simulated, or has passed, and the state to start from is there."""
    CONFIRM_ADOPTED = "confirm adopted"


class IncomingAction(StrEnum):
    NOTHING = "-"
    SEND_ACCEPT = "send ACCEPT"
    SEND_REJECT = "send REJECT"
    ANSWER_ACCEPTED = "answer accepted"
    ANSWER_REJECTED = "answer rejected"
    ADOPT = "adopt, send ADOPTED"
    SEND_ADOPTED = "send ADOPTED"


_T, _J, _B = IncomingState, IncomingInput, IncomingAction
INCOMING: dict[tuple[IncomingState, IncomingInput], tuple[IncomingAction, IncomingState]] = {
    (_T.ASKED, _J.LEARN_ACCEPTED): (_B.ANSWER_ACCEPTED, _T.ACCEPTED),
    (_T.ASKED, _J.LEARN_REFUSED): (_B.ANSWER_REJECTED, _T.REFUSED),
    (_T.ASKED, _J.NOT_YET): (_B.NOTHING, _T.ASKED),
    (_T.ASKED, _J.REPEAT): (_B.SEND_ACCEPT, _T.ASKED),
    (_T.ASKED, _J.EXPIRE): (_B.SEND_REJECT, _T.REJECTING),
    (_T.ASKED, _J.SWITCH): (_B.NOTHING, _T.ASKED),
    (_T.REJECTING, _J.LEARN_ACCEPTED): (_B.ANSWER_ACCEPTED, _T.ACCEPTED),
    (_T.REJECTING, _J.LEARN_REFUSED): (_B.ANSWER_REJECTED, _T.REFUSED),
    (_T.REJECTING, _J.NOT_YET): (_B.NOTHING, _T.REJECTING),
    (_T.REJECTING, _J.REPEAT): (_B.SEND_REJECT, _T.REJECTING),
    (_T.REJECTING, _J.EXPIRE): (_B.NOTHING, _T.REJECTING),
    (_T.REJECTING, _J.SWITCH): (_B.NOTHING, _T.REJECTING),
    (_T.ACCEPTED, _J.LEARN_ACCEPTED): (_B.NOTHING, _T.ACCEPTED),
    (_T.ACCEPTED, _J.NOT_YET): (_B.NOTHING, _T.ACCEPTED),
    (_T.ACCEPTED, _J.REPEAT): (_B.NOTHING, _T.ACCEPTED),
    (_T.ACCEPTED, _J.EXPIRE): (_B.NOTHING, _T.ACCEPTED),
    (_T.ACCEPTED, _J.SWITCH): (_B.ADOPT, _T.ADOPTED),
    (_T.ADOPTED, _J.LEARN_ACCEPTED): (_B.NOTHING, _T.ADOPTED),
    (_T.ADOPTED, _J.LEARN_REFUSED): (_B.NOTHING, _T.ADOPTED),  # a late ACCEPT, executed after the clear
    (_T.ADOPTED, _J.NOT_YET): (_B.NOTHING, _T.ADOPTED),
    (_T.ADOPTED, _J.REPEAT): (_B.SEND_ADOPTED, _T.ADOPTED),
    (_T.ADOPTED, _J.EXPIRE): (_B.NOTHING, _T.ADOPTED),
    (_T.ADOPTED, _J.SWITCH): (_B.NOTHING, _T.ADOPTED),
    (_T.ADOPTED, _J.CONFIRM_ADOPTED): (_B.NOTHING, _T.DONE),
}


@dataclass(slots=True, kw_only=True)
class Outgoing:
    """One outgoing transfer, as its source keeps it."""

    id: TransferId
    target: str
    target_epoch: int
    cell: str
    transfer_time_us: int
    switch_tick: int
    offer_tick: int
    """The offered columns are as of the end of this tick."""
    count: int
    ids: bytes
    """packed u64"""
    versions: bytes
    """packed u32: the versions under which the *target* will own them (the source's + 1)"""
    next_try_us: int
    state: OutgoingState = OutgoingState.OFFERED
    final_sent: bool = False
    spans: OpenSpans | None = None
    """Of a transfer that is traced."""
    rows_tick: int = -1
    """Once frozen: its rows are as of the end of this tick."""

    def step(self, event: OutgoingInput) -> OutgoingAction:
        """Takes ``event``; raises ``InvariantError`` where the table has no such pair."""
        try:
            action, self.state = OUTGOING[self.state, event]
        except KeyError:
            raise InvariantError(f"outgoing {self.id}: {event!r} in state {self.state!r}") from None
        return action


@dataclass(slots=True, kw_only=True)
class Incoming:
    """One incoming transfer, as its target keeps it."""

    id: TransferId
    cell: str
    transfer_time_us: int
    switch_tick: int
    offer_tick: int
    rows: Columns
    """As of the end of ``offer_tick``, already under the target's version."""
    next_try_us: int
    upgraded: bool = False
    """The source has a former schema."""
    state: IncomingState = IncomingState.ASKED
    final: Columns | None = None
    """As of the end of the source's last tick, under the target's version."""
    final_tick: int = -1
    final_unix_us: int = 0
    spans: OpenSpans | None = None
    """Of a transfer that is traced."""

    def step(self, event: IncomingInput) -> IncomingAction:
        """Takes ``event``; raises ``InvariantError`` where the table has no such pair."""
        try:
            action, self.state = INCOMING[self.state, event]
        except KeyError:
            raise InvariantError(f"incoming {self.id}: {event!r} in state {self.state!r}") from None
        return action
