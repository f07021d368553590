"""Links between managers, over real gRPC."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import numpy as np
import pytest
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.frames import Nudge
from shardfleet_shard.net.limits import LinkLimits
from shardfleet_shard.net.link import HandoffFrame

from .fleet import PATIENT, QUICK, SCHEMA, Fleet, Node, answer, eventually, final, offer


async def test_three_shards_link_up_and_frames_arrive_in_order() -> None:
    async with Fleet(*(Node(n, limits=PATIENT) for n in range(3))) as fleet:
        fleet.observe()
        await eventually(lambda: all(len(node.up) == 2 for node in fleet.nodes))
        zero, one, two = fleet.nodes
        assert zero.manager.dials == 2 and one.manager.dials == 1 and two.manager.dials == 0
        sent: list[HandoffFrame] = [offer(sequence=1), final(sequence=1), offer(sequence=2, count=4096), Nudge()]
        assert all(zero.manager.send("arena-1", frame) for frame in sent)
        assert one.manager.send("arena-0", answer())
        await eventually(lambda: len(one.frames) == 4 and zero.frames)
        assert one.frames == [("arena-0", 1, frame) for frame in sent]
        assert zero.frames == [("arena-1", 1, answer())]
        assert two.frames == []
        await eventually(lambda: zero.manager.bytes_sent > 4096 * SCHEMA.row_size_bytes)
        assert zero.downs == one.downs == two.downs == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fleet": "other"}, "fleet 'arena' is not 'other'"),
        ({"generation": "h"}, "generation 'g' is not 'h'"),
        ({"protocol_version": 3}, "protocol version 1 does not talk to 3"),
        ({"schema_hash": 7}, "the columns differ"),
        ({"shard": "arena-9"}, "shard 'arena-9' answers where 'arena-1' was expected"),
    ],
)
async def test_a_mismatch_in_hello_is_refused_with_its_reason_once(
    change: dict[str, object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with Fleet(Node(0), Node(1)) as fleet:
        zero, one = fleet.nodes
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        one.say(**change)
        await eventually(lambda: zero.manager.dials > 3)
        assert zero.downs
        # The called side takes a link up when nothing speaks against it there; the calling one then hangs up.
        await eventually(lambda: not zero.up and not one.up)
        said = [record.getMessage() for record in caplog.records if reason in record.getMessage()]
        assert said and len(said) == len(set(said))
        assert zero.manager.links_refused + one.manager.links_refused >= 2


async def test_version_n_talks_to_n_minus_1() -> None:
    old, new = Node(0), Node(1)
    new.say(protocol_version=2)
    async with Fleet(old, new) as fleet:
        fleet.observe()
        await eventually(lambda: old.up and new.up)
        spoken = [row["protocol_version"] for node in (old, new) for row in node.manager.describe()]
        assert spoken == [1, 1], "both speak the older one's"


async def test_shards_of_two_schemas_link_where_one_takes_the_others_rows() -> None:
    old, new = Node(0), Node(1)
    new.say(schema_hash=7, takes_schemas=(SCHEMA.hash,))
    async with Fleet(old, new) as fleet:
        fleet.observe()
        await eventually(lambda: old.up and new.up)


async def test_a_shard_without_an_epoch_refuses_and_does_not_dial() -> None:
    async with Fleet(Node(0), Node(1)) as fleet:
        zero, one = fleet.nodes
        hello, one.hello = one.hello, None
        fleet.observe()
        zero.manager.set_peers({"arena-1": (one.address, 1, 1)}, {"arena-1"})
        await eventually(lambda: zero.manager.dials > 1)
        assert not zero.up and one.manager.dials == 0
        one.hello = hello
        await eventually(lambda: zero.up and one.up)


def is_dialed(node: Node) -> bool | None:
    """Whether its only link is one that it dialed; None while there is none."""
    (row,) = node.manager.describe()
    return bool(row["dialed"]) if row["up"] else None


async def test_crossing_dials_leave_one_link_the_same_on_both_sides() -> None:
    eager = replace(QUICK, dial_grace_us=0)  # both may dial at once
    async with Fleet(Node(0, limits=eager), Node(1, limits=eager)) as fleet:
        zero, one = fleet.nodes
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        await eventually(lambda: is_dialed(zero) and is_dialed(one) is False)
        # Where the loser of the two was up for a moment on one side only, that side saw it go before the other came.
        assert zero.ups == [("arena-1", 1)] * (1 + len(zero.downs))
        assert one.ups == [("arena-0", 1)] * (1 + len(one.downs))
        assert len(zero.downs) <= 1 and len(one.downs) <= 1
        assert one.manager.send("arena-0", Nudge()) and zero.manager.send("arena-1", Nudge())
        await eventually(lambda: zero.frames and one.frames)


async def test_a_peer_that_restarts_is_dialed_again_under_its_new_epoch() -> None:
    async with Fleet(Node(0), Node(1)) as fleet:
        zero, one = fleet.nodes
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        old_clock = zero.manager.peer_clock("arena-1")
        await one.stop()
        await eventually(lambda: zero.downs)
        assert not zero.manager.send("arena-1", Nudge())
        one.make_manager()
        one.say(epoch=2)
        await one.start()
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        assert zero.ups == [("arena-1", 1), ("arena-1", 2)]
        assert zero.manager.peer_clock("arena-1") is not old_clock
        assert zero.manager.send("arena-1", Nudge())
        await eventually(lambda: one.frames)


async def test_an_old_epoch_is_refused_once_a_newer_one_is_known() -> None:
    async with Fleet(Node(0), Node(1)) as fleet:
        zero, one = fleet.nodes
        one.say(epoch=5)
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        ghost = Node(1)
        ghost.say(epoch=4)
        await ghost.start()
        ghost.manager.set_peers({"arena-0": (zero.address, 0, 1)}, {"arena-0"})
        try:
            await eventually(lambda: zero.manager.links_refused)
            assert ghost.ups == []
            assert zero.up == ["arena-1"] and zero.downs == []
            zero.manager.set_peers({"arena-1": (one.address, 1, 6)}, {"arena-1"})
            await eventually(lambda: zero.downs)
            assert "superseded by 6" in zero.downs[0][1]
        finally:
            await ghost.stop()


async def test_a_newer_epoch_takes_the_place_of_a_link_that_still_stands() -> None:
    async with Fleet(Node(0), Node(1)) as fleet:
        zero, one = fleet.nodes
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        successor = Node(1)
        successor.say(epoch=2)
        await successor.start()
        successor.manager.set_peers({"arena-0": (zero.address, 0, 1)}, {"arena-0"})
        try:
            await eventually(lambda: ("arena-1", 2) in zero.ups)
            assert zero.downs[0] == ("arena-1", "superseded by epoch 2")
            await eventually(lambda: not one.up)
        finally:
            await successor.stop()


async def test_own_new_generation_closes_the_links() -> None:
    async with Fleet(Node(0), Node(1)) as fleet:
        zero, one = fleet.nodes
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        zero.say(generation="h")
        one.say(generation="h")
        await eventually(lambda: zero.downs and one.downs)
        await eventually(lambda: zero.up and one.up)


async def test_the_queue_is_bounded_and_keeps_room_for_answers() -> None:
    limits = replace(QUICK, queue_frames=20, reserved_frames=8, queue_bytes=40_000_000)
    async with Fleet(Node(0, limits=limits), Node(1)) as fleet:
        zero, one = fleet.nodes
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        assert zero.manager.queue_room("arena-1") == 12
        # Nothing is awaited, so nothing leaves the queue.
        results = [zero.manager.send("arena-1", offer(sequence=n + 1)) for n in range(25)]
        assert results == [True] * 20 + [False] * 5
        assert zero.manager.queue_room("arena-1") == 0
        await eventually(lambda: len(one.frames) == 20)
        assert [frame.transfer.sequence for _, _, frame in one.frames] == list(range(1, 21))
        assert zero.manager.queue_room("arena-1") == 12


@pytest.mark.parametrize("extra_bytes", [0, 256, 2000])
async def test_an_empty_queue_has_room_for_rows_of_any_width(extra_bytes: int) -> None:
    """By default: a world whose rows are taken at all hands them over."""
    schema = Schema(2, np.dtype([("load", "u1", (extra_bytes,))])) if extra_bytes else SCHEMA
    limits = LinkLimits(silent_pings=QUICK.silent_pings, hello_deadline_us=QUICK.hello_deadline_us)
    async with Fleet(*(Node(n, limits=limits, schema=schema) for n in range(2))) as fleet:
        zero, one = fleet.nodes
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        assert zero.manager.queue_room("arena-1") > 0


async def test_the_queue_is_bounded_in_bytes() -> None:
    limits = replace(QUICK, queue_bytes=1_000_000, reserved_frames=0)
    async with Fleet(Node(0, limits=limits), Node(1)) as fleet:
        zero, one = fleet.nodes
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        room = zero.manager.queue_room("arena-1")
        results = [zero.manager.send("arena-1", offer(sequence=n + 1, count=4096)) for n in range(8)]
        assert results.count(True) == room < 8
        await eventually(lambda: len(one.frames) == room)


async def test_an_idle_link_is_reaped_and_made_again_when_there_is_something_to_say() -> None:
    limits = replace(QUICK, inactivity_us=500_000)  # long enough for both to be seen up
    async with Fleet(Node(0, limits=limits), Node(1, limits=limits)) as fleet:
        zero, one = fleet.nodes
        fleet.observe(wanted=False)
        assert not zero.manager.send("arena-1", Nudge())
        await eventually(lambda: zero.up and one.up)
        assert zero.manager.send("arena-1", Nudge())
        await eventually(lambda: zero.downs and one.downs)
        assert zero.downs == [("arena-1", "idle")]
        # The higher ordinal dials too, once the lower one has let the grace pass.
        assert not one.manager.send("arena-0", Nudge())
        await eventually(lambda: one.manager.send("arena-0", Nudge()))
        await eventually(lambda: zero.frames)


async def test_a_wanted_link_is_not_reaped() -> None:
    async with Fleet(Node(0), Node(1)) as fleet:
        zero, one = fleet.nodes
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        await asyncio.sleep(3 * QUICK.inactivity_us / 1e6)
        assert zero.downs == one.downs == []


async def test_clock_offsets_are_measured_on_the_link() -> None:
    async with Fleet(Node(0), Node(1, offset_us=250_000)) as fleet:
        zero, one = fleet.nodes
        fleet.observe()

        def measured(node: Node, peer: str, offset_us: int) -> bool:
            clock = node.manager.peer_clock(peer)
            if clock is None or clock.offset_us is None:
                return False
            error_us = clock.error_us(node.clock.now_unix_us())
            # Two microseconds for the rounding of readings to whole ones.
            return error_us is not None and abs(clock.offset_us - offset_us) <= error_us + 2

        await eventually(lambda: measured(zero, "arena-1", 250_000) and measured(one, "arena-0", -250_000))
        clock = zero.manager.peer_clock("arena-1")
        assert clock is not None and not clock.within(100_000, zero.clock.now_unix_us())


async def test_a_callback_that_raises_reaches_the_loop_and_not_the_peer() -> None:
    caught: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: caught.append(context["message"]))
    zero, one = Node(0), Node(1)

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    one.manager._on_frame = broken
    async with Fleet(zero, one) as fleet:
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        zero.manager.send("arena-1", Nudge())
        await eventually(lambda: one.downs)
        assert caught == ["link to arena-0: a bug"]
        assert one.manager.frames_refused == 0
