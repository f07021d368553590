"""Journal entries between their Redis form (four or five values an entry) and ``JournalEntry``."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.journal_requests import EntryKind, JournalEntry
from ..core.transfer import TransferId

LIMIT = 512
"""Entries in one answer: bounds what a script holds at once; the reader asks again."""


def entry_from_values(entry_id: bytes, header: bytes, ids: bytes, versions: bytes, rows: bytes = b"") -> JournalEntry:
    """``header`` is "kind transfer peer count tick offer_tick" with '-' for what an entry has not."""
    kind, transfer, peer, count, tick, offer_tick = header.decode().split(" ")
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


def header_of(entry: JournalEntry) -> str:
    """The reverse, of the header."""
    transfer, peer = str(entry.transfer) if entry.transfer is not None else "-", entry.peer or "-"
    return f"{entry.kind} {transfer} {peer} {entry.count} {entry.tick} {entry.offer_tick}"


def entries_from_flat(flat: Sequence[bytes], width: int) -> tuple[JournalEntry, ...]:
    """``width`` values an entry: 4 without rows, 5 with them."""
    return tuple(entry_from_values(*flat[at : at + width]) for at in range(0, len(flat), width))


def entry_order(entry_id: str) -> tuple[int, int]:
    """Sort key of an entry's id: '12-3' -> (12, 3)."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)
