"""What MemoryStore keeps: the fleet's keys as plain values, and the few operations that several requests share."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ..core.journal_requests import Entries, EntryKind, JournalEntry, Publish, ShardRecord
from ..core.requests import Begin, Done, Outcome, Refused, RefusedReason
from ..core.roll_requests import RollPhase
from ..core.transfer import TransferId
from ..errors import MISSHAPEN
from .journal import LIMIT, entry_order
from .keys import FORMAT

GONE_MS = 60_000

OK = Done(outcome=Outcome.OK)


def refused(reason: RefusedReason, detail: object = "", wait_ms: int = 0) -> Refused:
    return Refused(reason=reason, detail=str(detail), wait_ms=wait_ms)


@dataclass(slots=True)
class Record:
    """An open transfer. ``target_epoch`` moves on when the target recovers; another one, when that is taken over."""

    begun: Begin
    target_epoch: int
    state: str = "started"
    holders: set[str] = field(default_factory=set)

    @property
    def target(self) -> str:
        return self.begun.target


@dataclass(slots=True)
class Decided:
    """Decided sequences of one shard epoch: all up to ``floor``, and those in ``above``."""

    floor: int = 0
    above: set[int] = field(default_factory=set)

    def __contains__(self, sequence: int) -> bool:
        return sequence <= self.floor or sequence in self.above

    def add(self, sequence: int) -> None:
        if sequence > self.floor:
            self.above.add(sequence)
        while self.floor + 1 in self.above:
            self.floor += 1
            self.above.remove(self.floor)


@dataclass(slots=True)
class Journal:
    """A shard's stream: entries in order, and the newest id ever given."""

    entries: list[JournalEntry] = field(default_factory=list)
    last: tuple[int, int] = (0, 0)

    def append(self, entry: JournalEntry, now_ms: int) -> None:
        milliseconds, sequence = self.last
        self.last = (now_ms, 0) if now_ms > milliseconds else (milliseconds, sequence + 1)
        self.entries.append(replace(entry, id=f"{self.last[0]}-{self.last[1]}"))

    def after(self, entry_id: str) -> Entries:
        start = self._index_after(entry_id)
        found = self.entries[start : start + LIMIT]
        return Entries(entries=tuple(replace(entry, rows=b"") if entry.rows else entry for entry in found))

    def trim_through(self, entry_id: str) -> list[JournalEntry]:
        """Returns the entries that went."""
        through = self._index_after(entry_id)
        gone = self.entries[:through]
        del self.entries[:through]
        return gone

    def _index_after(self, entry_id: str) -> int:
        return bisect_right(self.entries, entry_order(entry_id), key=lambda entry: entry_order(entry.id))


@dataclass(slots=True)
class Roll:
    """A roll-call that goes on; ``shards``: (epoch, said, lapsed or ready); ``told``: "kind id" of a transfer."""

    end_ms: int
    call_ms: int
    phase: RollPhase = RollPhase.CALLING
    shards: dict[str, tuple[int, str]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)


Owner = tuple[str, int]
"""(shard, epoch)"""


