"""What is fuzzed: each target reads bytes as its parser would, and lets through only the errors that it promises."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from google.protobuf.message import DecodeError
from shardfleet_proto.v1 import shard_pb2 as pb
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.frames import Answer, Final, Frame, Hello, Nudge, Offer, Ping, Pong
from shardfleet_shard.core.journal_requests import EntryKind, JournalEntry
from shardfleet_shard.core.layout import INFINITY, Cell, Layout
from shardfleet_shard.core.manifest import AuthorityManifest
from shardfleet_shard.core.ticks import TickGrid
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.errors import FrameError, UsageError
from shardfleet_shard.net import service_requests
from shardfleet_shard.net.api import NewEntity, RowsView
from shardfleet_shard.net.messages import ViewReader, entity_to_pb, view_to_messages
from shardfleet_shard.net.packets import HandoffPacketManager
from shardfleet_shard.store.journal import checksum_of, entry_from_values, header_of

SCHEMA = Schema(2, np.dtype([("mass", "<f8"), ("tag", "<u2", (3,))]))
GRID = TickGrid(20)
PACKETS = HandoffPacketManager(SCHEMA, GRID)
ROWS = SCHEMA.rows(id=np.arange(1, 4), position=[[1.0, 2.0]] * 3, velocity=0.5, mass=7.0, tag=[[1, 2, 3]] * 3)
TRANSFER = TransferId("arena-0", 1_700_000_000_000_000, 7)
SWITCH_US = 1_700_000_000_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """``read`` raises nothing but for a bug; ``seeds`` are inputs that are well formed."""

    read: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


# --- frames of a link --------------------------------------------------------------------------------------------


def read_frame(data: bytes) -> None:
    """A frame that is taken can be sent on as it is: nothing was read into it."""
    with contextlib.suppress(FrameError):
        frame = PACKETS.from_bytes(data)
        assert PACKETS.from_bytes(PACKETS.to_bytes(frame)) == frame


def frames() -> Iterator[bytes]:
    tick = GRID.switch_tick(SWITCH_US)
    offer = Offer(
        transfer=TRANSFER, target_epoch=5, cell="01", transfer_time_us=SWITCH_US, switch_tick=tick,
        offer_tick=tick - 2, count=3, columns=ROWS.pack(), trace_context=f"00-{'a' * 32}-{'b' * 16}-01",
    )  # fmt: skip
    hello = Hello(
        shard="arena-0", epoch=5, generation="g" * 40, protocol_version=1, fleet="play.arena",
        schema_hash=SCHEMA.hash, takes_schemas=(1, 2),
    )  # fmt: skip
    every: tuple[Frame, ...] = (
        offer,
        hello,
        Final(transfer=TRANSFER, tick=tick - 1, unix_us=SWITCH_US, count=3, columns=ROWS.pack()),
        Answer(transfer=TRANSFER, accepted=False, reason="busy", generation="g"),
        Ping(sent_us=1),
        Pong(ping_sent_us=1, received_us=2, sent_us=3),
        Nudge(),
    )
    for frame in every:
        yield PACKETS.to_bytes(frame)


# --- the Shard service -------------------------------------------------------------------------------------------


def read_spawn(data: bytes) -> None:
    with contextlib.suppress(UsageError):
        rows = service_requests.read_spawn(data, SCHEMA)
        assert len(SCHEMA.unpack(rows.pack(), len(rows))) == len(rows) > 0 and rows.finite().all()


def spawns() -> Iterator[bytes]:
    whole = NewEntity(id=7, position=(1.0, 2.0), velocity=(0.0, 1.0), columns={"mass": 2.5, "tag": [1, 2, 3]})
    for rows in ([whole], [whole, replace(whole, id=8, velocity=(), columns={})], []):
        yield pb.SpawnRequest(rows=[entity_to_pb(entity) for entity in rows]).SerializeToString()


def read_asked(data: bytes) -> None:
    for read in (
        service_requests.read_despawn,
        service_requests.read_watch,
        service_requests.read_get,
        service_requests.read_inspect,
    ):
        with contextlib.suppress(UsageError):
            read(data)


def asked() -> Iterator[bytes]:
    for request in (pb.WatchRequest(ids=[1, 2**64 - 1], interval_us=5), pb.InspectRequest(section="stats")):
        yield request.SerializeToString()


def read_view(data: bytes) -> None:
    """One or two messages, each with its length in front."""
    reader = ViewReader()
    with contextlib.suppress(DecodeError, FrameError):
        for piece in _pieces(data, at_most=2):
            view = reader.add(pb.Rows.FromString(piece))
            assert view is None or len(view.states) == len(view.since_tick) == len(view.rows)


def views() -> Iterator[bytes]:
    view = RowsView(
        tick=5, unix_us=6, shard="arena-0", epoch=7, rows=ROWS, states=np.array([0, 1, 2], np.uint8),
        since_tick=np.array([1, 2, 3], np.int64), recovered_tick=1,
    )  # fmt: skip
    [message] = view_to_messages(view)
    yield _joined(message.SerializeToString())
    first, second = pb.Rows(), pb.Rows()
    for number, part in enumerate((first, second)):
        part.CopyFrom(message)
        part.part, part.parts = number, 2
    yield _joined(first.SerializeToString(), second.SerializeToString())


# --- what is in Redis --------------------------------------------------------------------------------------------


def read_manifest(data: bytes) -> None:
    """A header as JSON, then chunks. The first byte says whether the checksums are put right, to get past them."""
    mended, pieces = data[:1] == b"m", list(_pieces(data[1:], at_most=4))
    if not pieces:
        return
    try:
        header = json.loads(pieces[0])
    except (ValueError, RecursionError):
        return
    if mended and isinstance(header, dict):
        header["checksums"] = [zlib.crc32(chunk) for chunk in pieces[1:]]
        header.pop("checksum", None)
    with contextlib.suppress(ValueError):
        manifest = AuthorityManifest.from_chunks(header, pieces[1:])
        assert len(manifest.states) == len(manifest.rows)


def manifests() -> Iterator[bytes]:
    for count in (0, 3):
        manifest = AuthorityManifest(
            shard="arena-0", epoch=5, tick=6, unix_us=7, position="12-3", rows=ROWS.take(slice(count)),
            states=np.zeros(count, np.uint8), stats={"ticks": 1},
        )  # fmt: skip
        header, chunks = manifest.to_chunks()
        for first in (b"m", b"-"):
            yield first + _joined(json.dumps(header).encode(), *chunks)


def read_journal(data: bytes) -> None:
    """Whatever it is, it is an entry, or damaged; a checksum that does not fit always says so."""
    header, ids, versions, rows = [*_pieces(data, at_most=4), b"", b"", b"", b""][:4]
    entry = entry_from_values(b"1-0", header, ids, versions, rows=rows)
    if entry.kind is not EntryKind.DAMAGED:
        again = header_of(entry).encode()
        assert entry_from_values(b"1-0", again, ids, versions, checksum_of(again, ids, versions, rows), rows) == entry
    assert entry_from_values(b"1-0", header, ids, versions, b"1 0", rows).kind is EntryKind.DAMAGED


def journals() -> Iterator[bytes]:
    for kind, transfer in ((EntryKind.IN, TRANSFER), (EntryKind.SPAWN, None)):
        entry = JournalEntry(
            id="1-0", kind=kind, transfer=transfer, peer="arena-1", count=3, tick=9, offer_tick=7,
            ids=ROWS.id.tobytes(), versions=ROWS.version.tobytes(), rows=ROWS.pack(),
        )  # fmt: skip
        yield _joined(header_of(entry).encode(), entry.ids, entry.versions, entry.rows)


def read_layout(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        layout = Layout.from_json(data.decode())
        assert Layout.from_json(layout.to_json()) == layout


def layouts() -> Iterator[bytes]:
    cells = (
        Cell(path="0", shard="arena-0", low=(-INFINITY, -INFINITY), high=(0.0, INFINITY)),
        Cell(path="1", shard="arena-1", low=(0.0, -INFINITY), high=(INFINITY, INFINITY)),
    )
    yield Layout(version=3, cells=cells).to_json().encode()


TARGETS = {
    "frame": Target(read_frame, frames),
    "spawn": Target(read_spawn, spawns),
    "asked": Target(read_asked, asked),
    "view": Target(read_view, views),
    "manifest": Target(read_manifest, manifests),
    "journal": Target(read_journal, journals),
    "layout": Target(read_layout, layouts),
}


# --- several byte strings in one ---------------------------------------------------------------------------------


def _joined(*pieces: bytes) -> bytes:
    return b"".join(len(piece).to_bytes(2, "little") + piece for piece in pieces)


def _pieces(data: bytes, *, at_most: int) -> Iterator[bytes]:
    """The last one may be cut short."""
    for _ in range(at_most):
        if len(data) < 2:
            return
        size = int.from_bytes(data[:2], "little")
        yield data[2 : 2 + size]
        data = data[2 + size :]
