"""Every state against every input: the result is what the table says, or the process stops."""

import itertools

import pytest
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.transfer import (
    INCOMING,
    OUTGOING,
    Incoming,
    IncomingAction,
    IncomingInput,
    IncomingState,
    Outgoing,
    OutgoingAction,
    OutgoingInput,
    OutgoingState,
    TransferId,
)
from shardfleet_shard.errors import InvariantError

ID = TransferId("arena-0", 7, 1)


def outgoing(state: OutgoingState) -> Outgoing:
    return Outgoing(
        id=ID,
        target="arena-1",
        target_epoch=1,
        cell="1",
        transfer_time_us=60_000,
        switch_tick=2,
        offer_tick=0,
        count=0,
        ids=b"",
        versions=b"",
        next_try_us=0,
        state=state,
    )


def incoming(state: IncomingState) -> Incoming:
    rows = Schema(2).empty()
    return Incoming(
        id=ID, cell="1", transfer_time_us=60_000, switch_tick=2, offer_tick=0, rows=rows, next_try_us=0, state=state
    )


@pytest.mark.parametrize(("state", "event"), list(itertools.product(OutgoingState, OutgoingInput)))
def test_outgoing_follows_the_table_or_stops(state: OutgoingState, event: OutgoingInput) -> None:
    transfer = outgoing(state)
    if (state, event) in OUTGOING:
        action, after = OUTGOING[state, event]
        assert (transfer.step(event), transfer.state) == (action, after)
    else:
        with pytest.raises(InvariantError, match=r"arena-0/7/1"):
            transfer.step(event)
        assert transfer.state is state


@pytest.mark.parametrize(("state", "event"), list(itertools.product(IncomingState, IncomingInput)))
def test_incoming_follows_the_table_or_stops(state: IncomingState, event: IncomingInput) -> None:
    transfer = incoming(state)
    if (state, event) in INCOMING:
        action, after = INCOMING[state, event]
        assert (transfer.step(event), transfer.state) == (action, after)
    else:
        with pytest.raises(InvariantError, match=r"arena-0/7/1"):
            transfer.step(event)


def test_the_source_lets_go_only_of_what_it_knows_to_be_accepted() -> None:
    for (state, event), (action, after) in OUTGOING.items():
        if action is OutgoingAction.RELEASE:
            known = state is OutgoingState.ACCEPTED or event is OutgoingInput.LEARN_ACCEPTED
            assert known and after is OutgoingState.RELEASED


def test_doubt_ends_for_the_source_only_by_a_compare_and_set_or_a_promise() -> None:
    for (_, event), (action, _) in OUTGOING.items():
        if action in (OutgoingAction.RESUME, OutgoingAction.RESUME_AND_CANCEL):
            assert event in (OutgoingInput.LEARN_KEPT, OutgoingInput.LEARN_REFUSED)


def test_the_target_adopts_only_what_is_accepted() -> None:
    adopting = [key for key, (action, _) in INCOMING.items() if action is IncomingAction.ADOPT]
    assert adopting == [(IncomingState.ACCEPTED, IncomingInput.SWITCH)]


def test_every_state_but_the_ends_can_be_left() -> None:
    for state in set(OutgoingState) - {OutgoingState.KEPT, OutgoingState.GONE}:
        assert any(key[0] is state and after is not state for key, (_, after) in OUTGOING.items()), state
    for state in set(IncomingState) - {IncomingState.REFUSED, IncomingState.DONE}:
        assert any(key[0] is state and after is not state for key, (_, after) in INCOMING.items()), state


@pytest.mark.parametrize("text", ["", "a/1", "a/x/1", "a/1/0", "/1/1", "a/-1/1"])
def test_transfer_ids_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        TransferId.parse(text)


def test_a_transfer_id_survives_its_text_form() -> None:
    assert TransferId.parse(str(ID)) == ID
    assert TransferId.parse("a/b/1/2") == TransferId("a/b", 1, 2)
