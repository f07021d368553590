"""Frames to bytes and back; whatever else comes is a ``FrameError``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_proto.v1 import handoff_pb2 as pb
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.frames import Answer, Final, Frame, Hello, Nudge, Offer, Ping, Pong
from shardfleet_shard.core.ticks import TickGrid
from shardfleet_shard.core.transfer import MAX_ENTITIES_PER_TRANSFER, TransferId
from shardfleet_shard.errors import FrameError, InvariantError
from shardfleet_shard.net.packets import MAX_FRAME_BYTES, MAX_TIME_US, HandoffPacketManager

SCHEMA = Schema(2, np.dtype([("mass", "<f4")]))
GRID = TickGrid(20)
PACKETS = HandoffPacketManager(SCHEMA, GRID)
OFFER_US = 1_700_000_000_123_456
OFFER = Offer(
    transfer=TransferId("arena-0", 1_700_000_000_000_000, 7),
    target_epoch=3,
    cell="0110",
    transfer_time_us=OFFER_US,
    switch_tick=GRID.switch_tick(OFFER_US),
    offer_tick=GRID.switch_tick(OFFER_US) - 2,
    count=2,
    columns=SCHEMA.rows(id=[5, 6], position=[[1.0, 2.0], [3.0, 4.0]], mass=1.5).pack(),
    trace_context="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
FINAL = Final(transfer=OFFER.transfer, tick=5, unix_us=OFFER_US, count=2, columns=OFFER.columns)

names = st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,20}\Z")
times = st.integers(0, MAX_TIME_US)
transfers = st.builds(TransferId, names, times, st.integers(1, MAX_TIME_US))


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    transfer_time_us = draw(st.integers(1, MAX_TIME_US))
    switch_tick = GRID.switch_tick(transfer_time_us)
    count = draw(st.integers(1, 20))
    return Offer(
        transfer=draw(transfers),
        target_epoch=draw(times),
        cell=draw(st.text("01", max_size=20)),
        transfer_time_us=transfer_time_us,
        switch_tick=switch_tick,
        offer_tick=draw(st.integers(0, switch_tick - 1)),
        count=count,
        columns=draw(st.binary(min_size=SCHEMA.packed_size_bytes(count), max_size=SCHEMA.packed_size_bytes(count))),
        trace_context=draw(st.text(max_size=50)),
    )


@st.composite
def finals(draw: st.DrawFn) -> Final:
    count = draw(st.integers(1, 20))
    size = SCHEMA.packed_size_bytes(count)
    return Final(
        transfer=draw(transfers),
        tick=draw(times),
        unix_us=draw(times),
        count=count,
        columns=draw(st.binary(min_size=size, max_size=size)),
        every_tick=draw(st.booleans()),
    )


generations = st.text("0123456789abcdef", max_size=40)
frames = st.one_of(
    offers(),
    finals(),
    st.builds(Answer, transfer=transfers, accepted=st.booleans(), reason=st.text(max_size=99), generation=generations),
    st.builds(Ping, sent_us=times),
    st.builds(Pong, ping_sent_us=times, received_us=times, sent_us=times),
    st.builds(Nudge),
    st.builds(
        Hello,
        shard=names,
        epoch=times,
        generation=generations,
        protocol_version=st.integers(0, 9),
        takes_schemas=st.lists(st.integers(0, 2**32 - 1), max_size=3).map(tuple),
        fleet=names,
        schema_hash=st.integers(0, 2**32 - 1),
    ),
)


@given(frames)
def test_every_frame_comes_back_as_it_was(frame: Frame) -> None:
    assert PACKETS.from_bytes(PACKETS.to_bytes(frame)) == frame


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_a_frame_error(data: bytes) -> None:
    try:
        frame = PACKETS.from_bytes(data)
    except FrameError:
        return
    assert PACKETS.from_bytes(PACKETS.to_bytes(frame)) == frame


@given(frame=frames, data=st.data())
def test_a_damaged_frame_is_a_frame_or_a_frame_error(frame: Frame, data: st.DataObject) -> None:
    whole = bytearray(PACKETS.to_bytes(frame))
    cut = data.draw(st.integers(0, len(whole)), label="cut")
    changed = whole[:cut]
    if changed and data.draw(st.booleans(), label="and changed"):
        changed[data.draw(st.integers(0, cut - 1))] = data.draw(st.integers(0, 255))
    try:
        PACKETS.from_bytes(bytes(changed))
    except FrameError as error:
        assert str(error) and "\n" not in str(error)


def offer_message(**changes: Any) -> bytes:
    message = PACKETS.encode(OFFER)
    for name, value in changes.items():
        target: Any = message.offer
        *path, last = name.split("__")
        for part in path:
            target = getattr(target, part)
        setattr(target, last, value)
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "offer of 0 rows"),
        ({"count": MAX_ENTITIES_PER_TRANSFER + 1}, "offer of 4097 rows; 1 to 4096 are allowed"),
        ({"count": 2**32 - 1}, "offer of 4294967295 rows"),
        ({"count": 3}, f"{SCHEMA.packed_size_bytes(2)} bytes are not 3 rows of {SCHEMA.row_size_bytes} bytes"),
        ({"columns": b""}, "0 bytes are not 2 rows"),
        ({"switch_tick": OFFER.switch_tick + 1}, f"switch_tick {OFFER.switch_tick + 1}"),
        ({"offer_tick": OFFER.switch_tick}, "is not below switch_tick"),
        ({"transfer_time_us": 2**63}, "transfer_time_us 9223372036854775808 is over"),
        ({"target_epoch": 2**60}, "target_epoch 1152921504606846976 is over"),
        ({"cell": "012"}, "cell '012' is not well formed"),
        ({"cell": "0" * 129}, "cell of 129 characters; at most 128"),
        ({"trace_context": "x" * 513}, "trace_context of 513 characters; at most 512"),
        ({"transfer__source": ""}, "transfer source '' is not well formed"),
        ({"transfer__source": "arena/0"}, "transfer source 'arena/0' is not well formed"),
        ({"transfer__source": "a\n"}, "is not well formed"),
        ({"transfer__source": "a" * 254}, "transfer source of 254 characters"),
        ({"transfer__sequence": 0}, "transfer: sequence 0"),
        ({"transfer__epoch": 2**62}, "transfer epoch 4611686018427387904 is over"),
    ],
)
def test_an_offer_that_cannot_be_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    assert PACKETS.from_bytes(offer_message()) == OFFER
    with pytest.raises(FrameError, match=message):
        PACKETS.from_bytes(offer_message(**changes))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pb.Frame(), "no kind that is known"),
        (pb.Frame(ping=pb.Ping(sent_us=2**64 - 1)), "sent_us"),
        (pb.Frame(final=pb.Final(transfer=pb.TransferId(source="a", sequence=1))), "final of 0 rows"),
        (pb.Frame(hello=pb.Hello(shard="a b", fleet="f")), "shard 'a b'"),
        (pb.Frame(hello=pb.Hello(shard="a", fleet="")), "fleet ''"),
        (pb.Frame(hello=pb.Hello(shard="a", fleet="f", generation="g" * 65)), "generation of 65 characters"),
        (pb.Frame(answer=pb.Answer(transfer=pb.TransferId(source="a", sequence=1), reason="r" * 513)), "reason of 513"),
    ],
)
def test_other_frames_that_cannot_be(frame: pb.Frame, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        PACKETS.decode(frame)


def test_a_frame_over_the_limit_is_not_even_parsed() -> None:
    with pytest.raises(FrameError, match="frame of 8388609 bytes; at most 8388608"):
        PACKETS.from_bytes(bytes(MAX_FRAME_BYTES + 1))


def test_the_largest_offer_fits() -> None:
    columns = SCHEMA.empty(MAX_ENTITIES_PER_TRANSFER).pack()
    data = PACKETS.to_bytes(replace(OFFER, count=MAX_ENTITIES_PER_TRANSFER, columns=columns))
    assert len(data) <= PACKETS.largest_frame_bytes <= MAX_FRAME_BYTES
    with pytest.raises(ValueError, match="too large"):
        HandoffPacketManager(Schema(3, np.dtype([("much", "<f8", (256,))])), GRID)


def test_own_rows_that_do_not_fit_are_a_bug_here_and_never_sent() -> None:
    for frame in (OFFER, FINAL):
        with pytest.raises(InvariantError, match="about to send"):
            PACKETS.to_bytes(replace(frame, count=3))


def test_long_reasons_are_cut_when_they_are_sent() -> None:
    frame = PACKETS.from_bytes(
        PACKETS.to_bytes(Answer(transfer=OFFER.transfer, accepted=False, reason="r" * 9_999, generation="g"))
    )
    assert isinstance(frame, Answer) and frame.reason == "r" * 512


def test_rows_of_a_former_schema_come_in_and_never_go_out() -> None:
    former = Schema(2, np.dtype([("mood", "<u2")]))
    new = HandoffPacketManager(SCHEMA, GRID, also=(former,))
    rows = former.rows(id=[5], position=0.0, mood=3)
    offer = replace(OFFER, count=1, columns=rows.pack())
    assert new.from_bytes(HandoffPacketManager(former, GRID).to_bytes(offer)) == offer
    with pytest.raises(FrameError, match="bytes are not 1 rows"):
        HandoffPacketManager(SCHEMA, GRID).from_bytes(HandoffPacketManager(former, GRID).to_bytes(offer))
    hello = Hello(
        shard="a", epoch=1, generation="g", protocol_version=1, fleet="f", schema_hash=3, takes_schemas=(9, 7)
    )
    assert new.from_bytes(new.to_bytes(hello)) == hello
    assert hello.takes(3) and hello.takes(7) and not hello.takes(4)
