"""Some of the entities with all their records and events, sorted two ways.

By *tick* (entity, tick, file): who simulated which tick, where are holes. By *tenure* (entity, version, file, tick):
a tenure is one entity's time in one file under one version, and tenures in this order are the entity's history,
whatever the clocks say: the version rises with each handoff, and a successor's file comes after its predecessor's.

An id that is spawned again after it was despawned begins a new *life*. All else counts lives, called keys here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .events import DESPAWN, SPAWN, EventTable
from .files import CHUNK_RECORDS, I64, Run, TraceFile

U64 = NDArray[np.uint64]
_BEFORE_ALL = -(1 << 60)
_MIX = np.uint64(0x9E3779B97F4A7C15)


def bucket_of(entity: U64, buckets: int) -> U64:
    """Spreads ids evenly, whatever their pattern."""
    return ((entity * _MIX) >> np.uint64(33)) % np.uint64(buckets)


@dataclass(slots=True, kw_only=True, eq=False)
class Records:
    """Columns of records, (n,); ``key`` numbers lives, ``rank`` indexes ``Run.ticks``."""

    key: I64
    rank: NDArray[np.int32]
    run: NDArray[np.int32]
    version: NDArray[np.uint32]
    state_in: U64
    state_out: U64

    def take(self, index: Any) -> Records:
        return Records(
            key=self.key[index],
            rank=self.rank[index],
            run=self.run[index],
            version=self.version[index],
            state_in=self.state_in[index],
            state_out=self.state_out[index],
        )

    def __len__(self) -> int:
        return len(self.key)


@dataclass(frozen=True, kw_only=True, eq=False)
class Slice:
    """``entity``: (keys,) the id of each life. ``records`` are in the order of ticks."""

    run: Run
    entity: U64
    records: Records
    events: EventTable
    event_key: I64

    @cached_property
    def file(self) -> I64:
        """Of each record, in the order of ticks."""
        return self.run.run_file[self.records.run]

    @cached_property
    def start(self) -> I64:
        """(keys + 1,): where each key's records begin, in both orders."""
        return np.searchsorted(self.records.key, np.arange(len(self.entity) + 1))

    @cached_property
    def by_tick(self) -> I64:
        """(key, tick) of each record as one ascending number; see ``place``."""
        return self.place(self.records.key, self.records.rank)

    def place(self, key: I64, rank: Any) -> I64:
        place: I64 = key * (len(self.run.ticks) + 1) + rank + 1
        return place

    @cached_property
    def tenures(self) -> Tenures:
        return Tenures.of(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tenures:
    """Records in the order of tenures, and one row a tenure: columns (n,)."""

    records: Records
    number: I64
    """Of each record: its tenure."""
    place: I64
    """(tenure, tick) of each record as one number, ascending; see ``last_at_most``."""
    start: I64
    end: I64
    """One past its last record."""
    key: I64
    version: I64
    file: I64
    first_tick: I64
    last_tick: I64
    identity: I64
    """(key, version, file) as one ascending number."""
    versions: I64
    run: Run

    def __len__(self) -> int:
        return len(self.key)

    @staticmethod
    def of(part: Slice) -> Tenures:
        run, records = part.run, part.records
        file = part.file
        same_key = records.key[1:] == records.key[:-1]
        falls = same_key & (
            (records.version[1:] < records.version[:-1])
            | ((records.version[1:] == records.version[:-1]) & (file[1:] < file[:-1]))
        )
        if falls.any():  # seldom: only keys with repeated ticks (or faults) are ordered anew
            odd = np.zeros(len(part.entity), bool)
            odd[records.key[1:][falls]] = True
            where = np.flatnonzero(odd[records.key])
            order = np.arange(len(records))
            order[where] = where[
                np.lexsort((records.rank[where], file[where], records.version[where], records.key[where]))
            ]
            records, file = records.take(order), file[order]
        new = np.ones(len(records), bool)
        new[1:] = (
            (records.key[1:] != records.key[:-1])
            | (records.version[1:] != records.version[:-1])
            | (file[1:] != file[:-1])
        )
        start = np.flatnonzero(new)
        end = np.append(start[1:], len(records)) if len(start) else start
        number = np.cumsum(new) - 1
        versions = np.unique(records.version[start]).astype(np.int64)
        ranks = len(run.ticks) + 1
        key, version = records.key[start], records.version[start].astype(np.int64)
        return Tenures(
            records=records,
            number=number,
            place=number * ranks + records.rank.astype(np.int64) + 1,
            start=start,
            end=end,
            key=key,
            version=version,
            file=file[start],
            first_tick=run.ticks[records.rank[start]],
            last_tick=run.ticks[records.rank[end - 1]],
            identity=(key * len(versions) + np.searchsorted(versions, version)) * len(run.files) + file[start],
            versions=versions,
            run=run,
        )

    def find(self, key: I64, version: I64, file: I64) -> I64:
        """The tenure of each (key, version, file), or -1."""
        if not len(self):
            return np.full(len(key), -1, np.int64)
        rank = np.minimum(np.searchsorted(self.versions, version), len(self.versions) - 1)
        identity = (key * len(self.versions) + rank) * len(self.run.files) + file
        place = np.minimum(np.searchsorted(self.identity, identity), len(self) - 1)
        return np.where((self.identity[place] == identity) & (self.versions[rank] == version), place, -1)

    def last_at_most(self, tenure: I64, tick: I64) -> I64:
        """Index of the last record of ``tenure`` with a tick <= ``tick``; below ``start[tenure]`` where none is."""
        place = tenure * (len(self.run.ticks) + 1) + self.run.rank_at_most(tick) + 1
        return np.searchsorted(self.place, place, "right") - 1

    @property
    def follows(self) -> I64:
        """All tenures that are not the first of their key."""
        return np.flatnonzero(self.key[1:] == self.key[:-1]) + 1

    def unix_us(self, record: I64) -> I64:
        return self.run.run_unix_us[self.records.run[record]]


def load(run: Run, events: EventTable, *, bucket: int, buckets: int) -> Slice:
    """The records and events of all entities in ``bucket``."""
    if buckets > 1:
        events = events.take(bucket_of(events.entity, buckets) == np.uint64(bucket))
    entity, records = _read(run, bucket, buckets)
    ranks = len(run.ticks) + 1
    if len(entity) and int(entity.max()) < (1 << 62) // ranks:
        order = np.argsort(entity.astype(np.int64) * ranks + records.rank, kind="stable")
    else:
        order = np.lexsort((records.rank, entity))
    entity, records = entity[order], records.take(order)  # stable: ties stay in the order of files and runs
    new = np.ones(len(entity), bool)
    new[1:] = entity[1:] != entity[:-1]
    first = np.flatnonzero(new)
    ids = np.union1d(entity[first], events.entity)
    births = _births(events)
    life_entity = np.concatenate([ids, births.entity])
    life_tick = np.concatenate([np.full(len(ids), _BEFORE_ALL), births.tick])
    lives = np.lexsort((life_tick, life_entity))
    life_entity, life_tick = life_entity[lives], life_tick[lives]
    first_life = np.searchsorted(life_entity, ids)
    lengths = np.diff(np.append(first, len(entity)))
    records.key = np.repeat(first_life[np.searchsorted(ids, entity[first])], lengths)
    event_key = first_life[np.searchsorted(ids, events.entity)]
    for born, tick in zip(births.entity.tolist(), births.tick.tolist(), strict=True):
        low, high = (
            np.searchsorted(entity, [np.uint64(born)], "left")[0],
            np.searchsorted(entity, np.uint64(born), "right"),
        )
        records.key[low:high] += run.ticks[records.rank[low:high]] >= tick
        here = events.entity == np.uint64(born)
        event_key[here] += (events.tick[here] > tick) | ((events.tick[here] == tick) & (events.kind[here] != DESPAWN))
    return Slice(run=run, entity=life_entity, records=records, events=events, event_key=event_key)


def _births(events: EventTable) -> EventTable:
    """Spawns that come after a despawn of the same id: each begins a further life."""
    part = events.take((events.kind == SPAWN) | (events.kind == DESPAWN))
    part = part.take(np.lexsort((part.kind == SPAWN, part.tick, part.entity)))
    again = np.zeros(len(part), bool)
    again[1:] = (part.entity[1:] == part.entity[:-1]) & (part.kind[1:] == SPAWN) & (part.kind[:-1] == DESPAWN)
    return part.take(again)


def _read(run: Run, bucket: int, buckets: int) -> tuple[U64, Records]:
    pieces: list[tuple[NDArray[Any], ...]] = []
    base = 0
    for file in run.files:
        for begin in range(0, len(file), CHUNK_RECORDS):
            part = file.records[begin : begin + CHUNK_RECORDS]
            entity = np.ascontiguousarray(part["entity"])
            wanted: Any = slice(None)
            if buckets > 1:
                wanted = np.flatnonzero(bucket_of(entity, buckets) == np.uint64(bucket))
            pieces.append(
                (
                    entity[wanted],
                    _runs_of(file, begin, len(part))[wanted] + np.int32(base),
                    part["version"][wanted],
                    part["state_in"][wanted],
                    part["state_out"][wanted],
                )
            )
        base += len(file.run_start)
    columns = _columns(pieces)
    run_number = columns[1]
    records = Records(
        key=np.zeros(len(run_number), np.int64),  # known once the lives are
        rank=run.run_rank[run_number].astype(np.int32),
        run=run_number,
        version=columns[2],
        state_in=columns[3],
        state_out=columns[4],
    )
    return columns[0], records


def _columns(pieces: Sequence[tuple[NDArray[Any], ...]]) -> list[NDArray[Any]]:
    kinds = (np.uint64, np.int32, np.uint32, np.uint64, np.uint64)
    if not pieces:
        return [np.zeros(0, kind) for kind in kinds]
    return [np.concatenate([piece[number] for piece in pieces]) for number in range(len(kinds))]


def _runs_of(file: TraceFile, begin: int, count: int) -> NDArray[np.int32]:
    """The number of each record's run within its file."""
    low, high = np.searchsorted(file.run_start, [begin, begin + count - 1], "right") - 1
    edges = np.clip(np.append(file.run_start[low : high + 1], begin + count), begin, begin + count)
    return np.repeat(np.arange(low, high + 1, dtype=np.int32), np.diff(edges))
