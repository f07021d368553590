"""Finding one entity in what the shards have published: the ledger says whose it is, the owner's rows say where."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from shardfleet_shard.core.columns import Columns, Schema
from shardfleet_shard.core.ledger import NOBODY, entry_rows, fold
from shardfleet_shard.core.ledger import evidence_of as evidence_of_record
from shardfleet_shard.core.manifest import STATE_NAMES, AuthorityManifest, schema_from_header
from shardfleet_shard.core.requests import EntryKind, FleetRecords, JournalEntry, ReadFleet, ShardRecord
from shardfleet_shard.errors import StoreUnavailable, UsageError
from shardfleet_shard.store.redis_store import RedisStore

from .watching import row_values

INCOMING = "incoming"
"""Accepted and not published by its owner yet; beside the states of a manifest."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sighting:
    """The entity's row at its owner. ``tick``: the rows are as of its end; ``unix_us`` None: never published."""

    state: str
    tick: int
    unix_us: int | None
    rows: Columns | None


async def search(store: RedisStore, entity: int) -> dict[str, Any]:
    """What ``shardfleet entity --json`` prints.

    Raises:
        UsageError: no shard ever had it, as far as Redis remembers.
        StoreUnavailable: no answer.
    """
    (reply,) = await store.execute([ReadFleet()])
    if not isinstance(reply, FleetRecords):
        raise StoreUnavailable(f"no answer from Redis at {store.address}: {store.last_error}")
    return whereabouts(reply.records, entity)


def whereabouts(records: Sequence[ShardRecord], entity: int) -> dict[str, Any]:
    """Pure part of ``search``. Raises ``UsageError``."""
    ledger = fold([evidence_of_record(record) for record in records])
    owners, versions = ledger.owner_of([entity])
    owner, version = int(owners[0]), int(versions[0])
    if not version:
        raise UsageError(f"entity {entity}: no shard holds it; it was never spawned, or left the world a while ago")
    history = sorted(_history(records, entity), key=lambda event: event["unix_ms"])
    if owner == NOBODY:
        return {"entity": entity, "alive": False, "owner": None, "version": version, "journal": history}
    name = ledger.owners[owner]
    arrival = next((e for e in history if e["shard"] == name and e["kind"] != "out" and e["version"] == version), None)
    sighting = _sighting([record for record in records if record.shard == name], entity, version, _any_schema(records))
    found: dict[str, Any] = {
        "entity": entity,
        "alive": True,
        "owner": name,
        "version": version,
        "state": sighting.state,
        "since_tick": arrival["tick"] if arrival else None,
        "since_unix_ms": arrival["unix_ms"] if arrival else None,
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


def _sighting(owners: Sequence[ShardRecord], entity: int, version: int, schema: Schema | None) -> _Sighting:
    for record in owners:
        manifest = AuthorityManifest.from_chunks(json.loads(record.header), record.chunks) if record.header else None
        if manifest is not None:
            here = np.flatnonzero((manifest.rows.id == np.uint64(entity)) & (manifest.rows.version == version))
            if len(here):
                return _Sighting(
                    state=STATE_NAMES[manifest.states[here[0]]],
                    tick=manifest.tick,
                    unix_us=manifest.unix_us,
                    rows=manifest.rows.take(here[:1]),
                )
        for entry, index in reversed(list(_entries_with(record, entity))):
            if entry.kind in (EntryKind.IN, EntryKind.SPAWN) and int(entry_rows(entry)[1][index]) == version:
                rows = schema.unpack(entry.rows, entry.count).take([index]) if schema is not None else None
                return _Sighting(state=INCOMING, tick=entry.offer_tick, unix_us=None, rows=rows)
    return _Sighting(state=INCOMING, tick=0, unix_us=None, rows=None)


def _any_schema(records: Sequence[ShardRecord]) -> Schema | None:
    """All shards of a fleet share one schema; None before any has published."""
    header = next((record.header for record in records if record.header), None)
    return schema_from_header(json.loads(header)["schema"]) if header else None


def print_whereabouts(found: dict[str, Any]) -> None:
    """The same for a person."""
    if not found["alive"]:
        print(f"entity {found['entity']}  despawned at version {found['version']}")
        return
    lines = [("owner", found["owner"]), ("version", found["version"]), ("state", found["state"])]
    if found["since_unix_ms"] is not None:
        lines.append(("since", f"tick {found['since_tick']} (written {_time(found['since_unix_ms'] * 1000)})"))
    elif found["as_of_unix_us"] is not None:
        # The journal is trimmed through what the manifest contains, so the handoff lies before the manifest.
        lines.append(("since", f"before {_time(found['as_of_unix_us'])}"))
    if "position" in found:
        lines.append(("position", ", ".join(f"{value:g}" for value in found["position"])))
        lines.append(("velocity", ", ".join(f"{value:g}" for value in found["velocity"])))
        lines += [(name, value) for name, value in found["columns"].items()]
        lines.append(("as of", f"tick {found['as_of_tick']}"))
    if found["contested"]:
        lines.append(("warning", "two shards claim it at this version"))
    print(f"entity {found['entity']}")
    for name, value in lines:
        print(f"  {name:<10}{value}")


def _time(unix_us: int) -> str:
    return datetime.fromtimestamp(unix_us / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
