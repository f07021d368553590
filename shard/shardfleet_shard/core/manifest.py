"""AuthorityManifest: what a shard publishes of its rows; one record for telemetry, map, census and recovery.

A manifest is a header (small, JSON) and chunks of at most 256 kB, each the packed rows of one range followed by
their states. The header carries the columns' descriptions, so a reader needs no plugin.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MISSHAPEN
from .columns import TRAILER_BYTES, Columns, Schema

MAX_CHUNK_BYTES = 256_000
MAX_WIDTH = 4096
"""Numbers in one column of a row: more than a frame of full rows has room for."""
FORMAT = 1

AUTHORITATIVE, PASSING, FROZEN = 0, 1, 2
STATE_NAMES = ("authoritative", "passing", "frozen")

JOURNAL_START = "0-0"

_KIND = re.compile(r"[<|][iufb][1248]")
"""As ``Schema.descr`` has it."""


def schema_to_header(schema: Schema) -> dict[str, Any]:
    extra = [[name, kind, width] for name, kind, width in schema.descr[4:]]
    return {"dimensions": schema.dimensions, "extra": extra, "hash": schema.hash}


def schema_from_header(header: Mapping[str, Any]) -> Schema:
    """Raises ``ValueError`` for a header that describes no schema."""
    try:
        fields: list[Any] = []
        for name, kind, width in header["extra"]:
            # NumPy would make much more of a text, and of a width as much memory as it says.
            if not isinstance(name, str) or not _KIND.fullmatch(kind) or not 0 <= width <= MAX_WIDTH:
                raise ValueError(f"column {name!r}: {kind!r} x {width!r} is not a number or a row of numbers")
            fields.append((name, kind, (width,)) if width else (name, kind))
        schema = Schema(int(header["dimensions"]), np.dtype(fields) if fields else None)
        _ = schema.columns
        return schema
    except MISSHAPEN as error:
        raise ValueError(f"no schema: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True, eq=False)
class AuthorityManifest:
    """Rows of one shard as of the end of ``tick``.

    Attributes:
        position: journal entry id up to which everything is contained in ``rows``.
        states: (n,) uint8: AUTHORITATIVE, PASSING or FROZEN.
        stats: the shard's own figures for tables and reports.
    """

    shard: str
    epoch: int
    tick: int
    unix_us: int
    position: str
    rows: Columns
    states: NDArray[np.uint8]
    stats: Mapping[str, Any] = field(default_factory=dict)

    def to_chunks(self) -> tuple[dict[str, Any], list[bytes]]:
        """(header, chunks); the header's ``checksums`` are CRC-32, one a chunk."""
        rows_per_chunk = max(1, (MAX_CHUNK_BYTES - TRAILER_BYTES) // (self.rows.schema.row_size_bytes + 1))
        chunks = []
        for start in range(0, len(self.rows), rows_per_chunk):
            part = slice(start, start + rows_per_chunk)
            chunks.append(self.rows.take(part).pack() + self.states[part].tobytes())
        header = {
            "format": FORMAT,
            "shard": self.shard,
            "epoch": self.epoch,
            "tick": self.tick,
            "unix_us": self.unix_us,
            "position": self.position,
            "count": len(self.rows),
            "rows_per_chunk": rows_per_chunk,
            "checksums": [zlib.crc32(chunk) for chunk in chunks],
            "schema": schema_to_header(self.rows.schema),
            "stats": dict(self.stats),
        }
        return header, chunks

    @classmethod
    def from_chunks(cls, header: Mapping[str, Any], chunks: Sequence[bytes]) -> AuthorityManifest:
        """Raises ``ValueError`` saying which chunk is missing, cut short or damaged, or what its header lacks."""
        try:
            return cls._read(header, chunks)
        except MISSHAPEN as error:
            raise ValueError(f"not a manifest's header: {type(error).__name__}: {error}") from error

    @classmethod
    def _read(cls, header: Mapping[str, Any], chunks: Sequence[bytes]) -> AuthorityManifest:
        if header.get("format") != FORMAT:
            raise ValueError(f"manifest format {header.get('format')!r}, not {FORMAT}")
        schema = schema_from_header(header["schema"])
        checksums = header["checksums"]
        if len(chunks) != len(checksums):
            raise ValueError(f"{len(chunks)} of {len(checksums)} chunks")
        parts, states = [], []
        left = int(header["count"])
        for number, (chunk, checksum) in enumerate(zip(chunks, checksums, strict=True)):
            if zlib.crc32(chunk) != checksum:
                raise ValueError(f"chunk {number} is damaged: its checksum does not match")
            count = min(left, int(header["rows_per_chunk"]))
            size_bytes = schema.packed_size_bytes(count)
            parts.append(schema.unpack(memoryview(chunk)[:size_bytes], count))
            states.append(np.frombuffer(chunk, np.uint8, count, size_bytes))
            left -= count
        if left:
            raise ValueError(f"{left} rows are in no chunk")
        if any(part.max(initial=0) > FROZEN for part in states):
            raise ValueError("a row is in a state that there is not")
        return cls(
            shard=str(header["shard"]),
            epoch=int(header["epoch"]),
            tick=int(header["tick"]),
            unix_us=int(header["unix_us"]),
            position=str(header["position"]),
            rows=Columns.concat(schema, parts),
            states=np.concatenate(states) if states else np.zeros(0, np.uint8),
            stats=dict(header.get("stats", {})),
        )
