"""Finding one entity: the ledger of what is in Redis says whose it is, the owner's rows say where, and the owner itself
says since when, for a journal forgets what the next manifest contains.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from shardfleet_shard.core.columns import Columns, Schema, packed_schema_hash
from shardfleet_shard.core.damage import read_record
from shardfleet_shard.core.journal_requests import GAINS, EntryKind, FleetRecords, JournalEntry, ReadFleet, ShardRecord
from shardfleet_shard.core.ledger import NOBODY, entry_rows, fold_records
from shardfleet_shard.core.manifest import STATE_NAMES
from shardfleet_shard.core.requests import Member, Observe, Observed
from shardfleet_shard.core.takeover_requests import is_alias
from shardfleet_shard.core.ticks import TickGrid
from shardfleet_shard.errors import ShardfleetError, StoreUnavailable, UsageError
from shardfleet_shard.store.redis_store import RedisStore

from ..dialing import Dial, dial_plainly
from .output import age
from .watching import row_values

OWNER_DEADLINE_S = 2.0
"""Who runs answers at once; who waits wants the rest."""
INCOMING = "incoming"
"""Accepted and not published by its owner yet; beside the states of a manifest."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sighting:
    """The entity's row at its owner. ``tick``: the rows are as of its end; ``unix_us`` None: never published."""

    state: str
    tick: int
    unix_us: int | None
    rows: Columns | None


async def search(store: RedisStore, entity: int, *, dial: Dial = dial_plainly) -> dict[str, Any]:
    """What ``shardfleet entity --json`` prints.

    Raises:
        UsageError: no shard ever had it, as far as Redis remembers.
        StoreUnavailable: no answer.
    """
    reply, observed = await store.execute([ReadFleet(), Observe()])
    if not isinstance(reply, FleetRecords) or not isinstance(observed, Observed):
        raise StoreUnavailable(f"no answer from Redis at {store.address}: {store.last_error}")
    found = whereabouts(reply.records, entity)
    owner = next((member for member in observed.members if member.living and member.shard == found["owner"]), None)
    if owner is not None and owner.address:
        found |= await _since(owner, entity, found["version"], dial)
    return found


async def _since(owner: Member, entity: int, version: int, dial: Dial) -> dict[str, Any]:
    """What the owner says; empty where it does not answer, or has not taken up this version (or has it no more)."""
    try:
        async with dial(owner, deadline_s=OWNER_DEADLINE_S) as client:
            view = await client.get(entity)
            if view.rows.version.tolist() != [version] or not view.since_tick[0]:
                return {}
            grid = TickGrid(int((await client.inspect("config"))["tick_rate"]))
    except ShardfleetError:
        return {}  # what Redis knows is the answer then
    tick = int(view.since_tick[0])
    return {
        "since_tick": tick,
        "since_unix_ms": grid.start_us(tick) // 1000,
        "since_exact": tick != view.recovered_tick,
    }


def whereabouts(records: Sequence[ShardRecord], entity: int) -> dict[str, Any]:
    """Pure part of ``search``. Raises ``UsageError``."""
    ledger = fold_records(records)
    owners, versions = ledger.owner_of([entity])
    owner, version = int(owners[0]), int(versions[0])
    if not version:
        raise UsageError(f"entity {entity}: no shard holds it; it was never spawned, or left the world a while ago")
    history = sorted(_history(records, entity), key=lambda event: event["unix_ms"])
    if owner == NOBODY:
        return {"entity": entity, "alive": False, "owner": None, "version": version, "journal": history}
    name = ledger.owners[owner]
    arrival = next((e for e in history if e["shard"] == name and e["kind"] != "out" and e["version"] == version), None)
    sighting = _sighting(_with_taken(records, name, version), entity, _schemas(records))
    found: dict[str, Any] = {
        "entity": entity,
        "alive": True,
        "owner": name,
        "version": version,
        "state": sighting.state,
        "since_tick": arrival["tick"] if arrival else None,
        "since_unix_ms": arrival["unix_ms"] if arrival else None,
        "since_exact": True if arrival else None,
        "as_of_tick": sighting.tick,
        "as_of_unix_us": sighting.unix_us,
        "contested": bool(np.isin(np.uint64(entity), ledger.doubled)),
        "journal": history,
    }
    if sighting.rows is not None:
        found |= {name: value for name, value in row_values(sighting.rows, 0).items() if name not in found}
    return found


