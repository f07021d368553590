"""What the two sides of a transfer do, each with a rule broken."""

from __future__ import annotations

from typing import Any

from shardfleet_shard.core import transfer
from shardfleet_shard.core.columns import Columns
from shardfleet_shard.core.context import Context
from shardfleet_shard.core.incoming import IncomingTransfers
from shardfleet_shard.core.journal_requests import EntryKind
from shardfleet_shard.core.outgoing import OutgoingTransfers
from shardfleet_shard.core.requests import (
    Accept,
    Done,
    Outcome,
    Reply,
    Request,
)
from shardfleet_shard.core.transfer import (
    IncomingState,
    OutgoingAction,
    OutgoingInput,
    OutgoingState,
    TransferId,
)

from ..process import Process
from ..redis import RedisServer
from .patches import Patch

LOOKS_AFTER_US = 30_000
DOUBTFUL = (OutgoingState.OFFERED, OutgoingState.CANCELING)


# --- the source ------------------------------------------------------------------------------------------------


def unacknowledged_drop(patch: Patch) -> None:
    for state in DOUBTFUL:
        patch.setitem(
            transfer.OUTGOING, (state, OutgoingInput.SWITCH), (OutgoingAction.RELEASE, OutgoingState.RELEASED)
        )


def deadline_taken_as_canceled(patch: Patch) -> None:
    for state in DOUBTFUL:
        patch.setitem(transfer.OUTGOING, (state, OutgoingInput.DEADLINE), (OutgoingAction.RESUME, OutgoingState.KEPT))


def frozen_thaw_unasked(patch: Patch) -> None:
    frozen = (OutgoingState.FROZEN, OutgoingInput.DEADLINE)
    patch.setitem(transfer.OUTGOING, frozen, (OutgoingAction.RESUME, OutgoingState.KEPT))


def cancel_outranks_acceptance(patch: Patch) -> None:
    """What was learned while CANCEL was under way is not waited for, nor believed."""
    learned = (OutgoingState.CANCELING, OutgoingInput.LEARN_ACCEPTED)
    patch.setitem(transfer.OUTGOING, learned, (OutgoingAction.RESUME, OutgoingState.KEPT))


def ticks_compared_by_equality(patch: Patch) -> None:
    adopt_due = IncomingTransfers.adopt_due

    def switch_due(self: OutgoingTransfers, tick: int) -> None:
        self._switch([o for o in self.open.values() if o.switch_tick == tick])

    def commit_due(self: OutgoingTransfers, next_tick: int) -> None:
        due = (o for o in self.open.values() if o.switch_tick == next_tick)
        self._switch([o for o in due if o.state is OutgoingState.ACCEPTED])

    def adopt_equal(self: IncomingTransfers, tick: int) -> None:
        everything = self.open
        self.open = {t: i for t, i in everything.items() if i.switch_tick == tick}
        due = dict(self.open)
        adopt_due(self, tick)
        gone = due.keys() - self.open.keys()
        self.open = {t: i for t, i in everything.items() if t not in gone}

    patch.setattr(OutgoingTransfers, "switch_due", switch_due)
    patch.setattr(OutgoingTransfers, "commit_due", commit_due)
    patch.setattr(IncomingTransfers, "adopt_due", adopt_equal)


# --- the target ------------------------------------------------------------------------------------------------


def adopting_before_accept(patch: Patch) -> None:
    adopt_due = IncomingTransfers.adopt_due

    def adopt(self: IncomingTransfers, tick: int) -> None:
        for incoming in self.open.values():
            if incoming.state is IncomingState.ASKED and incoming.switch_tick <= tick:
                incoming.state = IncomingState.ACCEPTED
        adopt_due(self, tick)

    patch.setattr(IncomingTransfers, "adopt_due", adopt)


def read_taken_as_promise(patch: Patch) -> None:
    """It does not wait for the answer to its ACCEPT, which is still on its way: it looks, and believes what it sees."""
    submit = RedisServer.submit

    def looking(self: RedisServer, process: Process, request: Request, generation: str) -> None:
        def look() -> None:
            record = self.store.state.records.get(request.transfer)
            asked = process.runtime.mailbox.incoming.open.get(request.transfer)
            if asked and asked.state is IncomingState.ASKED and record is not None and record.state == "started":
                process.reply(request, Done(outcome=Outcome.REJECTED), generation)

        submit(self, process, request, generation)
        if isinstance(request, Accept):
            self.fleet.at(self.fleet.now_us + LOOKS_AFTER_US, look)

    patch.setattr(RedisServer, "submit", looking)


def timeout_taken_as_promise(patch: Patch) -> None:
    reply = Process.reply

    def promising(self: Process, request: Request, answer: Reply | None, generation: str) -> None:
        if isinstance(request, Accept) and answer is None:
            answer = Done(outcome=Outcome.REJECTED, reason="timed out")
        reply(self, request, answer, generation)

    patch.setattr(Process, "reply", promising)


def target_forgets_offer(patch: Patch) -> None:
    """And then takes the ``in`` in its journal for one that it has dealt with."""
    handle_reply, learn = IncomingTransfers.handle_reply, IncomingTransfers.learn_accepted

    def forgetting(self: IncomingTransfers, request: Any, reply: Done | None) -> None:
        asked = self.open.get(request.transfer)
        if isinstance(request, Accept) and reply is None and asked and asked.state is IncomingState.ASKED:
            del self.open[request.transfer]
        handle_reply(self, request, reply)

    def learning(self: IncomingTransfers, transfer: TransferId) -> bool:
        if not learn(self, transfer):
            self.context.journal.apply((EntryKind.IN, transfer))
        return True

    patch.setattr(IncomingTransfers, "handle_reply", forgetting)
    patch.setattr(IncomingTransfers, "learn_accepted", learning)


def offer_taken_as_final(patch: Patch) -> None:
    patch.setattr(Context, "forward", lambda self, rows, first_tick, last_tick: rows.copy())


def version_not_raised(patch: Patch) -> None:
    patch.setattr(Columns, "with_version_raised", lambda self: self)