@dataclass(slots=True)
class State:
    """All of a fleet's keys; see keys.py for what each is in Redis. Values with a time to live: (value, end in ms)."""

    generation: str = ""
    format: str = FORMAT
    seeded: bool = False
    origin_tick: int = 0
    rests: tuple[tuple[int, int], ...] = ()
    arrivals_through: int = -1
    phase: str = "run"
    layout_version: int | None = None
    layout: str = ""
    resigned: dict[str, int] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    leases: dict[str, tuple[int, int]] = field(default_factory=dict)
    claims: dict[str, Owner] = field(default_factory=dict)
    members: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    schema: int = 0
    schemas: dict[int, str] = field(default_factory=dict)
    schema_of: dict[str, int] = field(default_factory=dict)
    election: tuple[Owner, int] | None = None
    links: dict[str, tuple[Owner, int]] = field(default_factory=dict)
    records: dict[TransferId, Record] = field(default_factory=dict)
    decided: dict[Owner, Decided] = field(default_factory=dict)
    journals: dict[str, Journal] = field(default_factory=dict)
    manifests: dict[str, Publish] = field(default_factory=dict)
    living: set[int] = field(default_factory=set)
    gone: dict[int, int] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    roll: Roll | None = None
    now_ms: int = 0
    """Redis' own clock, as of the request that is being executed."""

    # --- leases ------------------------------------------------------------------------------------------------

    def expire(self, now_ms: int) -> None:
        """Moves Redis' clock to ``now_ms`` and drops what has run out."""
        self.now_ms = now_ms
        for leases in (self.leases, self.links):
            for name in [name for name, (_, end) in leases.items() if end <= now_ms]:
                del leases[name]
        if self.election is not None and self.election[1] <= now_ms:
            self.election = None

    def lease_left_ms(self, shard: str) -> int:
        return self.leases[shard][1] - self.now_ms if shard in self.leases else 0

    def is_living(self, owner: Owner) -> bool:
        """Its lease exists under its epoch."""
        shard, epoch = owner
        return shard in self.leases and self.leases[shard][0] == epoch

    def is_current(self, owner: Owner) -> bool:
        """No newer epoch of it exists."""
        return self.epochs.get(owner[0]) == owner[1]

    def drop_claims(self, shard: str, *, but: Sequence[str] = ()) -> None:
        for path in [path for path, owner in self.claims.items() if owner[0] == shard and path not in but]:
            del self.claims[path]

    # --- schemas -----------------------------------------------------------------------------------------------

    def schemas_in_use(self) -> list[int]:
        """Forgets the others; see scripts/_schemas.lua."""
        used = {
            self.schema_of.get(name, 0) for name, (_, epoch, _) in self.members.items() if self.is_living((name, epoch))
        }
        for manifest in self.manifests.values():
            # A header that is damaged names no schema.
            with suppress(ValueError, *MISSHAPEN):
                header = json.loads(manifest.header)
                if header["count"] > 0:
                    used.add(int(header["schema"]["hash"]))
        self.schemas = {known: text for known, text in self.schemas.items() if known in used}
        return sorted(self.schemas)

    # --- transfers ---------------------------------------------------------------------------------------------

    def is_decided(self, transfer: TransferId) -> bool:
        known = self.decided.get((transfer.source, transfer.epoch))
        return known is not None and transfer.sequence in known

    def decide(self, transfer: TransferId) -> None:
        """A BEGIN under any other epoch than the current one is refused anyway: nothing to remember."""
        owner = (transfer.source, transfer.epoch)
        if self.is_current(owner):
            self.decided.setdefault(owner, Decided()).add(transfer.sequence)

    def count_transfer(self, what: str, entities: int) -> None:
        self.counters[f"{what}_transfers"] += 1
        self.counters[f"{what}_entities"] += entities

    def forget(self, transfer: TransferId, what: str) -> None:
        """The record's end, however it came; ``what`` is the counter."""
        record = self.records.pop(transfer)
        self.decide(transfer)
        self.count_transfer(what, record.begun.count)

    def clear_if_target_alone(self, transfer: TransferId) -> bool:
        record = self.records[transfer]
        if record.target == transfer.source or record.holders != {record.target}:
            return False
        self.forget(transfer, "completed")
        return True

    def active(self) -> list[TransferId]:
        """By transfer time, as the active index has them."""
        return sorted(self.records, key=lambda id: (self.records[id].begun.transfer_time_us, str(id)))

    # --- journals ----------------------------------------------------------------------------------------------

    def journal(self, shard: str) -> Journal:
        return self.journals.setdefault(shard, Journal())

    def record(self, shard: str) -> ShardRecord:
        """Manifest and journal as a reader gets them."""
        manifest = self.manifests.get(shard)
        return ShardRecord(
            shard=shard,
            header=(manifest.header or " ") if manifest else "",
            chunks=manifest.chunks if manifest else (),
            entries=tuple(self.journals.get(shard, Journal()).entries),
        )

    def forget_taken(self, alias: str) -> None:
        """What lies under ``alias``, and under the aliases that its journal still names."""
        for entry in self.journals.pop(alias, Journal()).entries:
            if entry.kind is EntryKind.TAKEOVER:
                self.forget_taken(entry.peer)
        self.manifests.pop(alias, None)
        self.epochs.pop(alias, None)

    def append(self, shard: str, entry: JournalEntry) -> None:
        self.journal(shard).append(entry, self.now_ms)

    def expire_gone(self) -> None:
        """Forgets despawns of more than a minute ago, unless a journal may still hold them: its shard may be down."""
        oldest = [entry_order(journal.entries[0].id)[0] - 1 for journal in self.journals.values() if journal.entries]
        through_ms = min(self.now_ms - GONE_MS, *oldest) if oldest else self.now_ms - GONE_MS
        self.gone = {entity: at for entity, at in self.gone.items() if at > through_ms}
