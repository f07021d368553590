"""JournalFollower: what of this shard's journal is applied, and up to where the next manifest contains it.

The position is the end of the longest prefix *of the journal as read from the journal* whose entries are all
applied. Applying and reading happen in either order: an ``in`` is usually adopted before its entry is read back.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from .journal_requests import EntryKind, JournalEntry
from .manifest import JOURNAL_START
from .transfer import TransferId

Key = tuple[EntryKind, TransferId] | str
"""Transfers by (kind, id); spawns and despawns by their entry's id."""


def key_of(entry: JournalEntry) -> Key:
    return (entry.kind, entry.transfer) if entry.transfer is not None else entry.id


@dataclass(slots=True)
class JournalFollower:
    """``position``: all up to here is applied. ``read_through``: all up to here has been read."""

    position: str = JOURNAL_START
    read_through: str = JOURNAL_START
    pending: deque[JournalEntry] = field(default_factory=deque)
    applied: set[Key] = field(default_factory=set)
    """Applied, and not yet below ``position`` (read later, or behind an entry that is not applied)."""
    _pending_keys: Counter[Key] = field(default_factory=Counter)
    """Two roll-calls may say the same of one transfer."""

    def read(self, entries: Iterable[JournalEntry]) -> list[JournalEntry]:
        """Takes entries in journal order, ignoring those read before; returns the ones not applied yet."""
        news = []
        for entry in entries:
            if _order(entry.id) <= _order(self.read_through):
                continue
            self.read_through = entry.id
            self.pending.append(entry)
            self._pending_keys[key_of(entry)] += 1
            if key_of(entry) not in self.applied:
                news.append(entry)
        self._advance()
        return news

    def apply(self, key: Key) -> None:
        """``key`` is done: the row has come, or gone."""
        self.applied.add(key)
        self._advance()

    def waits_for(self, key: Key) -> bool:
        """It was read, and is not applied yet."""
        return key not in self.applied and any(key_of(entry) == key for entry in self.pending)

    def has_applied(self, entry: JournalEntry) -> bool:
        """It was read, and nothing is left to be done for it."""
        waits = any(one.id == entry.id and key_of(one) not in self.applied for one in self.pending)
        return _order(entry.id) <= _order(self.read_through) and not waits

    @property
    def settled(self) -> bool:
        """Everything read is applied."""
        return not self.pending

    def _advance(self) -> None:
        while self.pending and (key := key_of(self.pending[0])) in self.applied:
            self._pending_keys[key] -= 1
            if not self._pending_keys[key]:
                del self._pending_keys[key]
                self.applied.discard(key)
            self.position = self.pending.popleft().id


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)