def _history(records: Sequence[ShardRecord], entity: int) -> Iterator[dict[str, Any]]:
    """What the journals still say of it."""
    for record in records:
        for entry, index in _entries_with(record, entity):
            milliseconds, _, _ = entry.id.partition("-")
            yield {
                "unix_ms": int(milliseconds),
                "shard": record.shard,
                "kind": str(entry.kind),
                "peer": entry.peer or None,
                "version": int(entry_rows(entry)[1][index]),
                "tick": entry.tick,
                "transfer": str(entry.transfer) if entry.transfer else None,
            }


def _entries_with(record: ShardRecord, entity: int) -> Iterator[tuple[JournalEntry, int]]:
    for entry in record.entries:
        for index in np.flatnonzero(entry_rows(entry)[0] == np.uint64(entity)).tolist():
            yield entry, index


def _with_taken(records: Sequence[ShardRecord], name: str, version: int) -> Iterator[tuple[ShardRecord, int]]:
    """The owner's record and those of what it took over, with the version under which each has the owner's row."""
    for record in records:
        if record.shard == name:
            yield record, version
            for entry in record.entries:
                if entry.kind is EntryKind.TAKEOVER:
                    yield from _with_taken(records, entry.peer, version - 1)


def _sighting(owners: Iterable[tuple[ShardRecord, int]], entity: int, schemas: Mapping[int, Schema]) -> _Sighting:
    for record, version in owners:
        manifest = read_record(record).manifest
        if manifest is not None:
            here = np.flatnonzero((manifest.rows.id == np.uint64(entity)) & (manifest.rows.version == version))
            if len(here):
                return _Sighting(
                    state=INCOMING if is_alias(record.shard) else STATE_NAMES[manifest.states[here[0]]],
                    tick=manifest.tick,
                    unix_us=manifest.unix_us,
                    rows=manifest.rows.take(here[:1]),
                )
        for entry, index in reversed(list(_entries_with(record, entity))):
            if entry.kind in GAINS and int(entry_rows(entry)[1][index]) == version:
                schema = schemas.get(packed_schema_hash(entry.rows))
                rows = schema.unpack(entry.rows, entry.count).take([index]) if schema is not None else None
                return _Sighting(state=INCOMING, tick=entry.offer_tick, unix_us=None, rows=rows)
    return _Sighting(state=INCOMING, tick=0, unix_us=None, rows=None)


def _schemas(records: Sequence[ShardRecord]) -> dict[int, Schema]:
    """By hash, those that some shard has published in: one, or two while a fleet is rolled to other columns."""
    manifests = [read_record(record).manifest for record in records]
    return {manifest.rows.schema.hash: manifest.rows.schema for manifest in manifests if manifest is not None}


def print_whereabouts(found: dict[str, Any], *, now_us: int) -> None:
    """The same for a person."""
    if not found["alive"]:
        print(f"entity {found['entity']}  despawned at version {found['version']}")
        return
    print(
        f"entity {found['entity']}  owned by {found['owner']} {_since_words(found, now_us)}, "
        f"version {found['version']}, {found['state']}"
    )
    lines = []
    if "position" in found:
        lines.append(("position", ", ".join(f"{value:g}" for value in found["position"])))
        lines.append(("velocity", ", ".join(f"{value:g}" for value in found["velocity"])))
        lines += [(name, value) for name, value in found["columns"].items()]
        lines.append(("as of", f"tick {found['as_of_tick']}"))
    if found["contested"]:
        lines.append(("warning", "two shards claim it at this version"))
    for name, value in lines:
        print(f"  {name:<10}{value}")


def _since_words(found: dict[str, Any], now_us: int) -> str:
    if found["since_unix_ms"] is not None:
        since_us = found["since_unix_ms"] * 1000
        # A shard that started anew knows only what it recovered: the entity was its own then, and maybe long before.
        before = "" if found["since_exact"] else "or before "
        ago = f"{age(now_us - since_us)} ago" if since_us <= now_us else f"in {age(since_us - now_us)}"
        return f"since {_time(since_us, now_us)} {before}({ago})"
    if found["as_of_unix_us"] is not None:
        # The journal is trimmed through what the manifest contains, so the handoff lies before the manifest.
        return f"since before {_time(found['as_of_unix_us'], now_us)}"
    return "since an unknown time"


def _time(unix_us: int, now_us: int) -> str:
    """UTC; without the date where that is today's."""
    moment, now = (datetime.fromtimestamp(us / 1_000_000, UTC) for us in (unix_us, now_us))
    form = "%H:%M:%S.%f" if moment.date() == now.date() else "%Y-%m-%dT%H:%M:%S.%f"
    return moment.strftime(form)[:-3] + "Z"
