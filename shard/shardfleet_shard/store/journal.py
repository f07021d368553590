"""Journal entries between their Redis form (five or six values an entry) and ``JournalEntry``.

An entry's checksum is "rows seal". *rows*: CRC-32 of its rows by whoever sent them, '-' where it has none. *seal*: of
header, ids, versions and *rows*, by the script that wrote the entry, which may have put it together itself; Lua has no
CRC, but SHA-1, of which these are the first 64 bits. Entries of versions before have no checksum, and are taken as they
are.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

from ..core.columns import TRAILER_BYTES
from ..core.journal_requests import GAINS, EntryKind, JournalEntry
from ..core.transfer import TransferId

LIMIT = 512
"""Entries in one answer: bounds what a script holds at once; the reader asks again."""
NO_ROWS = "-"
NO_CHECKSUM = b"-"
"""What scripts answer for an entry without a checksum."""
SEAL_DIGITS = 16


def rows_checksum(rows: bytes) -> str:
    """For the script that writes an entry with ``rows``."""
    return str(zlib.crc32(rows))


def checksum_of(header: bytes, ids: bytes, versions: bytes, rows: bytes | None) -> bytes:
    """As scripts/_journal.lua writes it; ``rows`` None for an entry without."""
    crc = (NO_ROWS if rows is None else rows_checksum(rows)).encode()
    return crc + b" " + _seal(header, ids, versions, crc)


def entry_from_values(
    entry_id: bytes,
    header: bytes,
    ids: bytes,
    versions: bytes,
    checksum: bytes = NO_CHECKSUM,
    rows: bytes | None = None,
) -> JournalEntry:
    """``header`` is "kind transfer peer count tick offer_tick" with '-' for what an entry has not.

    Never raises: an entry that is not as it was written is of kind DAMAGED.

    Args:
        rows: None where they were not read.
    """
    try:
        _check(header, ids, versions, checksum)
        entry = _parse(entry_id, header, ids, versions, rows or b"")
    except ValueError as error:
        # Rows lie beside the entry, and only what brings entities has some.
        return _damaged(entry_id, str(error), may_hide_loss=not rows)
    try:
        _check_body(entry, checksum, has_rows=rows is not None)
    except ValueError as error:
        return _damaged(entry_id, f"{entry.kind}, {error}", may_hide_loss=entry.kind not in GAINS)
    return entry


def _damaged(entry_id: bytes, why: str, *, may_hide_loss: bool) -> JournalEntry:
    return JournalEntry(
        id=entry_id.decode("ascii", "replace"), kind=EntryKind.DAMAGED, damage=why, may_hide_loss=may_hide_loss
    )


def _seal(header: bytes, ids: bytes, versions: bytes, rows: bytes) -> bytes:
    digest = hashlib.sha1(b"\n".join((header, rows, ids + versions)), usedforsecurity=False).hexdigest()
    return digest[:SEAL_DIGITS].encode()


def _check(header: bytes, ids: bytes, versions: bytes, checksum: bytes) -> None:
    if checksum == NO_CHECKSUM:
        return
    rows, _, seal = checksum.partition(b" ")
    if seal != _seal(header, ids, versions, rows):
        raise ValueError("its checksum does not match")


def _parse(entry_id: bytes, header: bytes, ids: bytes, versions: bytes, rows: bytes) -> JournalEntry:
    words = header.decode().split(" ")
    if len(words) != 6 or words[0] == EntryKind.DAMAGED:
        raise ValueError(f"{header[:80]!r} is no entry")
    kind, transfer, peer, count, tick, offer_tick = words
    return JournalEntry(
        id=entry_id.decode(),
        kind=EntryKind(kind),
        transfer=None if transfer == "-" else TransferId.parse(transfer),
        peer="" if peer == "-" else peer,
        count=int(count),
        tick=int(tick),
        offer_tick=int(offer_tick),
        ids=ids,
        versions=versions,
        rows=rows,
    )


def _check_body(entry: JournalEntry, checksum: bytes, *, has_rows: bool) -> None:
    """That it has as many entities as it says, and its rows are those that were sent."""
    if entry.count < 0:
        raise ValueError(f"{entry.count} entities")
    if entry.kind in GAINS:
        if not has_rows:
            return
        if checksum != NO_CHECKSUM:
            if checksum.partition(b" ")[0] != rows_checksum(entry.rows).encode():
                raise ValueError("the checksum of its rows does not match" if entry.rows else "its rows are not there")
            return
        size_bytes = len(entry.rows) - TRAILER_BYTES
        if size_bytes < 12 * entry.count or (size_bytes % entry.count if entry.count else size_bytes):
            raise ValueError(f"{len(entry.rows)} bytes are not {entry.count} rows")
    elif entry.kind is not EntryKind.TAKEOVER and (len(entry.ids), len(entry.versions)) != (
        8 * entry.count,
        4 * entry.count,
    ):
        raise ValueError(f"ids or versions are not those of {entry.count} entities")


def header_of(entry: JournalEntry) -> str:
    """The reverse, of the header."""
    transfer, peer = str(entry.transfer) if entry.transfer is not None else "-", entry.peer or "-"
    return f"{entry.kind} {transfer} {peer} {entry.count} {entry.tick} {entry.offer_tick}"


def entries_from_flat(flat: Sequence[bytes], width: int) -> tuple[JournalEntry, ...]:
    """``width`` values an entry: 5 without rows, 6 with them."""
    return tuple(entry_from_values(*flat[at : at + width]) for at in range(0, len(flat), width))


def entry_order(entry_id: str) -> tuple[int, int]:
    """Sort key of an entry's id: '12-3' -> (12, 3)."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)
