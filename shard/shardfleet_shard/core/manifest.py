"""AuthorityManifest: what a shard publishes of its rows; one record for telemetry, map, census and recovery.

A manifest is a header (small, JSON) and chunks of at most 256 kB, each the packed rows of one range followed by
their states. The header carries the columns' descriptions, so a reader needs no plugin. Each chunk has a CRC-32 in the
header, and the header one over itself, so no flipped bit is taken for what was published.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import MISSHAPEN
from .columns import TRAILER_BYTES, Columns, Schema

MAX_CHUNK_BYTES = 256_000
MAX_WIDTH = 4096
"""Numbers in one column of a row: more than a frame of full rows has room for."""
FORMAT = 1
_KEYS_BEFORE_CHECKSUMS = frozenset(
    (
        "format",
        "shard",
        "epoch",
        "tick",
        "unix_us",
        "position",
        "count",
        "rows_per_chunk",
        "checksums",
        "schema",
        "stats",
    )
)
"""All that a header of a version without its own checksum has. With any other key it must have one: a flipped bit in
the checksum's name must not make it a header of that version."""

AUTHORITATIVE, PASSING, FROZEN = 0, 1, 2
STATE_NAMES = ("authoritative", "passing", "frozen")

JOURNAL_START = "0-0"

HEADER = -1


class Fault(NamedTuple):
    """What is wrong with a stored manifest: ``chunk`` by number from 0, or HEADER."""

    chunk: int
    words: str


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
        """(header, chunks); ``checksums`` in the header are CRC-32, one a chunk, ``checksum`` that of the header."""
        header, chunks = self._parts()
        return header | {"checksum": _checksum(header)}, chunks

    def to_stored(self) -> tuple[str, list[bytes]]:
        """The same with the header as JSON, which costs a shard that publishes all the time half as much."""
        header, chunks = self._parts()
        body = _text(header)
        return f'{body[:-1]},"checksum":{zlib.crc32(body.encode())}}}', chunks

    def _parts(self) -> tuple[dict[str, Any], list[bytes]]:
        rows_per_chunk = max(1, (MAX_CHUNK_BYTES - TRAILER_BYTES) // (self.rows.schema.row_size_bytes + 1))
        chunks = []
        for start in range(0, len(self.rows), rows_per_chunk):
            part = slice(start, start + rows_per_chunk)
            chunks.append(self.rows.take(part).pack() + self.states[part].tobytes())
        header: dict[str, Any] = {
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
        manifest, faults = cls._read(header, chunks)
        if manifest is None or faults:
            raise ValueError(faults[0].words)
        return manifest

    @classmethod
    def from_stored(cls, header: str, chunks: Sequence[bytes]) -> tuple[AuthorityManifest | None, list[Fault]]:
        """What can be read, rows of damaged chunks left out, and what is wrong; None for a damaged header."""
        try:
            return cls._read(json.loads(header), chunks)
        except (ValueError, RecursionError) as error:
            return None, [Fault(HEADER, f"the header is no JSON: {error}")]

    @classmethod
    def _read(cls, header: Any, chunks: Sequence[bytes]) -> tuple[AuthorityManifest | None, list[Fault]]:
        try:
            _check(header)
            schema = schema_from_header(header["schema"])
            manifest = cls(
                shard=str(header["shard"]),
                epoch=int(header["epoch"]),
                tick=int(header["tick"]),
                unix_us=int(header["unix_us"]),
                position=str(header["position"]),
                rows=schema.empty(),
                states=np.zeros(0, np.uint8),
                stats=dict(header.get("stats", {})),
            )
            rows_per_chunk, checksums = int(header["rows_per_chunk"]), list(header["checksums"])
            counts = _split(int(header["count"]), rows_per_chunk, len(checksums))
        except MISSHAPEN as error:
            return None, [Fault(HEADER, f"not a manifest's header: {type(error).__name__}: {error}")]
        except ValueError as error:
            return None, [Fault(HEADER, str(error))]
        parts, states, faults = [], [], list[Fault]()
        if len(chunks) != len(checksums):
            faults.append(Fault(HEADER, f"{len(chunks)} of {len(checksums)} chunks"))
        for number, (chunk, checksum, count) in enumerate(zip(chunks, checksums, counts, strict=False)):
            try:
                part, part_states = _read_chunk(schema, chunk, checksum, count)
            except ValueError as error:
                faults.append(Fault(number, f"chunk {number} is damaged: {error}"))
                continue
            parts.append(part)
            states.append(part_states)
        rows = Columns.concat(schema, parts)
        return replace(manifest, rows=rows, states=np.concatenate([manifest.states, *states])), faults


def _checksum(header: Mapping[str, Any]) -> int:
    """Of all but the checksum itself, in the order in which it was written, which JSON keeps."""
    rest = {name: value for name, value in header.items() if name != "checksum"}
    return zlib.crc32(_text(rest).encode())


def _text(header: Mapping[str, Any]) -> str:
    return json.dumps(header, separators=(",", ":"))


def _check(header: Any) -> None:
    """Raises ``ValueError``, or one of MISSHAPEN."""
    if header.get("format") != FORMAT:
        raise ValueError(f"manifest format {header.get('format')!r}, not {FORMAT}")
    if "checksum" in header:
        if header["checksum"] != _checksum(header):
            raise ValueError("the header is damaged: its checksum does not match")
    elif unknown := sorted(header.keys() - _KEYS_BEFORE_CHECKSUMS):
        raise ValueError(f"the header is damaged: it has {unknown[0]!r} and no checksum")


def _split(count: int, rows_per_chunk: int, chunks: int) -> list[int]:
    """Rows of each chunk. Raises ``ValueError`` where they are not as many as there are."""
    if rows_per_chunk < 1 or count < 0 or -(-count // rows_per_chunk) != chunks:
        raise ValueError(f"{count} rows are not {chunks} chunks of {rows_per_chunk}")
    return [min(rows_per_chunk, count - number * rows_per_chunk) for number in range(chunks)]


def _read_chunk(schema: Schema, chunk: bytes, checksum: Any, count: int) -> tuple[Columns, NDArray[np.uint8]]:
    """Raises ``ValueError``."""
    if not chunk:
        raise ValueError("it is not there")
    if zlib.crc32(chunk) != checksum:
        raise ValueError("its checksum does not match")
    size_bytes = schema.packed_size_bytes(count)
    if len(chunk) != size_bytes + count:
        raise ValueError(f"{len(chunk)} bytes are not {count} rows of {schema.row_size_bytes} bytes and a state each")
    states = np.frombuffer(chunk, np.uint8, count, size_bytes)
    if states.max(initial=0) > FROZEN:
        raise ValueError("a row is in a state that there is not")
    return schema.unpack(memoryview(chunk)[:size_bytes], count), states
