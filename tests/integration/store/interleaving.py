"""Random requests of three shards, in any order, repeated, late and stale."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from shardfleet_shard.core.census_requests import RemoveCopy, RestoreEntity
from shardfleet_shard.core.journal_requests import (
    GAINS,
    EntryKind,
    JournalEntry,
    Publish,
    ReadEntries,
    ReadFleet,
    Tail,
)
from shardfleet_shard.core.repair_requests import ReadOverdue, Repair
from shardfleet_shard.core.requests import (
    Accept,
    Adopted,
    Begin,
    Cancel,
    Claim,
    Elect,
    Ended,
    Join,
    LinkLease,
    Observe,
    Recover,
    Reject,
    Released,
    Renew,
    Reopen,
    Request,
    Resign,
)
from shardfleet_shard.core.roll_requests import CallRoll, Ready, Rejoin, Statement, WorldKnown
from shardfleet_shard.core.spawn_requests import Arrive, Despawn, Seed, Spawn, SpawnGroup
from shardfleet_shard.core.takeover_requests import TakeOver
from shardfleet_shard.core.transfer import TransferId

SHARDS = ("arena-0", "arena-1", "arena-2")
CELLS = ("0", "10", "11")
LEASE_MS = 600_000
FIRST_EPOCH = 1_790_000_000_000_000
LAYOUT_VERSION = 3
SCHEMAS = (7, 2**32 - 1, 12)
CALL_MS = 600_000
SAID = (EntryKind.HELD, EntryKind.HELD, EntryKind.SPAWN, EntryKind.DESPAWN, EntryKind.IN, EntryKind.OUT)


FEW_IDS = (1, 2, 255, 256, 2**64 - 1)


def pack_ids(ids: list[int]) -> bytes:
    return np.array(ids, "<u8").tobytes()


def pack_versions(versions: list[int]) -> bytes:
    return np.array(versions, "<u4").tobytes()


@dataclass
class Interleaving:
    """Makes requests; the caller tells it of epochs and entry ids that the replies brought."""

    rng: random.Random
    epochs: dict[str, int] = field(default_factory=dict)
    former: dict[str, int] = field(default_factory=dict)
    seen: dict[str, list[str]] = field(default_factory=lambda: {shard: ["0-0"] for shard in SHARDS})
    transfers: list[Begin] = field(default_factory=list)
    sequences: dict[tuple[str, int], int] = field(default_factory=dict)
    tick: int = 0
    arrived: int = -1
    roll_weight: int = 0
    """How often requests of a roll-call come, beside the others."""
    history: list[Request] = field(default_factory=list)
    due: list[Request] = field(default_factory=list)

    def next(self) -> Request:
        """One request; one in eight is an old one again."""
        if self.due:
            return self.due.pop(0)
        if self.history and self.rng.random() < 0.125:
            return self.rng.choice(self.history[-60:])
        self.tick += 1
        request = self._make()
        self.history.append(request)
        return request

    def _make(self) -> Request:
        shard = self.rng.choice(SHARDS)
        if shard not in self.epochs:
            return self._recover(shard)
        makers: list[tuple[int, Any]] = [
            (12, self._begin),
            (18, self._accept),
            (4, self._reject),
            (5, self._cancel),
            (10, self._adopted),
            (10, self._released),
            (8, self._publish),
            (4, self._tail),
            (3, self._read_entries),
            (6, self._spawn),
            (4, self._despawn),
            (4, self._claim),
            (3, self._renew),
            (3, self._elect),
            (3, self._link_lease),
            (5, self._seed),
            (5, self._arrive),
            (6, self._resign),
            (3, self._repair),
            (3, self._read_overdue),
            (7, self._restore),
            (6, self._remove_copy),
            (4, self._take_over),
            (1, self._ended),
            (1, self._recover),
            (3, lambda _: self._join()),
            (1, lambda _: Observe()),
            (1, lambda _: ReadFleet()),
            (1, lambda _: Reopen()),
            (self.roll_weight, self._rejoin),
            (self.roll_weight, self._ready),
            (self.roll_weight, lambda _: CallRoll(call_ms=CALL_MS)),
        ]
        maker = self.rng.choices([one for _, one in makers], [weight for weight, _ in makers])[0]
        return maker(shard)

    def _epoch(self, shard: str) -> int:
        """Mostly the current one."""
        return self.epochs.get(shard, 7) if self.rng.random() < 0.95 else self.former.get(shard, 7)

    def _me(self, shard: str) -> dict[str, Any]:
        return {"shard": shard, "epoch": self._epoch(shard)}

    def _recover(self, shard: str) -> Request:
        unix_us = FIRST_EPOCH + self.tick if self.rng.random() < 0.8 else 5
        return Recover(
            shard=shard,
            ordinal=SHARDS.index(shard),
            address=f"[::1]:{self.tick}",
            unix_us=unix_us,
            schema_hash=self.rng.choices(SCHEMAS, (14, 1, 1))[0],
        )

    def _join(self) -> Request:
        own = self.rng.choices([0, *SCHEMAS], (1, 6, 1, 1))[0]
        takes = tuple(one for one in SCHEMAS if self.rng.random() < 0.5)
        return Join(schema_hash=own, schema=f"columns of {own}", takes=takes, founds=bool(self.tick % 2))

    def _renew(self, shard: str) -> Request:
        return Renew(**self._me(shard), ttl_ms=LEASE_MS)

    def _ended(self, shard: str) -> Request:
        return Ended(shard=shard, epoch=self.rng.choice([0, self.epochs[shard], self.former.get(shard, 1)]))

    def _take_over(self, shard: str) -> Request:
        """Mostly of one that has just lost its lease."""
        gone = self.rng.choice(SHARDS)
        takeover = TakeOver(
            **self._me(shard), gone=gone, gone_epoch=self.epochs.get(gone, 7), unix_us=FIRST_EPOCH + self.tick
        )
        self.history.append(takeover)
        if self.rng.random() < 0.4:
            return takeover
        self.due += [Ended(shard=gone, epoch=0), takeover]
        return Renew(**self._me(shard), ttl_ms=LEASE_MS)

    def _claim(self, shard: str) -> Request:
        cells = tuple(cell for cell in CELLS if self.rng.random() < 0.5)
        own = (CELLS[SHARDS.index(shard)],)
        version = LAYOUT_VERSION if self.rng.random() < 0.9 else 2
        cells = self.rng.choice([own, own, cells, ()])
        return Claim(**self._me(shard), layout_version=version, cells=cells)

    def _resign(self, shard: str) -> Request:
        return Resign(**self._me(shard))

    def _begin(self, shard: str) -> Request:
        target = self.rng.choice([one for one in SHARDS if one != shard])
        epoch = self._epoch(shard)
        sequence = self.sequences.get((shard, epoch), 0) + 1
        self.sequences[shard, epoch] = sequence
        count = self.rng.randint(1, 3)
        ids = self.rng.choice([self.rng.sample(FEW_IDS, count), [self.rng.getrandbits(64) for _ in range(count)]])
        begin = Begin(
            shard=shard,
            epoch=epoch,
            transfer=TransferId(shard, epoch, sequence),
            target=target,
            target_epoch=self.epochs.get(target, 1),
            cell=CELLS[SHARDS.index(target)] if self.rng.random() < 0.9 else "nowhere",
            transfer_time_us=FIRST_EPOCH + self.rng.randint(0, 50),
            switch_tick=self.tick,
            count=count,
            ids=pack_ids(ids),
            versions=pack_versions([self.rng.randint(1, 5) for _ in ids]),
        )
        self.transfers.append(begin)
        # Sometimes the others come first, and this one later from the history.
        return begin if self.rng.random() < 0.85 else self._for_one_of([begin], shard)

    def _for_one_of(self, transfers: list[Begin], shard: str) -> Request:
        begin = self.rng.choice(transfers)
        self.history.append(begin)
        maker = self.rng.choice([self._accept, self._cancel, self._reject])
        return maker(shard, begin)

    def _transfer(self) -> Begin | None:
        return self.rng.choice(self.transfers[-8:]) if self.transfers else None

    def _accept(self, shard: str, begin: Begin | None = None) -> Request:
        begin = begin or self._transfer()
        if begin is None:
            return self._tail(shard)
        actor = begin.target if self.rng.random() < 0.95 and begin.target in self.epochs else shard
        return Accept(
            **self._me(actor),
            transfer=begin.transfer,
            cell=begin.cell,
            switch_tick=begin.switch_tick,
            offer_tick=begin.switch_tick - 2,
            count=begin.count,
            rows=begin.ids + begin.versions + self.rng.randbytes(36 * begin.count),
        )

    def _reject(self, shard: str, begin: Begin | None = None) -> Request:
        begin = begin or self._transfer()
        if begin is None or begin.target not in self.epochs:
            return self._tail(shard)
        return Reject(**self._me(begin.target), transfer=begin.transfer, reason="the reason, in words")

    def _cancel(self, shard: str, begin: Begin | None = None) -> Request:
        begin = begin or self._transfer()
        return Cancel(**self._me(begin.shard), transfer=begin.transfer) if begin else self._tail(shard)

    def _adopted(self, shard: str) -> Request:
        begin = self._transfer()
        if begin is None or begin.target not in self.epochs:
            return self._tail(shard)
        actor = begin.target if self.rng.random() < 0.95 else shard
        return Adopted(**self._me(actor), transfer=begin.transfer)

    def _released(self, shard: str) -> Request:
        begin = self._transfer()
        if begin is None:
            return self._tail(shard)
        actor = begin.shard if self.rng.random() < 0.95 else shard
        return Released(**self._me(actor), transfer=begin.transfer)

    def _repair(self, shard: str) -> Request:
        begin = self._transfer()
        return Repair(transfer=begin.transfer) if begin else self._tail(shard)

    def _read_overdue(self, shard: str) -> Request:
        return ReadOverdue(**self._me(shard), through_us=FIRST_EPOCH + self.rng.randint(-1, 51))

    def _restore(self, shard: str) -> Request:
        """Of a few ids only, so that the same are restored, given away and copied again and again."""
        entity, version = self.rng.choice(FEW_IDS), self.rng.randint(1, 4)
        row = pack_ids([entity]) + version.to_bytes(4, "little") + self.rng.randbytes(32)
        tick = self.tick
        return RestoreEntity(owner=shard, entity=entity, version=version, tick=tick, offer_tick=tick - 3, row=row)

    def _remove_copy(self, shard: str) -> Request:
        return RemoveCopy(
            shard=shard,
            owner=self.rng.choice(SHARDS),
            entity=self.rng.choice(FEW_IDS),
            tick=self.rng.choice([-1, -1, self.tick + 5]),
        )

    def _publish(self, shard: str) -> Request:
        largest = self.rng.choice([200] * 9 + [200_000])  # small manifests go inline, large ones are staged
        sizes = [self.rng.randint(0, largest) for _ in range(self.rng.choice([0, 1, 1, 2, 3]))]
        tick = self.tick if self.rng.random() < 0.9 else max(0, self.tick - 30)
        positions = self.seen[shard]
        return Publish(
            **self._me(shard),
            tick=tick,
            position=self.rng.choice(positions[-6:]),
            header=json.dumps(
                {
                    "tick": tick,
                    "count": 2 * len(sizes),
                    "rows_per_chunk": 2,
                    "schema": {"hash": self.rng.choice(SCHEMAS)},
                }
            ),
            chunks=tuple(self._chunk(size) for size in sizes),
            read_after=self.rng.choice(positions[-6:]),
        )

    def _chunk(self, size: int) -> bytes:
        """Two rows and whatever follows."""
        ids = self.rng.sample(FEW_IDS, 2) if self.rng.random() < 0.3 else [self.rng.getrandbits(64) for _ in range(2)]
        return pack_ids(ids) + pack_versions([self.rng.randint(1, 4) for _ in ids]) + self.rng.randbytes(size)

    def _tail(self, shard: str) -> Request:
        return Tail(**self._me(shard), read_after=self.rng.choice(self.seen[shard][-8:]))

    def _read_entries(self, shard: str) -> Request:
        ids = tuple(entry for entry in self.seen[shard][-8:] if self.rng.random() < 0.6 and entry != "0-0")
        return ReadEntries(**self._me(shard), ids=ids) if ids else self._tail(shard)

    def _ids(self) -> list[int]:
        spread = self.rng.choice([FEW_IDS, range(1, 40), range(250, 262), range(2**64 - 20, 2**64)])
        return [self.rng.choice(spread) for _ in range(self.rng.randint(1, 4))]

    def _groups(self) -> tuple[SpawnGroup, ...]:
        groups = []
        for _ in range(self.rng.randint(1, 2)):
            ids = sorted(set(self._ids())) if self.rng.random() < 0.9 else self._ids()
            groups.append(
                SpawnGroup(
                    cell=self.rng.choice(CELLS),
                    count=len(ids),
                    ids=pack_ids(ids),
                    rows=pack_ids(ids) + pack_versions([1] * len(ids)) + self.rng.randbytes(32 * len(ids)),
                    tick=self.tick,
                )
            )
        return tuple(groups)

    def _spawn(self, shard: str) -> Request:
        return Spawn(**self._me(shard), groups=self._groups())

    def _despawn(self, shard: str) -> Request:
        ids = self._ids()
        return Despawn(**self._me(shard), ids=pack_ids(ids), versions=self.rng.randbytes(4 * len(ids)))

    def _seed(self, shard: str) -> Request:
        groups = self._groups() if self.rng.random() < 0.5 else ()
        return Seed(**self._me(shard), origin_tick=self.tick, groups=groups)

    def _arrive(self, shard: str) -> Request:
        after = self.arrived if self.rng.random() < 0.8 else self.tick
        groups = self._groups() if self.rng.random() < 0.5 else ()
        return Arrive(**self._me(shard), after=after, through=after + self.rng.randint(1, 5), groups=groups)

    def _elect(self, shard: str) -> Request:
        return Elect(**self._me(shard), ttl_ms=LEASE_MS)

    def _link_lease(self, shard: str) -> Request:
        peer = self.rng.choice([one for one in SHARDS if one != shard])
        return LinkLease(**self._me(shard), peer=peer, ttl_ms=self.rng.choice([0, LEASE_MS, LEASE_MS]))

    def _rejoin(self, shard: str) -> Request:
        me = self._me(shard)
        statements = [self._said(shard, kind) for kind in self.rng.choices(SAID, k=self.rng.randint(0, 6))]
        return Rejoin(
            **me,
            tick=self.tick,
            ordinal=SHARDS.index(shard),
            address=f"[::1]:{self.tick}",
            schema_hash=self.rng.choice(SCHEMAS),
            schema="columns",
            takes=tuple(one for one in SCHEMAS if self.rng.random() < 0.3),
            lease_ms=self.rng.choice([0, LEASE_MS, LEASE_MS]),
            call_ms=CALL_MS,
            world=WorldKnown(
                layout_version=self.rng.choice([0, LAYOUT_VERSION, LAYOUT_VERSION]),
                layout="{}",
                phase=self.rng.choice(["run", "run", "settle"]),
                seeded=self.rng.random() < 0.5,
                origin_tick=77,
                arrivals_through=self.rng.choice([-1, self.arrived]),
            ),
            statements=tuple(statements),
        )

    def _said(self, shard: str, kind: EntryKind) -> Statement:
        count = self.rng.randint(1, 3)
        ids = self.rng.sample(range(1, 400), count)
        packed, versions = pack_ids(ids), pack_versions([self.rng.randint(1, 5) for _ in ids])
        rows = packed + versions + self.rng.randbytes(36 * count)
        if self.rng.random() < 0.05:
            rows += bytes(300_000)
        owner, transfer, peer = shard, None, ""
        entry_id = self.rng.choice(["", self.rng.choice(self.seen[shard])])
        if kind in (EntryKind.IN, EntryKind.OUT):
            begin = self._transfer()
            sequence = self.rng.randint(1, 4)
            transfer = begin.transfer if begin is not None else TransferId(shard, self._epoch(shard), sequence)
            owner, peer = self.rng.sample(SHARDS, 2)
            entry_id = ""
        has_rows = kind in GAINS
        entry = JournalEntry(
            id="" if entry_id == "0-0" else entry_id,
            kind=kind,
            transfer=transfer,
            peer=peer,
            count=count,
            tick=self.tick,
            offer_tick=self.tick - 1,
            ids=b"" if has_rows else packed,
            versions=b"" if has_rows else versions,
            rows=rows if has_rows else b"",
        )
        return Statement(owner=owner, entry=entry)

    def _ready(self, shard: str) -> Request:
        me = self._me(shard)
        last = self.sequences.get((shard, me["epoch"]), 0)
        known = {begin.transfer for begin in self.transfers[-8:] if self.rng.random() < 0.5}
        return Ready(**me, sequence=last, open=tuple(sorted(known)))


def with_entry_ids(request: Request, to_server: dict[str, dict[str, str]]) -> Request:
    """The same request in the server's entry ids."""
    if isinstance(request, Rejoin):
        known = to_server[request.shard]
        said = [replace(s, entry=replace(s.entry, id=known.get(s.entry.id, ""))) for s in request.statements]
        return replace(request, statements=tuple(said))
    if isinstance(request, Publish | Tail | ReadEntries):
        known = to_server[request.shard]
        if isinstance(request, Publish):
            return replace(request, position=known[request.position], read_after=known[request.read_after])
        if isinstance(request, Tail):
            return replace(request, read_after=known[request.read_after])
        return replace(request, ids=tuple(known[entry] for entry in request.ids))
    return request
