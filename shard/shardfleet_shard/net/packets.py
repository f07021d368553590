"""The wire format of a link: frames as bytes and back. The only module that knows it.

Everything that comes in is distrusted: sizes and counts are compared with the limits below before anything is made
of them, and whatever breaks a rule raises ``FrameError`` with one line that says which.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final as Constant

from google.protobuf.message import DecodeError
from shardfleet_proto.v1 import handoff_pb2 as pb

from ..core.columns import Schema, packed_schema_hash
from ..core.frames import Answer, Final, Frame, Hello, Nudge, Offer, Ping, Pong
from ..core.ticks import TickGrid
from ..core.transfer import MAX_ENTITIES_PER_TRANSFER, TransferId
from ..errors import FrameError, InvariantError

MAX_FRAME_BYTES: Constant = 8 * 1024 * 1024
"""4096 rows of 2 kB. Also gRPC's own limit on a message, so nothing larger is even read."""
MAX_NAME_LENGTH: Constant = 253
"""A DNS name: shards and fleets are named in Kubernetes' way."""
MAX_CELL_LENGTH: Constant = 128
"""Cuts above a cell: far deeper than any fleet's tree."""
MAX_GENERATION_LENGTH: Constant = 64
"""Redis' run_id has 40 characters."""
MAX_TEXT_LENGTH: Constant = 512
"""A reason or a trace context; a longer reason is cut when it is sent."""
MAX_TIME_US: Constant = 1 << 53
"""The year 2255: every time, and every tick at any rate, is below, and JSON and Lua hold it exactly."""
MAX_EPOCH: Constant = 1 << 53
"""Epochs are Unix microseconds or small numbers."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CELL = re.compile(r"[01]*")
_GENERATION = re.compile(r"[\x21-\x7e]*")


MAX_SCHEMAS = 64
"""Former schemas that a Hello is read for; a simulation that keeps more of its past alive has no peer of these."""


class HandoffPacketManager:
    """Frames to bytes and back, for one world.

    Args:
        schema: the world's columns; a frame holds rows of these.
        also: further schemas whose rows the peers' frames may hold.
        grid: the fleet's tick grid; an offer's switch tick must be what the grid makes of its transfer time.
    Raises:
        ValueError: a transfer of the largest size would not fit into a frame.
    """

    def __init__(self, schema: Schema, grid: TickGrid, *, also: Sequence[Schema] = ()) -> None:
        self._schema = schema
        self._schemas = {one.hash: one for one in (schema, *also)}
        self._grid = grid
        if self.largest_frame_bytes > MAX_FRAME_BYTES:
            raise ValueError(
                f"a row of {schema.row_size_bytes} bytes is too large: {MAX_ENTITIES_PER_TRANSFER} of them must fit "
                f"into {MAX_FRAME_BYTES} bytes"
            )

    @property
    def largest_frame_bytes(self) -> int:
        """Bound on what a full offer of this world takes."""
        return self._schema.packed_size_bytes(MAX_ENTITIES_PER_TRANSFER) + 4096

    def to_bytes(self, frame: Frame) -> bytes:
        """Raises ``InvariantError`` for a frame that the other side would refuse for its size."""
        return self.encode(frame).SerializeToString()

    def from_bytes(self, data: bytes) -> Frame:
        """Raises ``FrameError``."""
        if len(data) > MAX_FRAME_BYTES:
            raise FrameError(f"frame of {len(data)} bytes; at most {MAX_FRAME_BYTES}", reason="too large")
        try:
            message = pb.Frame.FromString(data)
        except DecodeError as error:
            raise FrameError(f"not a frame: {error}") from error
        return self.decode(message)

    def encode(self, frame: Frame) -> pb.Frame:
        """The protobuf message of ``frame``."""
        match frame:
            case Offer():
                self._check_own_rows(frame)
                return pb.Frame(
                    offer=pb.Offer(
                        transfer=_transfer_to_pb(frame.transfer),
                        target_epoch=frame.target_epoch,
                        cell=frame.cell,
                        transfer_time_us=frame.transfer_time_us,
                        switch_tick=frame.switch_tick,
                        offer_tick=frame.offer_tick,
                        count=frame.count,
                        columns=frame.columns,
                        trace_context=frame.trace_context[:MAX_TEXT_LENGTH],
                    )
                )
            case Final():
                self._check_own_rows(frame)
                return pb.Frame(
                    final=pb.Final(
                        transfer=_transfer_to_pb(frame.transfer),
                        tick=frame.tick,
                        unix_us=frame.unix_us,
                        count=frame.count,
                        columns=frame.columns,
                        every_tick=frame.every_tick,
                    )
                )
            case Answer():
                return pb.Frame(
                    answer=pb.Answer(
                        transfer=_transfer_to_pb(frame.transfer),
                        accepted=frame.accepted,
                        reason=frame.reason[:MAX_TEXT_LENGTH],
                        generation=frame.generation,
                    )
                )
            case Ping():
                return pb.Frame(ping=pb.Ping(sent_us=frame.sent_us))
            case Pong():
                return pb.Frame(
                    pong=pb.Pong(ping_sent_us=frame.ping_sent_us, received_us=frame.received_us, sent_us=frame.sent_us)
                )
            case Nudge():
                return pb.Frame(nudge=pb.Nudge())
            case Hello():
                return pb.Frame(
                    hello=pb.Hello(
                        shard=frame.shard,
                        epoch=frame.epoch,
                        generation=frame.generation,
                        protocol_version=frame.protocol_version,
                        fleet=frame.fleet,
                        schema_hash=frame.schema_hash,
                        takes_schemas=frame.takes_schemas,
                    )
                )

    def decode(self, message: pb.Frame) -> Frame:
        """Raises ``FrameError``."""
        kind = message.WhichOneof("frame")
        match kind:
            case "offer":
                return self._decode_offer(message.offer)
            case "final":
                return self._decode_final(message.final)
            case "answer":
                answer = message.answer
                return Answer(
                    transfer=_transfer_from_pb(answer.transfer),
                    accepted=answer.accepted,
                    reason=_text("reason", answer.reason),
                    generation=_word("generation", answer.generation, _GENERATION, MAX_GENERATION_LENGTH),
                )
            case "ping":
                return Ping(sent_us=_time("sent_us", message.ping.sent_us))
            case "pong":
                pong = message.pong
                return Pong(
                    ping_sent_us=_time("ping_sent_us", pong.ping_sent_us),
                    received_us=_time("received_us", pong.received_us),
                    sent_us=_time("sent_us", pong.sent_us),
                )
            case "nudge":
                return Nudge()
            case "hello":
                return _decode_hello(message.hello)
            case _:
                raise FrameError("a frame of no kind that is known here")

    def _decode_offer(self, offer: pb.Offer) -> Offer:
        transfer = _transfer_from_pb(offer.transfer)
        columns = self._rows("offer", offer.count, offer.columns)
        transfer_time_us = _time("transfer_time_us", offer.transfer_time_us)
        switch_tick = self._grid.switch_tick(transfer_time_us)
        if offer.switch_tick != switch_tick:
            raise FrameError(
                f"switch_tick {offer.switch_tick}: transfer time {transfer_time_us} us switches at {switch_tick} "
                f"on a grid of {self._grid.rate} Hz"
            )
        if offer.offer_tick >= switch_tick:
            raise FrameError(f"offer_tick {offer.offer_tick} is not below switch_tick {switch_tick}")
        return Offer(
            transfer=transfer,
            target_epoch=_bounded("target_epoch", offer.target_epoch, MAX_EPOCH),
            cell=_word("cell", offer.cell, _CELL, MAX_CELL_LENGTH),
            transfer_time_us=transfer_time_us,
            switch_tick=switch_tick,
            offer_tick=offer.offer_tick,
            count=offer.count,
            columns=columns,
            trace_context=_text("trace_context", offer.trace_context),
        )

    def _decode_final(self, final: pb.Final) -> Final:
        return Final(
            transfer=_transfer_from_pb(final.transfer),
            tick=_time("tick", final.tick),
            unix_us=_time("unix_us", final.unix_us),
            count=final.count,
            columns=self._rows("final", final.count, final.columns),
            every_tick=final.every_tick,
        )

    def _rows(self, kind: str, count: int, columns: bytes) -> bytes:
        if not 1 <= count <= MAX_ENTITIES_PER_TRANSFER:
            raise FrameError(f"{kind} of {count} rows; 1 to {MAX_ENTITIES_PER_TRANSFER} are allowed")
        schema = self._schemas.get(packed_schema_hash(columns), self._schema)
        if len(columns) != schema.packed_size_bytes(count):
            size_bytes = schema.row_size_bytes
            raise FrameError(f"{kind}: {len(columns)} bytes are not {count} rows of {size_bytes} bytes")
        return columns

    def _check_own_rows(self, frame: Offer | Final) -> None:
        try:
            self._rows(type(frame).__name__.lower(), frame.count, frame.columns)
        except FrameError as error:
            raise InvariantError(f"{frame.transfer}: about to send an {error}") from error


def _decode_hello(hello: pb.Hello) -> Hello:
    return Hello(
        shard=_word("shard", hello.shard, _NAME, MAX_NAME_LENGTH),
        epoch=_bounded("epoch", hello.epoch, MAX_EPOCH),
        generation=_word("generation", hello.generation, _GENERATION, MAX_GENERATION_LENGTH),
        protocol_version=hello.protocol_version,
        fleet=_word("fleet", hello.fleet, _NAME, MAX_NAME_LENGTH),
        schema_hash=hello.schema_hash,
        takes_schemas=tuple(hello.takes_schemas[:MAX_SCHEMAS]),
    )


def _transfer_to_pb(transfer: TransferId) -> pb.TransferId:
    return pb.TransferId(source=transfer.source, epoch=transfer.epoch, sequence=transfer.sequence)


def _transfer_from_pb(transfer: pb.TransferId) -> TransferId:
    if not 1 <= transfer.sequence <= MAX_EPOCH:
        raise FrameError(f"transfer: sequence {transfer.sequence} is not within 1 and {MAX_EPOCH}")
    return TransferId(
        _word("transfer source", transfer.source, _NAME, MAX_NAME_LENGTH),
        _bounded("transfer epoch", transfer.epoch, MAX_EPOCH),
        transfer.sequence,
    )


def _bounded(name: str, value: int, limit: int) -> int:
    if value > limit:
        raise FrameError(f"{name} {value} is over {limit}")
    return value


def _time(name: str, value: int) -> int:
    return _bounded(name, value, MAX_TIME_US)


def _word(name: str, value: str, pattern: re.Pattern[str], limit: int) -> str:
    if len(value) > limit:
        raise FrameError(f"{name} of {len(value)} characters; at most {limit}")
    if pattern.fullmatch(value) is None:
        raise FrameError(f"{name} {value!r} is not well formed")
    return value


def _text(name: str, value: str) -> str:
    if len(value) > MAX_TEXT_LENGTH:
        raise FrameError(f"{name} of {len(value)} characters; at most {MAX_TEXT_LENGTH}")
    return value
