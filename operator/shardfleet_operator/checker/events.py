"""Reads ``SHARD.EPOCH.events.jsonl`` into columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shardfleet_shard.core.trace_events import ENTITY_KINDS, EPOCH_END, EPOCH_START, FROM_OFFER, KINDS, ORIGINS

I64 = NDArray[np.int64]

SPAWN, DESPAWN, FREEZE, UNFREEZE, ADOPT, RELEASE = range(len(ENTITY_KINDS))
NO_ORIGIN = 0
FINAL, OFFER, MANIFEST, TAKEOVER = range(1, 5)
UNKNOWN = -1
"""A tick that the event does not name."""

MAX_TICK = 1 << 48
"""Thousands of years at any rate: a number above it is damage, and sums of what is below fit into 64 bits."""

_KIND = {name: number for number, name in enumerate(ENTITY_KINDS)}
_ORIGIN = {"": NO_ORIGIN, **{name: number for number, name in enumerate(ORIGINS, 1)}}
_BLOCK_LINES = 50_000


@dataclass(slots=True, kw_only=True, eq=False)
class EventTable:
    """One row an entity's event, all columns (n,)."""

    kind: I64
    tick: I64
    entity: NDArray[np.uint64]
    version: I64
    origin: I64
    switch_tick: I64
    """First tick of a transfer's target."""
    state_tick: I64
    """As of the end of which tick the rows came; of an offer: before they were moved forward."""
    upgraded: I64
    """1: adopted rows of a former schema, which have other columns since, and so other hashes."""
    target: I64
    """Of a release: index into ``FileEvents.targets``, later the shard's number; -1: not named."""
    file: I64
    line: I64

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, index: Any) -> EventTable:
        return EventTable(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @staticmethod
    def concat(tables: list[EventTable]) -> EventTable:
        return EventTable(
            **{f.name: np.concatenate([getattr(table, f.name) for table in tables]) for f in fields(EventTable)}
        )

    @staticmethod
    def from_rows(rows: list[tuple[int, ...]]) -> EventTable:
        """Rows of (kind, tick, entity, version, origin, switch_tick, state_tick, target, line, upgraded)."""
        columns = list(zip(*rows, strict=True)) or [()] * 10
        entity = np.array(columns[2], np.uint64)
        kind, tick, version, origin, switch_tick, state_tick, target, line, upgraded = (
            np.array(columns[number], np.int64) for number in (0, 1, 3, 4, 5, 6, 7, 8, 9)
        )
        return EventTable(
            kind=kind,
            tick=tick,
            entity=entity,
            version=version,
            origin=origin,
            switch_tick=switch_tick,
            state_tick=state_tick,
            upgraded=upgraded,
            target=target,
            file=np.zeros(len(entity), np.int64),
            line=line,
        )


@dataclass(slots=True, kw_only=True)
class FileEvents:
    """The events of one shard epoch."""

    table: EventTable
    start_tick: int | None = None
    end_tick: int | None = None
    previous_epoch: int = 0
    sources: set[tuple[str, int]] = field(default_factory=set)
    """(shard, epoch) of every transfer that is named."""
    targets: dict[str, int] = field(default_factory=dict)


def read_events(path: Path, shard: str, epoch: int, fault: Callable[[str, str], None]) -> FileEvents:
    """Each line that can't be understood is a fault of kind 'event', by its number, and is left out."""
    result = FileEvents(table=EventTable.from_rows([]))
    tables, rows = [], []
    prefixes: set[str] = set()
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                if result.end_tick is not None:
                    fault("event", f"{path.name}:{number}: cut short, after the epoch's end")
                break  # the process was killed while it wrote
            try:
                row = _row(json.loads(line.decode()), number, result, prefixes)
            except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
                fault("event", f"{path.name}:{number}: {_explain(error)}")
                continue
            if row is not None:
                rows.append(row)
            if len(rows) >= _BLOCK_LINES:
                tables.append(EventTable.from_rows(rows))
                rows = []
    result.table = EventTable.concat([*tables, EventTable.from_rows(rows)])
    for prefix in sorted(prefixes):
        source, _, source_epoch = prefix.rpartition("/")
        if source and source_epoch.isdigit():
            result.sources.add((source, int(source_epoch)))
        else:
            fault("event", f"{path.name}: {prefix!r} does not begin a transfer's id (SOURCE/EPOCH/SEQUENCE)")
    return result


def _row(event: dict[str, Any], line: int, result: FileEvents, prefixes: set[str]) -> tuple[int, ...] | None:
    kind, tick = event["kind"], event["tick"]
    _check_tick("tick", tick)
    if kind not in _KIND:
        if kind == EPOCH_START:
            result.start_tick = tick if result.start_tick is None else result.start_tick
            result.previous_epoch = int(event.get("previous_epoch", 0))
        elif kind == EPOCH_END:
            result.end_tick = tick
        else:
            raise ValueError(f"unknown kind {kind!r}; there are {', '.join(KINDS)}")
        return None
    if result.end_tick is not None:
        raise ValueError(f"{kind} after {EPOCH_END}")
    entity, version = event["entity"], event["version"]
    if type(entity) is not int or not 0 <= entity < 1 << 64 or type(version) is not int or not 0 <= version < 1 << 32:
        raise ValueError(f"entity {entity!r} with version {version!r} is none")
    if transfer := event.get("transfer", ""):
        prefixes.add(transfer.rpartition("/")[0])
    origin = event.get("from", "")
    if origin not in _ORIGIN:
        raise ValueError(f"unknown from {origin!r}; there are {', '.join(ORIGINS)}")
    target = event.get("target", "")
    if not isinstance(target, str):
        raise ValueError(f"target {target!r} is not a shard's name")
    switch_tick = event.get("switch_tick", UNKNOWN)
    state_tick = event.get("offer_tick" if origin == FROM_OFFER else "state_tick", UNKNOWN)
    _check_tick("switch_tick", switch_tick)
    _check_tick("state_tick", state_tick)
    return (
        _KIND[kind],
        tick,
        entity,
        version,
        _ORIGIN[origin],
        switch_tick,
        state_tick,
        result.targets.setdefault(target, len(result.targets)) if target else -1,
        line,
        int(event.get("upgraded") is True),
    )


def _check_tick(name: str, tick: Any) -> None:
    if type(tick) is not int or not -1 <= tick < MAX_TICK:
        raise ValueError(f"{name} {tick!r} is not a tick's number")


def _explain(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"has no field {error}"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg})"
    return str(error)
