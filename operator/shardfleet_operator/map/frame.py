"""The bytes of a frame: what the map's page gets, and what its history keeps.

    u32 length of the JSON | the JSON | zeros up to a multiple of 8 | the arrays, little-endian

``type`` in the JSON says which arrays follow, n being its ``slots`` or ``count``:

    frame    position u16 (n, 2), tag u16 (n,), by slot
    roster   id u64 (n,), slot u32 (n,): whose slot it is from now on

A position is a fraction (65535: all) of the frame's own ``box``, [low x, low y, high x, high y] in world units. A tag
is a shard's number in its low 14 bits and the entity's state above; ``ABSENT`` where nobody shows the entity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shardfleet_shard.core.columns import F64, U64

SHARD_BITS = 14
MAX_SHARDS = 2**SHARD_BITS - 1
ABSENT = 0xFFFF
STEPS = 65535
ALIGNMENT = 8

Tags = NDArray[np.uint16]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One frame, encoded. ``number`` counts up; ``revision``: of the slots, that a page must know to read it."""

    number: int
    unix_us: int
    revision: int
    data: bytes


def tags_of(owners: NDArray[Any], states: NDArray[Any]) -> Tags:
    """From shards' numbers (n,) and states as of a manifest (n,)."""
    return (owners.astype(np.uint16) | (states.astype(np.uint16) << SHARD_BITS)).astype(np.uint16)


def owners_of(tags: Tags) -> NDArray[np.uint16]:
    return tags & np.uint16(MAX_SHARDS)


def encode_frame(meta: Mapping[str, Any], position: F64, tags: Tags) -> bytes:
    """Args: ``position``: (n, 2) world units, finite where the tag is not ``ABSENT``; ``tags`` (n,)."""
    there = tags != ABSENT
    shown = position[there]
    low = shown.min(0) if len(shown) else np.zeros(2)
    high = shown.max(0) if len(shown) else np.ones(2)
    spread = np.where(high > low, high - low, 1.0)
    steps = np.zeros((len(tags), 2), "<u2")
    steps[there] = np.rint((shown - low) / spread * STEPS)
    full = {**meta, "type": "frame", "slots": len(tags), "box": [*low.tolist(), *(low + spread).tolist()]}
    return _message(full, [steps, tags.astype("<u2")])


def encode_roster(ids: U64, slots: NDArray[Any]) -> bytes:
    return _message({"type": "roster", "count": len(ids)}, [ids.astype("<u8"), slots.astype("<u4")])


def decode(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """(the JSON, its arrays) of a message. Raises ``ValueError`` for anything else."""
    length = int.from_bytes(data[:4], "little")
    meta = json.loads(data[4 : 4 + length])
    rest = memoryview(data)[_padded(4 + length) :]
    match meta["type"]:
        case "frame":
            count = int(meta["slots"])
            steps = np.frombuffer(rest, "<u2", 2 * count).reshape(count, 2)
            low, high = np.array(meta["box"][:2]), np.array(meta["box"][2:])
            return meta, {
                "position": low + steps / STEPS * (high - low),
                "tag": np.frombuffer(rest, "<u2", count, 4 * count),
            }
        case "roster":
            count = int(meta["count"])
            return meta, {"id": np.frombuffer(rest, "<u8", count), "slot": np.frombuffer(rest, "<u4", count, 8 * count)}
    raise ValueError(f"a message of type {meta['type']!r}")


def _message(meta: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> bytes:
    text = json.dumps(meta, separators=(",", ":"), allow_nan=False).encode()
    padding = bytes(_padded(4 + len(text)) - 4 - len(text))
    return b"".join([len(text).to_bytes(4, "little"), text, padding, *(array.tobytes() for array in arrays)])


def _padded(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT
