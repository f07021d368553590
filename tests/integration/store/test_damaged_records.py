"""Values that a client damages in a real Redis: readers name them, and no script fails for them."""

from __future__ import annotations

from typing import Any

import pytest
from shardfleet_shard.core.census_requests import RemoveCopy, RestoreEntity
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.journal_requests import (
    Entries,
    EntryKind,
    FleetRecords,
    JournalEntry,
    ReadEntries,
    ReadFleet,
    Registry,
    ShardRecord,
)
from shardfleet_shard.core.requests import Refused, RefusedReason, Resign
from shardfleet_shard.core.spawn_requests import Despawn
from shardfleet_shard.store.redis_store import RedisStore

from .fleet import CELL_OF, A, B, Fleet, ids_of, versions_of
from .test_takeover import read_under, take_over


@pytest.fixture
async def fleet(store: RedisStore) -> Fleet:
    return await Fleet.start(store)


async def call(fleet: Fleet, what: str, key: str, *arguments: Any) -> Any:
    return (await fleet.store.call([(what, fleet.store.prefix + key, *arguments)]))[0]


async def record_of(fleet: Fleet, shard: str) -> ShardRecord:
    (record,) = await fleet.store.read_shards([shard])
    return record


async def rewrite(fleet: Fleet, shard: str, entry: JournalEntry, field: int) -> None:
    """The journal anew, with a bit flipped in one field of one entry; a client cannot change one where it is."""
    stored = await call(fleet, "XRANGE", f"journal:{shard}", "-", "+")
    await call(fleet, "DEL", f"journal:{shard}")
    for entry_id, fields in stored:
        if entry_id.decode() == entry.id:
            fields[field] = bytes([fields[field][0] ^ 2]) + fields[field][1:]
        await call(fleet, "XADD", f"journal:{shard}", entry_id, *fields)


async def test_every_field_of_every_kind_of_entry(fleet: Fleet) -> None:
    await fleet.done(fleet.spawn(A, 5, 6, 7))
    begin = fleet.begin()
    await fleet.store.execute([begin, fleet.accept(begin)])
    await fleet.done(Despawn(**fleet.me(A), ids=ids_of(7, 8), versions=versions_of(1, 1)))
    for shard, kinds in ((A, ["spawn", "out", "despawn"]), (B, ["in"])):
        for number, kind in enumerate(kinds):
            whole = await record_of(fleet, shard)
            assert [str(entry.kind) for entry in whole.entries] == kinds
            entry = whole.entries[number]
            brings = kind in ("spawn", "in")
            for field in (1, 7) if brings else (1, 3, 5, 7):
                await rewrite(fleet, shard, entry, field)
                read = (await record_of(fleet, shard)).entries[number]
                assert (read.id, read.kind, read.may_hide_loss) == (entry.id, EntryKind.DAMAGED, not brings)
                assert (await fleet.journal(shard)).entries[number].kind is EntryKind.DAMAGED
                await rewrite(fleet, shard, entry, field)
            if brings:
                await call(fleet, "HSET", f"rows:{shard}", entry.id, entry.rows[:-1])
                named = await fleet.ask(ReadEntries(**fleet.me(shard), ids=(entry.id,)), Entries)
                assert [one.damage for one in named.entries] == [f"{kind}, the checksum of its rows does not match"]
                assert (await fleet.journal(shard)).entries[number].kind == kind, "rows are not read here"
                await call(fleet, "HDEL", f"rows:{shard}", entry.id)
                assert (await record_of(fleet, shard)).entries[number].damage == f"{kind}, its rows are not there"
                await call(fleet, "HSET", f"rows:{shard}", entry.id, entry.rows)
            assert await record_of(fleet, shard) == whole


@pytest.mark.parametrize("header", [b"", b"\xff{", b'{"count":"x"}', b'{"count":1,"schema":7}'])
async def test_no_script_fails_for_a_damaged_header(fleet: Fleet, header: bytes) -> None:
    await fleet.done(fleet.spawn(A, 1))
    await fleet.ask(fleet.publish(A, 7), Entries)
    await call(fleet, "HSET", f"manifest:{A}", "header", header)
    assert (await record_of(fleet, A)).header == (header.decode("utf-8", "replace") or " ")
    await fleet.store.join(Schema(2))
    restore = RestoreEntity(owner=B, entity=1, version=2, tick=3, offer_tick=2, row=b"row")
    reply = await fleet.reply(restore)
    assert isinstance(reply, Refused) and (reply.reason, reply.detail) == (RefusedReason.HELD, A)
    await fleet.reply(RemoveCopy(shard=A, owner=B, entity=1, tick=0))
    await fleet.recover(A)
    await fleet.ask(fleet.publish(A, 1), Entries)


async def test_no_script_fails_for_damaged_fields_of_a_manifest(fleet: Fleet) -> None:
    await fleet.ask(fleet.publish(A, 7), Entries)
    for field in ("epoch", "tick", "chunks"):
        await call(fleet, "HSET", f"manifest:{A}", field, "q")
        await record_of(fleet, A)
        tick = {"epoch": 8, "tick": 9, "chunks": 10}[field]
        await fleet.ask(fleet.publish(A, tick), Entries)
        assert (await record_of(fleet, A)).header == f'{{"tick":{tick}}}', "the next one replaces it"


async def test_a_chunk_that_is_lost_stays_in_its_place(fleet: Fleet) -> None:
    await fleet.ask(fleet.publish(B, 7, chunks=(b"one", b"two", b"three")), Entries)
    await call(fleet, "DEL", f"chunk:{B}:{fleet.epochs[B]}:7:2")
    assert (await record_of(fleet, B)).chunks == (b"one", b"", b"three")
    alias = await take_over(fleet, A, B)
    assert (await read_under(fleet, alias))[0].chunks == (b"one", b"", b"three")


async def test_a_takeover_that_is_damaged_deletes_nothing(fleet: Fleet) -> None:
    """It might name another alias than it did."""
    await fleet.ask(fleet.publish(B, 7), Entries)
    alias = await take_over(fleet, A, B)
    (entry,) = (await fleet.journal(A)).entries
    await rewrite(fleet, A, entry, 1)
    await fleet.ask(fleet.publish(A, 9, position=entry.id), Entries)
    assert (await record_of(fleet, A)).entries == ()
    assert (await record_of(fleet, alias)).chunks == (b"rows",)


async def test_who_cannot_read_an_entry_does_not_resign_over_it(fleet: Fleet) -> None:
    await fleet.done(fleet.spawn(A, 1))
    (entry,) = (await fleet.journal(A)).entries
    await rewrite(fleet, A, entry, 1)
    reply = await fleet.reply(Resign(**fleet.me(A)))
    assert isinstance(reply, Refused) and reply.reason is RefusedReason.BUSY


async def test_the_registry_comes_with_the_records_where_it_is_asked_for(fleet: Fleet) -> None:
    await fleet.done(fleet.spawn(A, 300, 5))
    await fleet.done(fleet.spawn(A, 2**64 - 1, cell=CELL_OF[B]))
    assert (await fleet.ask(ReadFleet(), FleetRecords)).registry is None
    living = ids_of(5, 300, 2**64 - 1)
    assert (await fleet.ask(ReadFleet(registry=True), FleetRecords)).registry == Registry(before=living, after=living)
