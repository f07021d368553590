"""RedisStore on real servers: settings, answers that do not come, restarts, and what messages never say."""

from __future__ import annotations

import asyncio
import logging

import pytest
from shardfleet_shard.core.requests import Cancel, Join, Joined, Observe, Refused, RefusedReason, Renew, Reopen, Request
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.errors import DataFolderError, StoreError, StoreRefused, StoreUnavailable
from shardfleet_shard.store.commands import Command
from shardfleet_shard.store.connections import UNANSWERED
from shardfleet_shard.store.keys import FORMAT
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.store.scripts import all_lua

from tests.integration.servers import SERVER_KINDS, RedisServer, ServerKind, free_port, missing_reason, redis_server

from .fleet import LEASE_MS, TOO_LARGE_TO_INLINE, A, B, Fleet

SECRET = "very-secret-word"


async def refusal_of(server: RedisServer) -> str:
    store = RedisStore(server.limited_url, "refused", timeout_s=10.0)
    with pytest.raises(StoreRefused) as refused:
        await store.connect()
    await store.close()
    return str(refused.value)


# --- what can serve --------------------------------------------------------------------------------------------


async def test_a_fit_server_is_described(store: RedisStore) -> None:
    info = store.info
    assert info is not None
    assert (info.append_only, info.appendfsync, info.maxmemory_policy) == (True, "always", "noeviction")
    assert store.durable
    assert store.generation == info.run_id


@pytest.mark.parametrize("memory", ["0", "200mb"])
async def test_an_eviction_policy_is_refused_by_name(memory: str) -> None:
    with redis_server(options=["--maxmemory-policy", "allkeys-lru", "--maxmemory", memory]) as server:
        message = await refusal_of(server)
    assert "maxmemory-policy allkeys-lru" in message
    assert "\n" not in message


async def test_cluster_mode_is_refused_by_name() -> None:
    with redis_server(tcp=True, options=["--cluster-enabled", "yes", "--cluster-port", str(free_port())]) as server:
        assert "cluster mode" in await refusal_of(server)


async def test_a_replica_is_refused_by_name() -> None:
    with redis_server(options=["--replicaof", "127.0.0.1 1"]) as server:
        assert "replica" in await refusal_of(server)


async def test_without_an_append_only_file_it_is_not_durable() -> None:
    with redis_server(options=["--appendonly", "no"]) as server:
        store = RedisStore(server.limited_url, "forgetful", timeout_s=10.0)
        await store.connect()
        assert not store.durable
        await store.close()


@pytest.mark.parametrize("tcp", [False, True])
async def test_the_password_appears_nowhere(tcp: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with redis_server(tcp=tcp, password=SECRET) as server:
        store = RedisStore(server.url, "locked", timeout_s=10.0)
        info = await store.connect()
        assert (await store.join()).generation == info.run_id
        shown = [repr(store), str(store), repr(store.info), repr(store._connections), store.address]
        server.stop()
        assert await store.execute([Observe()]) == [None]
        with pytest.raises(StoreUnavailable) as unavailable:
            await store.call([("PING",)])
        shown += [str(unavailable.value), store.last_error, caplog.text]
        await store.close()
    assert SECRET not in " ".join(shown)


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_a_wrong_or_missing_password_is_refused_by_name(password: str) -> None:
    with redis_server(tcp=True, password=SECRET) as server:
        store = RedisStore(
            f"redis://:{password}@127.0.0.1:{server.port}" if password else f"redis://127.0.0.1:{server.port}",
            "x",
            timeout_s=10.0,
        )
        with pytest.raises(StoreRefused, match="password"):
            await store.connect()
        await store.close()


@pytest.mark.parametrize("url", ["http://host", "redis://:s#ecret@host:port", "redis://host:99x", "what"])
def test_an_unreadable_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(StoreRefused) as refused:
        RedisStore(url, "fleet")
    assert "ecret" not in str(refused.value)
    assert "redis://, rediss:// or unix://" in str(refused.value)


def test_tls_is_taken_from_the_scheme() -> None:
    assert RedisStore("rediss://host.example:6390/2", "fleet").address == "host.example:6390"


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "a*", "a:b"])
def test_a_fleet_name_that_could_mix_with_others_is_refused(name: str) -> None:
    with pytest.raises(StoreRefused, match="fleet name"):
        RedisStore("redis://host", name)


async def test_nobody_there() -> None:
    store = RedisStore("unix:///nowhere/redis.sock", "fleet", timeout_s=0.2)
    with pytest.raises(StoreUnavailable, match=r"/nowhere/redis\.sock"):
        await store.connect()


async def test_data_of_another_format_are_refused(store: RedisStore) -> None:
    assert (await store.call([("HGET", f"{store.prefix}meta", "format")]))[0] == FORMAT.encode()
    await store.call([("HSET", f"{store.prefix}meta", "format", "77")])
    with pytest.raises(DataFolderError, match="'77'"):
        await store.join()


# --- calls -----------------------------------------------------------------------------------------------------


async def test_replies_keep_the_order_of_requests(store: RedisStore) -> None:
    fleet = await Fleet.start(store)
    before = store.client_requests
    begin = fleet.begin()
    requests: list[Request] = [begin, Observe(), fleet.accept(begin), Renew(**fleet.me(A), ttl_ms=5000)]
    replies = await store.execute(requests)
    assert store.client_requests - before == 4
    assert [type(reply).__name__ for reply in replies] == ["Done", "Observed", "Done", "Done"]
    assert await store.execute([]) == []


async def test_large_manifests_cost_a_command_a_chunk(store: RedisStore) -> None:
    fleet = await Fleet.start(store)
    before = store.client_requests
    await fleet.reply(fleet.publish(A, 1, chunks=(b"x" * 256_000,)))
    assert store.client_requests - before == 1
    await fleet.reply(fleet.publish(A, 2, chunks=(b"x" * 256_000, b"y")))
    assert store.client_requests - before == 4


async def test_many_tasks_at_once(store: RedisStore) -> None:
    fleet = await Fleet.start(store)

    async def one(sequence: int) -> list[str]:
        begin = fleet.begin(sequence)
        outcomes = [await fleet.done(begin), await fleet.done(fleet.accept(begin, bytes(5000)))]
        return [*outcomes, await fleet.done(Cancel(**fleet.me(A), transfer=begin.transfer))]

    results = await asyncio.gather(*(one(sequence) for sequence in range(1, 60)))
    assert results == [["started", "accepted", "accepted"]] * 59


async def test_scripts_are_loaded_again_when_redis_lost_them(store: RedisStore) -> None:
    fleet = await Fleet.start(store)
    await store.call([("SCRIPT", "FLUSH")])
    begin = fleet.begin()
    replies = await store.execute([begin, fleet.publish(A, 1, chunks=TOO_LARGE_TO_INLINE), fleet.accept(begin)])
    assert [type(reply).__name__ for reply in replies] == ["Done", "Entries", "Done"]
    await store.call([("SCRIPT", "FLUSH")])
    await store.run_script("write_layout", 2, "{}")


async def test_a_broken_key_is_an_error_not_a_silence(store: RedisStore) -> None:
    fleet = await Fleet.start(store)
    await store.call([("DEL", f"{store.prefix}active"), ("SET", f"{store.prefix}active", "x")])
    with pytest.raises(StoreError, match="Begin"):
        await store.execute([fleet.begin()])


async def test_no_answer_is_none_and_the_connection_is_not_used_again(server: RedisServer) -> None:
    store = RedisStore(server.limited_url, "slow", timeout_s=10.0)
    await store.connect()
    await store.join()
    await store.call([("CLIENT", "PAUSE", 600_000, "WRITE")])
    try:
        assert await store.execute([Observe(), Join(founds=True)], timeout_s=0.15) == [None, None]
        assert "no answer within" in store.last_error
    finally:
        await store.call([("CLIENT", "UNPAUSE")])
    assert isinstance((await store.execute([Join(founds=True)]))[0], Joined)
    await store.close()


async def test_answers_that_came_in_time_count(store: RedisStore) -> None:
    commands: list[Command] = [("ECHO", "here"), ("BLPOP", f"{store.prefix}never", 600), ("ECHO", "too late")]
    assert await store._connections.exchange(commands, 2.0) == [b"here", UNANSWERED, UNANSWERED]
    assert await store.call([("ECHO", "next")]) == [b"next"]


async def test_a_call_that_is_canceled_leaves_nothing_behind(store: RedisStore) -> None:
    fleet = await Fleet.start(store)
    for _ in range(20):
        task = asyncio.create_task(store.execute([Observe(), Observe()]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await fleet.done(Renew(**fleet.me(A), ttl_ms=60_000)) == "ok"


async def test_memory_exhausted_is_no_answer() -> None:
    with redis_server(options=["--maxmemory", "1"]) as server:
        store = RedisStore(server.limited_url, "full", timeout_s=10.0)
        await store.connect()
        assert await store.execute([Join(founds=True)]) == [None]
        assert "OOM" in store.last_error or "memory" in store.last_error
        with pytest.raises(StoreUnavailable):
            await store.join()
        await store.close()


# --- restarts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SERVER_KINDS)
async def test_a_restart_keeps_everything_and_refuses_everyone_until_reopened(kind: ServerKind) -> None:
    if missing_reason(kind):
        pytest.skip(missing_reason(kind))
    with redis_server(kind) as server:
        store = RedisStore(server.limited_url, "restarted", timeout_s=10.0)
        await store.connect()
        first = await store.join()
        fleet = await Fleet.start(store)
        begin = fleet.begin(ids=(1, 2))
        await fleet.store.execute([begin, fleet.accept(begin), fleet.publish(A, 5), fleet.spawn(B, 8)])
        server.kill()
        server.start()

        (reply,) = await store.execute([fleet.begin(2)])
        assert isinstance(reply, Refused | None)  # None: an idle connection broke under the call
        (reply,) = await store.execute([fleet.begin(2)])
        assert isinstance(reply, Refused)
        assert reply.reason is RefusedReason.GENERATION
        joined = await store.join()
        assert joined.stored == first.generation != joined.generation
        assert (await fleet.ask(fleet.begin(2), Refused)).reason is RefusedReason.GENERATION

        held = await fleet.ask(Reopen(), Refused)
        assert held.reason is RefusedReason.HELD
        assert 0 < held.wait_ms <= LEASE_MS
        await store.call([("DEL", f"{store.prefix}lease:{A}", f"{store.prefix}lease:{B}")])
        assert await fleet.done(Reopen()) == "ok"
        assert await fleet.done(begin) == "accepted"
        assert (await fleet.recover(B)).accepted_incoming == (TransferId(A, fleet.epochs[A], 1),)
        await store.close()


async def test_every_script_compiles_under_the_name_that_is_sent(store: RedisStore) -> None:
    shas = await store.call([("SCRIPT", "EXISTS", *(lua.sha for lua in all_lua()))])
    assert shas == [[1] * len(all_lua())]
