"""Requests to the Shard service: what is too much is refused before anything is made of it."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from shardfleet_proto.v1 import shard_pb2 as pb
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.errors import UsageError
from shardfleet_shard.net.api import NewEntity
from shardfleet_shard.net.messages import MAX_SPAWN_ROWS, MAX_WATCH_IDS, entity_to_pb
from shardfleet_shard.net.service_requests import read_despawn, read_get, read_inspect, read_spawn, read_watch

from tests.patience import PATIENCE_S

SCHEMA = Schema(3, np.dtype([("mass", "<f8"), ("tag", "<u2", (3,))]))
LARGEST = 8 * 1024 * 1024
"""Bytes; gRPC lets no larger message through."""


def sized(tag: int, inner: bytes) -> bytes:
    size, varint = len(inner), b""
    while size > 127:
        varint += bytes([size & 127 | 128])
        size >>= 7
    return bytes([tag << 3 | 2]) + varint + bytes([size]) + inner


EMPTY = sized(1, b"")
COLUMN = sized(4, b"")
BOMBS = {
    "empty entities": EMPTY * (LARGEST // len(EMPTY)),
    "empty columns of one entity": sized(1, COLUMN * (LARGEST // len(COLUMN) - 10)),
    "empty entities behind a group": b"\x7b\x7c" + EMPTY * (LARGEST // len(EMPTY) - 1),
    "empty entities before an end": EMPTY * (LARGEST // len(EMPTY) - 1) + b"\x0a",
    "empty columns behind a group": sized(1, b"\x7b\x7c" + COLUMN * (LARGEST // len(COLUMN) - 10)),
    "numbers that mean nothing": b"\x78\x00" * (LARGEST // 2),
    "empty columns of many": sized(1, COLUMN * 1000) * (LARGEST // 2005),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_message_full_of_empty_ones_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"more than 4096 entities|more fields than there are columns|holds a group"):
        read_spawn(BOMBS[name], SCHEMA)


def test_refusing_takes_no_memory() -> None:
    """Of a process of its own: the peak is known of a whole process alone. Parsed, this one takes 220 MB."""
    program = (
        "import resource, sys\n"
        f"from {__name__} import BOMBS, SCHEMA, UsageError, read_spawn\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "for bomb in BOMBS.values():\n"
        "    try: read_spawn(bomb, SCHEMA)\n"
        "    except UsageError: pass\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    in_kilobytes = 1 if sys.platform == "linux" else 1024
    assert int(done.stdout) / in_kilobytes < 20_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


def test_the_largest_request_that_is_allowed_is_taken() -> None:
    whole = NewEntity(id=0, position=(1.0, 2.0, 3.0), velocity=(4.0, 5.0, 6.0), columns={"mass": 1.5, "tag": [1, 2, 3]})
    request = pb.SpawnRequest()
    for number in range(MAX_SPAWN_ROWS):
        request.rows.add().CopyFrom(entity_to_pb(whole))
        request.rows[-1].id = number
    assert len(read_spawn(request.SerializeToString(), SCHEMA)) == MAX_SPAWN_ROWS
    request.rows.add().CopyFrom(entity_to_pb(whole))
    with pytest.raises(UsageError, match="more than 4096 entities"):
        read_spawn(request.SerializeToString(), SCHEMA)


def test_vectors_number_by_number_are_as_good_as_packed_ones() -> None:
    """Another language's protobuf may write them so."""
    numbers = [np.float64(value).tobytes() for value in (1, 2, 3, 4, 5, 6)]
    position, velocity = (
        b"".join(tag + one for one in numbers[at : at + 3]) for tag, at in ((b"\x11", 0), (b"\x19", 3))
    )
    rows = read_spawn(sized(1, b"\x08\x07" + position + velocity), SCHEMA)
    assert (rows.id.tolist(), rows.position.tolist(), rows.velocity.tolist()) == ([7], [[1, 2, 3]], [[4, 5, 6]])


@pytest.mark.parametrize(
    ("read", "data", "said"),
    [
        (read_despawn, b"\x08\x01" * (MAX_WATCH_IDS + 1), "65537 ids to despawn; at most 65536"),
        (read_despawn, b"\x08\x01" * (LARGEST // 2), "more than 65536 ids to despawn"),
        (read_watch, b"\x08\x01" * (MAX_WATCH_IDS + 1), "65537 ids to watch"),
        (read_get, bytes(2000), "a request of 2000 bytes"),
        (read_inspect, b"x" * 2000, "a request of 2000 bytes"),
        (read_inspect, b"\xff\xff", "not a InspectRequest"),
        (read_get, b"\x08", "not a GetRequest"),
    ],
)
def test_what_is_too_much_or_no_message(read: Callable[[bytes], object], data: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(data)


def test_ids() -> None:
    ids = [0, 7, 2**64 - 1]
    assert read_despawn(pb.DespawnRequest(ids=ids).SerializeToString()) == ids
    assert read_watch(pb.WatchRequest(ids=ids, interval_us=9).SerializeToString()) == (ids, 9)
