"""The index of rules in scenarios/README.md: without its rule, a scenario comes out differently."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from shardfleet_shard import runtime
from shardfleet_shard.core.frames import Answer, Frame, Offer
from shardfleet_shard.core.incoming import IncomingTransfers
from shardfleet_shard.core.journal_reader import JournalReader
from shardfleet_shard.core.journal_requests import EntryKind
from shardfleet_shard.core.outgoing import OutgoingTransfers
from shardfleet_shard.core.requests import Accept, Done, Outcome, Reply, Request
from shardfleet_shard.core.roll_call import RollCall
from shardfleet_shard.life import RuntimeState
from shardfleet_shard.store import memory
from shardfleet_shard.store.memory_state import State

from tests.simulation.variants import VARIANTS, lives
from tests.simulation.variants.patches import Patch, handler

from .interpreter import Interpreter
from .test_scenarios import FOLDER

ROW = re.compile(r"^\| (.+?) \| \[(\w+)\]\(\2\.txt\) \| `([\w*-]+)` \|$", re.MULTILINE)
INDEX = [(match[2], match[3]) for match in ROW.finditer((FOLDER / "README.md").read_text())]


def accept_before_begin_is_refused(patch: Patch) -> None:
    def accept(script: Any, state: State, r: Accept) -> Reply:
        reply = script(state, r)
        is_early = isinstance(reply, Done) and reply.outcome is Outcome.NOT_YET
        return Done(outcome=Outcome.DECIDED) if is_early else reply

    handler(patch, Accept, accept)


def timeout_is_a_promise(patch: Patch) -> None:
    handle_reply = IncomingTransfers.handle_reply

    def handle(self: IncomingTransfers, request: Any, reply: Done | None) -> None:
        promised = reply is None and isinstance(request, Accept)
        handle_reply(self, request, Done(outcome=Outcome.REJECTED) if promised else reply)

    patch.setattr(IncomingTransfers, "handle_reply", handle)


def journal_unread(patch: Patch) -> None:
    """Of transfers; of spawns it is read."""
    take = JournalReader._take

    def spawns_alone(self: JournalReader, entries: Any) -> None:
        take(self, tuple(entry for entry in entries if entry.transfer is None))

    patch.setattr(JournalReader, "_take", spawns_alone)


def older_outgoing_stays(patch: Patch) -> None:
    patch.setattr(OutgoingTransfers, "release_now", lambda self, sequence: None)


def answers_before_recover(patch: Patch) -> None:
    handle_offer = IncomingTransfers.handle_offer

    def handle(self: IncomingTransfers, peer: str, offer: Offer) -> None:
        handle_offer(self, peer, replace(offer, target_epoch=self.context.epoch))

    patch.setattr(IncomingTransfers, "handle_offer", handle)
    patch.setattr(runtime, "SERVING", tuple(RuntimeState))


def older_generation_runs(patch: Patch) -> None:
    execute = memory.MemoryStore.execute

    def run(self: memory.MemoryStore, request: Request, *, generation: str) -> Reply:
        return execute(self, request, generation=self.run_id)

    patch.setattr(memory.MemoryStore, "execute", run)


def older_answers_count(patch: Patch) -> None:
    """Neither the link's generation is looked at, nor the one in the answer, and a shard in a roll-call listens."""
    receive = runtime.ServerAuthorityRuntime.receive_frame

    def take(self: Any, peer: str, frame: Frame, *, generation: str = "") -> None:
        if isinstance(frame, Answer):
            frame = replace(frame, generation=self.context.generation)
        receive(self, peer, frame)

    patch.setattr(runtime.ServerAuthorityRuntime, "receive_frame", take)
    patch.setattr(RollCall, "deaf", False)


BROKEN: dict[str, Callable[[Patch], None]] = {
    **{name: variant.apply for name, variant in VARIANTS.items()},
    "accept-before-begin-is-refused*": accept_before_begin_is_refused,
    "timeout-is-a-promise*": timeout_is_a_promise,
    "journal-unread*": journal_unread,
    "older-outgoing-stays*": older_outgoing_stays,
    "answers-before-recover*": answers_before_recover,
    # Comparing with the others' records, which the variant leaves out too, does not heal this one.
    "position-counts-out*": lambda patch: lives.position_counts(patch, EntryKind.OUT),
    "position-counts-despawn*": lambda patch: lives.position_counts(patch, EntryKind.DESPAWN),
    "older-generation-runs*": older_generation_runs,
    "older-answers-count*": older_answers_count,
}


@pytest.mark.parametrize(("scenario", "broken"), INDEX)
def test_a_scenario_is_red_without_its_rule(scenario: str, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = (FOLDER / f"{scenario}.txt").read_text()
    BROKEN[broken](monkeypatch)
    try:
        actual = Interpreter().run(expected)
    except Exception as error:  # a runtime that is broken may fail in any way
        actual = repr(error)
    assert actual != expected


def test_the_whole_table_was_read() -> None:
    text = (FOLDER / "README.md").read_text()
    assert len(INDEX) == len(re.findall(r"^\| ", text, re.MULTILINE)) - 2
