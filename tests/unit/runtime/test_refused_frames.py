"""Frames that are late, replayed or contradict: refused, counted by what is wrong, and without any effect."""

from __future__ import annotations

from dataclasses import replace

import pytest
from shardfleet_shard.core.frames import Answer, Final, Offer

from .interpreter import Interpreter
from .world import Process, Sent, World

CROSSING = ("shards a-0 a-1", "spawn 1 at 9.95,5 moving 4,0", "tick", "tick", "tick", "tick")


def offered() -> tuple[Interpreter, World, Sent]:
    """a-0 has offered entity 1 to a-1; the offer is on its way, and the answer to BEGIN is there."""
    scenario = Interpreter()
    for line in (*CROSSING, "redis a-0 BEGIN"):
        scenario.execute(line)
    [sent] = scenario.world.take_frames("OFFER")
    return scenario, scenario.world, sent


def counts(process: Process) -> dict[str, int]:
    stats = process.runtime.context.stats
    named = {"stale": stats.frames_stale, "contradicting": stats.frames_contradicting, "unfit": stats.frames_unfit}
    return {name: count for name, count in named.items() if count}


def test_an_offer_that_comes_after_its_time_is_stale() -> None:
    scenario, world, sent = offered()
    scenario.execute("run 4")
    world.deliver(sent)
    target = world.find("a-1")
    assert counts(target) == {"stale": 1} and not target.runtime.mailbox.incoming.open
    assert not world.take_requests(target, ""), "nothing was promised"


@pytest.mark.parametrize("changes", [{"target_epoch": 99}, {"target_epoch": 0}])
def test_an_offer_to_a_former_process_is_stale(changes: dict[str, int]) -> None:
    _, world, sent = offered()
    assert isinstance(sent.frame, Offer)
    world.deliver(replace(sent, frame=replace(sent.frame, **changes)))
    target = world.find("a-1")
    assert counts(target) == {"stale": 1} and not target.runtime.mailbox.incoming.open


def test_an_offer_of_another_shards_transfer_is_stale() -> None:
    _, world, sent = offered()
    assert isinstance(sent.frame, Offer)
    transfer = sent.frame.transfer._replace(source="a-2")
    world.deliver(replace(sent, frame=replace(sent.frame, transfer=transfer)))
    assert counts(world.find("a-1")) == {"stale": 1}


def test_a_recorded_offer_played_again_changes_nothing_ever() -> None:
    scenario, world, sent = offered()
    world.deliver(sent)
    target = world.find("a-1")
    for line in ("stabilize", "run 4", "stabilize"):
        scenario.execute(line)
    rows = target.runtime.context.tracker.rows.to_dicts()
    world.deliver(sent)  # a repeat, as a network may make one
    assert target.runtime.context.tracker.rows.to_dicts() == rows
    assert not world.take_requests(target, "") and counts(target) == {}
    scenario.execute("quiet 140")  # 7 s: nobody remembers the transfer any more
    world.deliver(sent)
    assert counts(target) == {"stale": 1} and not target.runtime.mailbox.incoming.open
    assert len(target.runtime.context.tracker) == 1 and target.runtime.context.tracker.rows.version.tolist() == [2]


def test_an_answer_that_takes_a_former_one_back_is_contradicting() -> None:
    _, world, sent = offered()
    source = world.find("a-0")
    assert isinstance(sent.frame, Offer)
    generation = source.runtime.context.generation
    for accepted in (True, False):
        answer = Answer(transfer=sent.frame.transfer, accepted=accepted, reason="", generation=generation)
        source.runtime.receive_frame("a-1", answer)
    assert counts(source) == {"contradicting": 1}


@pytest.mark.parametrize("what", ["generation", "peer", "transfer"])
def test_an_answer_of_somebody_else_is_none(what: str) -> None:
    _, world, sent = offered()
    source = world.find("a-0")
    assert isinstance(sent.frame, Offer)
    transfer = sent.frame.transfer
    answer = Answer(
        transfer=transfer._replace(sequence=77) if what == "transfer" else transfer,
        accepted=True,
        reason="",
        generation="of before" if what == "generation" else source.runtime.context.generation,
    )
    source.runtime.receive_frame("a-2" if what == "peer" else "a-1", answer)
    [outgoing] = source.runtime.mailbox.outgoing.open.values()
    assert outgoing.state == "offered" and counts(source) == {}


def test_a_final_state_of_other_rows_is_unfit() -> None:
    _, world, sent = offered()
    world.deliver(sent)
    target = world.find("a-1")
    assert isinstance(sent.frame, Offer)
    other = world.rows(77, (9.9, 5.0), (4.0, 0.0))
    target.runtime.receive_frame(
        "a-0",
        Final(transfer=sent.frame.transfer, tick=sent.frame.switch_tick - 1, unix_us=1, count=1, columns=other.pack()),
    )
    [incoming] = target.runtime.mailbox.incoming.open.values()
    assert counts(target) == {"unfit": 1} and incoming.final is None
