"""Requests to the ``Shard`` service, from bytes: whoever may ask may also ask too much.

Protobuf makes 28 bytes of memory of one that is sent, where a message is full of empty ones. So sizes and counts are
held against their bounds first, and only then is anything made of a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from shardfleet_proto.v1 import shard_pb2 as pb

from ..core.columns import Columns, Schema
from ..errors import UsageError
from .messages import MAX_SPAWN_ROWS, MAX_WATCH_IDS, entities_to_rows

MAX_ID_BYTES = 11
"""Of an id in a list that is not packed: a tag and a varint."""
MAX_SMALL_BYTES = 1024
"""Of a request that is one number or one word."""

_ROWS_FIELD = 1
_VARINT, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5

M = TypeVar("M", bound=Message)


def read_spawn(data: bytes, schema: Schema) -> Columns:
    """The rows of a ``SpawnRequest``. Raises ``UsageError``."""
    # Itself, its id, two vectors number by number, and each column once: more is said twice or means nothing.
    fields_a_row = 2 + 2 * schema.dimensions + len(schema.columns)
    rows = fields = 0
    for number, start, end in _fields(data, 0, len(data)):
        rows += number == _ROWS_FIELD
        if rows > MAX_SPAWN_ROWS:
            raise UsageError(f"more than {MAX_SPAWN_ROWS} entities in one request; send several")
        for _ in chain((None,), _fields(data, start, end)):  # itself, and what is in it
            fields += 1
            if fields > MAX_SPAWN_ROWS * fields_a_row:
                raise UsageError("the entities of one request have more fields than there are columns")
    return entities_to_rows(_parsed(pb.SpawnRequest, data).rows, schema)


def read_despawn(data: bytes) -> list[int]:
    """The ids of a ``DespawnRequest``. Raises ``UsageError``."""
    return _bounded_ids("despawn", list(_parsed(pb.DespawnRequest, _with_ids(data, "despawn")).ids))


def read_watch(data: bytes) -> tuple[list[int], int]:
    """(ids, interval in microseconds) of a ``WatchRequest``. Raises ``UsageError``."""
    request = _parsed(pb.WatchRequest, _with_ids(data, "watch"))
    return _bounded_ids("watch", list(request.ids)), int(request.interval_us)


def read_get(data: bytes) -> int:
    """The id of a ``GetRequest``. Raises ``UsageError``."""
    return int(_parsed(pb.GetRequest, _small(data)).id)


def read_inspect(data: bytes) -> str:
    """The section of an ``InspectRequest``. Raises ``UsageError``."""
    return str(_parsed(pb.InspectRequest, _small(data)).section)


def _small(data: bytes) -> bytes:
    if len(data) > MAX_SMALL_BYTES:
        raise UsageError(f"a request of {len(data)} bytes; at most {MAX_SMALL_BYTES}")
    return data


def _with_ids(data: bytes, verb: str) -> bytes:
    if len(data) > MAX_WATCH_IDS * MAX_ID_BYTES + MAX_SMALL_BYTES:
        raise UsageError(f"more than {MAX_WATCH_IDS} ids to {verb}")
    return data


def _bounded_ids(verb: str, ids: list[int]) -> list[int]:
    if len(ids) > MAX_WATCH_IDS:
        raise UsageError(f"{len(ids)} ids to {verb}; at most {MAX_WATCH_IDS}")
    return ids


def _parsed(kind: type[M], data: bytes) -> M:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise UsageError(f"not a {kind.DESCRIPTOR.name}: {error}") from error


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, start, end) of each field of a message: what a field of a given size holds; of others, nothing.

    Raises ``UsageError`` where the bytes are no message, or hold a group: what could not be counted must not be parsed.
    """
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        kind = tag & 7
        inner = at
        if kind == _SIZED:
            size, inner = _varint(data, at, end)
            at = inner + size
        elif kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind in (_EIGHT, _FOUR):
            at += 8 if kind == _EIGHT else 4
        else:
            raise UsageError("not a request: it holds a group, which no field of ours is")
        if at > end or at < inner:
            raise UsageError("not a request: it is cut short")
        yield tag >> 3, inner if kind == _SIZED else at, at


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(value, where it ends); an end beyond ``end`` where there is none."""
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, end + 1
