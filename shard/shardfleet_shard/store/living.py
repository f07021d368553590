"""Living ids as bitmaps: 256 neighbouring ids in 32 bytes, for the scripts that spawn and for the census."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..core.columns import U64
from .keys import BITMAP_BYTES, BUCKET_BYTES


class IdBitmaps(NamedTuple):
    """What SPAWN needs to know of its ids, so that Lua handles 256 neighbours at a time.

    Attributes:
        ids: packed u64, sorted.
        buckets: 7 bytes each: the ids' upper 56 bits, little-endian, ascending.
        bitmaps: 32 bytes a bucket; bit ``id & 255``, counted from the lowest bit of the first byte.
        doubled: the lowest id that is there twice, packed, or b"".
    """

    ids: bytes
    buckets: bytes
    bitmaps: bytes
    doubled: bytes


def to_bitmaps(parts: Sequence[bytes]) -> IdBitmaps:
    """From packed u64, in any order."""
    ids = np.sort(np.frombuffer(b"".join(parts), "<u8"))
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    buckets, index = np.unique(ids >> np.uint64(8), return_inverse=True)
    low = (ids & np.uint64(255)).astype(np.intp)
    byte = index * BITMAP_BYTES + (low >> 3)
    bitmaps = np.zeros(len(buckets) * BITMAP_BYTES, np.uint8)
    if len(ids):
        first = np.flatnonzero(np.concatenate(([True], byte[1:] != byte[:-1])))
        bitmaps[byte[first]] = np.bitwise_or.reduceat((1 << (low & 7)).astype(np.uint8), first)
    return IdBitmaps(
        ids=ids.tobytes(),
        buckets=buckets.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :BUCKET_BYTES].tobytes(),
        bitmaps=bitmaps.tobytes(),
        doubled=ids[twice[0]].tobytes() if len(twice) else b"",
    )


def from_bitmaps(stored: Mapping[bytes, bytes]) -> U64:
    """The ids in the hash ``ids``, sorted, u64 (n,)."""
    if not stored:
        return np.zeros(0, np.uint64)
    fields = np.frombuffer(b"".join(field + b"\0" for field in stored), "<u8")
    stored_bytes = np.frombuffer(b"".join(stored.values()), np.uint8)
    byte = np.flatnonzero(stored_bytes)  # most are zero where ids lie far apart: unpack only the others
    which, bit = np.nonzero(np.unpackbits(stored_bytes[byte], bitorder="little").reshape(-1, 8))
    at = byte[which]
    low = ((at % BITMAP_BYTES) * 8 + bit).astype(np.uint64)
    return np.sort((fields[at // BITMAP_BYTES] << np.uint64(8)) | low)
