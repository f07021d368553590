"""Living ids as bitmaps: 256 neighbouring ids in 32 bytes, for the scripts that spawn and for the census."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.columns import U64, Mask
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

    @property
    def counts(self) -> bytes:
        """Different ids in each bucket; u16 each."""
        bits = np.unpackbits(np.frombuffer(self.bitmaps, np.uint8).reshape(-1, BITMAP_BYTES), axis=1)
        counts: bytes = bits.sum(axis=1).astype("<u2").tobytes()
        return counts


def to_bitmaps(parts: Sequence[bytes]) -> IdBitmaps:
    """From packed u64, in any order."""
    ids = np.sort(np.frombuffer(b"".join(parts), "<u8"))
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    upper = ids >> np.uint64(8)
    is_first = _is_first_of_its_kind(upper)
    buckets = upper[is_first]
    low = (ids & np.uint64(255)).astype(np.intp)
    byte = (np.cumsum(is_first) - 1) * BITMAP_BYTES + (low >> 3)
    bitmaps = np.zeros(len(buckets) * BITMAP_BYTES, np.uint8)
    if len(ids):
        starts = np.flatnonzero(_is_first_of_its_kind(byte))
        bitmaps[byte[starts]] = np.bitwise_or.reduceat((1 << (low & 7)).astype(np.uint8), starts)
    return IdBitmaps(
        ids=ids.tobytes(),
        buckets=buckets.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :BUCKET_BYTES].tobytes(),
        bitmaps=bitmaps.tobytes(),
        doubled=ids[twice[0]].tobytes() if len(twice) else b"",
    )


def from_bitmaps(buckets: bytes, bitmaps: bytes) -> U64:
    """The ids in ``buckets`` (7 bytes each) and their ``bitmaps`` (32 bytes each), sorted, each once; u64 (n,)."""
    fields = np.zeros((len(buckets) // BUCKET_BYTES, 8), np.uint8)
    fields[:, :BUCKET_BYTES] = np.frombuffer(buckets, np.uint8).reshape(-1, BUCKET_BYTES)
    upper = fields.view("<u8").ravel() << np.uint64(8)
    stored = np.frombuffer(bitmaps, np.uint8)
    byte = np.flatnonzero(stored)  # most are zero where ids lie far apart: unpack only the others
    which, bit = np.nonzero(np.unpackbits(stored[byte], bitorder="little").reshape(-1, 8))
    at = byte[which]
    low = ((at % BITMAP_BYTES) * 8 + bit).astype(np.uint64)
    ids = np.sort(upper[at // BITMAP_BYTES] | low)
    return ids[_is_first_of_its_kind(ids)]


def _is_first_of_its_kind(ordered: NDArray[Any]) -> Mask:
    """True where the value differs from the one before; np.unique takes a hundred times as long on sorted values."""
    first = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first
