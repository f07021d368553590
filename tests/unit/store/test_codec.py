"""Bytes to and from Redis, without a Redis."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.journal_requests import EntryKind, Publish
from shardfleet_shard.core.requests import Accept, Done, Outcome, Refused, RefusedReason
from shardfleet_shard.core.spawn_requests import Spawn, SpawnGroup
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.errors import StoreRefused
from shardfleet_shard.store.journal import (
    checksum_of,
    entries_from_flat,
    entry_from_values,
    entry_order,
    rows_checksum,
)
from shardfleet_shard.store.keys import fleet_of, fleet_prefix, link_pair
from shardfleet_shard.store.living import from_bitmaps, to_bitmaps
from shardfleet_shard.store.scripts import TABLE, all_lua, commands_of, load_lua, pack, refusal
from shardfleet_shard.store.server_info import ServerInfo

U64 = st.integers(0, 2**64 - 1)
NEAR = st.integers(2**63 - 300, 2**63 + 300)


def packed(ids: list[int]) -> bytes:
    return np.array(ids, "<u8").tobytes()


@given(st.lists(st.lists(U64 | NEAR | st.integers(0, 600), max_size=30), max_size=4))
def test_bitmaps_hold_exactly_the_ids(parts: list[list[int]]) -> None:
    everything = sorted(entity for part in parts for entity in part)
    bitmaps = to_bitmaps([packed(part) for part in parts])
    assert bitmaps.ids == packed(everything)
    fields = [bitmaps.buckets[at : at + 7] for at in range(0, len(bitmaps.buckets), 7)]
    values = [bitmaps.bitmaps[at : at + 32] for at in range(0, len(bitmaps.bitmaps), 32)]
    assert len(fields) == len(values) == len(set(fields)) == len({entity >> 8 for entity in everything})
    assert from_bitmaps(bitmaps.buckets, bitmaps.bitmaps).tolist() == sorted(set(everything))
    for field, value in zip(fields, values, strict=True):
        low = [entity & 255 for entity in everything if entity >> 8 == int.from_bytes(field, "little")]
        assert all(value[bit // 8] >> (bit % 8) & 1 for bit in low)
    doubled = [one for one in everything if everything.count(one) > 1]
    assert bitmaps.doubled == (packed([doubled[0]]) if doubled else b"")


@given(st.lists(st.binary(max_size=40) | st.binary(min_size=4090, max_size=4200) | st.integers() | st.text(max_size=9)))
def test_packing_follows_the_wire_format(arguments: list[bytes | str | int]) -> None:
    wire = b"".join(pack(tuple(arguments)))
    head, _, rest = wire.partition(b"\r\n")
    assert head == b"*%d" % len(arguments)
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        size, _, rest = rest.partition(b"\r\n")
        assert size == b"$%d" % len(data)
        assert rest[: len(data) + 2] == data + b"\r\n"
        rest = rest[len(data) + 2 :]
    assert rest == b""


def test_large_arguments_are_not_copied() -> None:
    rows = bytes(100_000)
    assert any(piece is rows for piece in pack(("EVALSHA", "sha", rows)))


def test_includes_come_once_and_before_their_user() -> None:
    text = load_lua("resign").text
    assert text.count("local function append(") == 1
    assert text.count("local call = redis.call") == 1
    assert text.index("local call = redis.call") < text.index("meta[1] ~= joined") < text.index("refused('busy'")
    assert "-- include" not in "".join(lua.text for lua in all_lua())


def test_every_script_file_is_named_by_its_sha() -> None:
    for lua in all_lua():
        assert lua.sha == hashlib.sha1(lua.text.encode()).hexdigest()
    assert {script.lua for script in TABLE.values()} <= {lua.name for lua in all_lua()}


@pytest.mark.parametrize("name", [lua.name for lua in all_lua()])
def test_scripts_of_shards_are_guarded(name: str) -> None:
    """All but these compare the generation, and are refused in a roll-call; all of these but RECOVER, the operator's
    and the watchdog's the actor's epoch too."""
    text = load_lua(name).text
    reads = {"observe", "read_shard", "active", "living", "export"}
    free = reads | {"join", "reopen", "ended", "call_roll", "rejoin"}
    in_a_roll_call = {"renew", "link_lease", "ready"}
    of_no_epoch = {"recover", "write_layout", "shift_origin", "repair", "restore_entity", "remove_copy"}
    assert ("meta[1] ~= joined" in text) == (name not in free)
    assert ("And the world must be open" in text) == (name not in free | in_a_roll_call)
    assert ("actor is its shard's newest process" in text) == (name not in free | of_no_epoch)


def publish(*chunks: bytes) -> Publish:
    return Publish(shard="a", epoch=3, tick=9, position="1-0", header="{}", chunks=chunks, read_after="2-0")


def test_small_manifests_go_inline_and_others_are_staged() -> None:
    (inline,) = commands_of(publish(b"rows"), "sf:f:", "gen")
    assert inline[:7] == ("EVALSHA", load_lua("publish").sha, 0, "sf:f:", "gen", "a", 3)
    assert inline[7:] == (9, "1-0", "{}", "2-0", 1, b"rows")
    assert commands_of(publish(b"1", b"2"), "sf:f:", "gen")[0][11:] == (2, b"1", b"2")
    large = bytes(200_000)
    first, second, closing = commands_of(publish(large, large), "sf:f:", "gen")
    assert first == ("SET", "sf:f:stage:a:3:9:1", large, "PX", 60_000)
    assert second[1] == "sf:f:stage:a:3:9:2"
    assert closing[7:] == (9, "1-0", "{}", "2-0", 2)
    assert len(commands_of(publish(bytes(256_001)), "sf:f:", "gen")) == 2
    assert len(commands_of(publish(), "sf:f:", "gen")) == 1


def test_accept_and_spawn_arguments() -> None:
    transfer = TransferId("a", 3, 8)
    accept = Accept(
        shard="b", epoch=4, transfer=transfer, cell="01", switch_tick=7, offer_tick=5, count=2, rows=b"\0\r\n"
    )
    assert commands_of(accept, "p", "g")[0][7:] == (
        "a/3/8",
        "a",
        3,
        8,
        "01",
        7,
        5,
        2,
        b"\0\r\n",
        rows_checksum(b"\0\r\n"),
    )
    group = SpawnGroup(cell="01", count=1, ids=packed([2**64 - 1]), rows=b"row", tick=7)
    bitmap = bytes(31) + b"\x80"
    assert commands_of(Spawn(shard="b", epoch=4, groups=(group,)), "p", "g")[0][7:] == (
        *(b"\xff" * 8, b"\xff" * 7, bitmap, b""),
        *("01", 1, 7, 6, b"row", rows_checksum(b"row")),
    )


def test_answers_become_replies() -> None:
    accept = TABLE[Accept]
    assert accept.reply(b"not yet") == Done(outcome=Outcome.NOT_YET)
    assert accept.reply([b"done", b"rejected", b"why"]) == Done(outcome=Outcome.REJECTED, reason="why")
    assert accept.reply([b"refused", b"held", b"arena-1", 250]) == Refused(
        reason=RefusedReason.HELD, detail="arena-1", wait_ms=250
    )
    duplicate = refusal([b"refused", b"duplicate", packed([2**64 - 2]), 0])
    assert duplicate == Refused(reason=RefusedReason.DUPLICATE, detail=str(2**64 - 2))
    assert TABLE[Publish].reply([]).entries == ()  # type: ignore[union-attr]


def test_journal_entries() -> None:
    ids, versions = packed([1, 2]), bytes(8)
    entry = entry_from_values(b"12-3", b"out a/3/8 b 2 70 68", ids, versions)
    assert (entry.id, entry.kind, entry.transfer, entry.peer) == ("12-3", EntryKind.OUT, TransferId("a", 3, 8), "b")
    assert (entry.count, entry.tick, entry.offer_tick, entry.ids, entry.rows) == (2, 70, 68, ids, b"")
    rows = bytes(16)
    spawn = entry_from_values(b"1-0", b"spawn - - 1 5 4", b"", b"", rows=rows)
    assert (spawn.transfer, spawn.peer, spawn.rows) == (None, "", rows)
    checksum = checksum_of(b"spawn - - 1 5 4", b"", b"", rows)
    assert entries_from_flat([b"1-0", b"spawn - - 1 5 4", b"", b"", checksum, rows] * 2, 6) == (spawn, spawn)
    assert sorted(["10-0", "9-12", "9-2"], key=entry_order) == ["9-2", "9-12", "10-0"]


@pytest.mark.parametrize(
    ("values", "why", "may_hide_loss"),
    [
        ((b"out a/3/8 b 2 70 68", bytes(16), bytes(7)), "out, ids or versions are not those of 2", True),
        ((b"out a/3/8 b 2 70", bytes(16), bytes(8)), "no entry", True),
        ((b"damaged - - 0 0 0", b"", b""), "no entry", True),
        ((b"oux a/3/8 b 2 70 68", bytes(16), bytes(8)), "oux", True),
        ((b"out \xff b 2 70 68", bytes(16), bytes(8)), "utf-8", True),
        ((b"spawn - - -1 5 4", b"", b""), "-1 entities", False),
        ((b"spawn - - 2 5 4", b"", b"", b"-", bytes(4 + 61)), "65 bytes are not 2 rows", False),
        ((b"spawn - - 1 5 4", b"", b"", b"", bytes(16)), "checksum does not match", False),
        ((b"spawn - - 1 5 4", b"", b"", b""), "checksum does not match", True),
        ((b"spawn - - 1 5 4", b"", b"", checksum_of(b"spawn - - 1 5 4", b"", b"", bytes(16)), b""), "not there", False),
    ],
)
def test_an_entry_that_is_not_as_it_was_written(values: tuple[bytes, ...], why: str, may_hide_loss: bool) -> None:
    entry = entry_from_values(b"7-1", *values)
    assert (entry.id, entry.kind, entry.may_hide_loss) == ("7-1", EntryKind.DAMAGED, may_hide_loss)
    assert why in entry.damage


def test_keys() -> None:
    assert fleet_prefix("my-fleet.2") == "sf:my-fleet.2:"
    assert fleet_of("sf:my-fleet:meta") == "my-fleet"
    assert link_pair("b", "a") == link_pair("a", "b") == "a|b"
    with pytest.raises(ValueError, match="fleet name"):
        fleet_prefix("a:b")


INFO = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:abc\r\nrole:master\r\naof_enabled:1\r\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("redis_version:6.2.14", "too old"),
        ("cluster_enabled:1", "cluster mode"),
        ("role:slave", "replica"),
        ("maxmemory_policy:volatile-lru", "maxmemory-policy volatile-lru"),
    ],
)
def test_unfit_servers_are_named(line: str, message: str) -> None:
    with pytest.raises(StoreRefused, match=message):
        ServerInfo.from_info(INFO + line, appendfsync="").refuse_unfit("host:1")


def test_fit_servers() -> None:
    for line in ("", "redis_version:10.1.0", "redis_version:7.2.4\r\nvalkey_version:9.1.2", "valkey_version:1.0"):
        ServerInfo.from_info(INFO + line, appendfsync="always").refuse_unfit("host:1")
    info = ServerInfo.from_info(INFO + "valkey_version:9.1.2\r\naof_enabled:0", appendfsync="")
    assert (info.name, info.version, info.durable, info.run_id) == ("valkey", "9.1.2", False, "abc")
