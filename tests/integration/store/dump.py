"""All keys of a fleet as one comparable value, from a real server and from the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shardfleet_shard.core.journal_requests import EntryKind, JournalEntry
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.store.journal import entry_from_values
from shardfleet_shard.store.living import from_bitmaps
from shardfleet_shard.store.memory_state import State
from shardfleet_shard.store.redis_store import RedisStore

Dump = dict[str, Any]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _hash(flat: list[bytes]) -> dict[str, str]:
    return {_text(key): _text(value) for key, value in zip(flat[::2], flat[1::2], strict=True)}


async def dump_redis(store: RedisStore, entry_ids: Mapping[str, Mapping[str, str]]) -> Dump:
    """``entry_ids``: for each shard the server's entry ids -> the model's."""
    (keys,) = await store.call([("KEYS", f"{store.prefix}*")])
    names = sorted(_text(key).removeprefix(store.prefix) for key in keys)
    dump: Dump = {}
    for name in names:
        await _dump_key(store, name, entry_ids, dump)
    for name in [name for name in dump if name.startswith("journal:")]:
        rows = dump.pop(f"rows:{name.removeprefix('journal:')}", {})
        dump[name] = [(entry_id, entry, rows.pop(entry_id, b"")) for entry_id, entry in dump[name]]
        assert not rows, f"rows without an entry in {name}"
    return {name: value for name, value in dump.items() if value}


async def _dump_key(store: RedisStore, name: str, entry_ids: Mapping[str, Mapping[str, str]], dump: Dump) -> None:
    key = store.prefix + name
    kind, _, rest = name.partition(":")

    async def read(*command: str | int) -> Any:
        return (await store.call([command]))[0]

    if kind in ("lease", "election", "link"):
        assert await read("PTTL", key) > 0, f"{name} has no time to live"
        dump[name] = _text(await read("GET", key))
    elif kind == "ids":
        flat = await read("HGETALL", key)
        dump[name] = from_bitmaps(b"".join(flat[::2]), b"".join(flat[1::2])).tolist()
    elif kind == "gone":
        dump[name] = sorted(int.from_bytes(entity, "little") for entity in await read("ZRANGE", key, 0, -1))
    elif kind == "active":
        flat = await read("ZRANGE", key, 0, -1, "WITHSCORES")
        dump[name] = {_text(one): int(score) for one, score in zip(flat[::2], flat[1::2], strict=True)}
    elif kind in ("holders", "told"):
        dump[name] = sorted(_text(one) for one in await read("SMEMBERS", key))
    elif kind in ("record", "rows"):
        flat = await read("HGETALL", key)
        fields = {_text(field): value for field, value in zip(flat[::2], flat[1::2], strict=True)}
        dump[name] = {entry_ids[rest].get(f, f): v for f, v in fields.items()} if kind == "rows" else fields
    elif kind == "journal":
        dump[name] = []
        for entry_id, (_, header, _, ids, _, versions, _, checksum) in await read("XRANGE", key, "-", "+"):
            entry = entry_from_values(entry_id, header, ids, versions, checksum)
            assert entry.kind is not EntryKind.DAMAGED, (name, entry)
            dump[name].append((entry_ids[rest].get(entry.id, entry.id), _without_id(entry)))
    elif kind == "chunk":
        dump[name] = await read("GET", key)
        assert await read("PTTL", key) == -1, f"{name} would expire"
    elif kind == "stage":
        assert await read("PTTL", key) > 0, f"{name} would stay for ever"
    else:
        dump[name] = _hash(await read("HGETALL", key))
        if kind == "meta" and "roll" in dump[name]:
            dump[name]["roll"] = _without_end(dump[name]["roll"])
        if kind == "manifest":
            position = dump[name]["position"]
            dump[name]["position"] = entry_ids[rest].get(position, position)


def _without_end(roll: str) -> str:
    """By two clocks."""
    phase, _, call_ms = roll.split(" ")
    return f"{phase} {call_ms}"


def _without_id(entry: JournalEntry) -> tuple[Any, ...]:
    return (
        *(entry.kind, entry.transfer, entry.peer, entry.count, entry.tick, entry.offer_tick),
        *(entry.ids, entry.versions),
    )


def dump_memory(state: State) -> Dump:
    """The same from the model."""
    meta = {"generation": state.generation, "format": state.format}
    meta |= {f"resigned:{shard}": str(epoch) for shard, epoch in state.resigned.items()}
    if state.seeded:
        meta |= {"seeded": "1", "origin_tick": str(state.origin_tick)}
    if state.arrivals_through >= 0:
        meta["arrivals_through"] = str(state.arrivals_through)
    if state.schema:
        meta["schema"] = str(state.schema)
    if state.phase != "run":
        meta["phase"] = state.phase
    roll: dict[str, str] = {}
    if state.roll is not None:
        meta["roll"] = f"{state.roll.phase} {state.roll.call_ms}"
        roll = {shard: f"{epoch} {how}" for shard, (epoch, how) in state.roll.shards.items()}
    dump: Dump = {
        "meta": meta,
        "roll": roll,
        "told": sorted(state.roll.told) if state.roll is not None else [],
        "schemas": {str(known): text for known, text in state.schemas.items()},
        "schema_of": {shard: str(known) for shard, known in state.schema_of.items()},
        "layout": {"version": str(state.layout_version), "json": state.layout} if state.layout_version else {},
        "epoch": {shard: str(epoch) for shard, epoch in state.epochs.items()},
        "claims": {path: f"{shard} {epoch}" for path, (shard, epoch) in state.claims.items()},
        "members": {shard: f"{o} {epoch} {address}" for shard, (o, epoch, address) in state.members.items()},
        "election": "{} {}".format(*state.election[0]) if state.election else "",
        "ids": sorted(state.living),
        "gone": sorted(state.gone),
        "counters": {name: str(count) for name, count in state.counters.items() if count},
        "active": {str(one): record.begun.transfer_time_us for one, record in state.records.items()},
    }
    dump |= {f"lease:{shard}": str(epoch) for shard, (epoch, _) in state.leases.items()}
    dump |= {f"link:{pair}": f"{shard} {epoch}" for pair, ((shard, epoch), _) in state.links.items()}
    for transfer in state.records:
        dump |= _dump_record(state, transfer)
    for (shard, epoch), decided in state.decided.items():
        fields = {str(sequence): "1" for sequence in decided.above}
        dump[f"decided:{shard}:{epoch}"] = fields | ({"floor": str(decided.floor)} if decided.floor else {})
    for shard, journal in state.journals.items():
        dump[f"journal:{shard}"] = [(entry.id, _without_id(entry), entry.rows) for entry in journal.entries]
    for shard, manifest in state.manifests.items():
        dump[f"manifest:{shard}"] = {
            "epoch": str(manifest.epoch),
            "tick": str(manifest.tick),
            "position": manifest.position,
            "header": manifest.header,
            "chunks": str(len(manifest.chunks)),
        }
        stem = f"chunk:{shard}:{manifest.epoch}:{manifest.tick}:"
        dump |= {f"{stem}{number}": chunk for number, chunk in enumerate(manifest.chunks, start=1)}
    return {name: value for name, value in dump.items() if value}


def _dump_record(state: State, transfer: TransferId) -> Dump:
    record = state.records[transfer]
    begun = record.begun
    fields = {
        "state": record.state,
        "source": transfer.source,
        "source_epoch": transfer.epoch,
        "sequence": transfer.sequence,
        "target": begun.target,
        "target_epoch": record.target_epoch,
        "cell": begun.cell,
        "transfer_time_us": begun.transfer_time_us,
        "switch_tick": begun.switch_tick,
        "count": begun.count,
    }
    packed = {name: str(value).encode() for name, value in fields.items()}
    return {
        f"record:{transfer}": packed | {"ids": begun.ids, "versions": begun.versions},
        f"holders:{transfer}": sorted(record.holders),
    }
