"""One server of each kind for all tests here, and a fleet of its own for each test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.redis_store import RedisStore

from tests.integration.servers import SERVER_KINDS, RedisServer, missing_reason, redis_server

# What only tests send, to look behind the scripts' backs.
TESTS_OWN = (
    "blpop",
    "echo",
    "keys",
    "xlen",
    "zincrby",
    "client|pause",
    "client|unpause",
    "script|exists",
    "script|flush",
)

_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=SERVER_KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    reason = missing_reason(request.param)
    if reason:
        pytest.skip(reason)
    with redis_server(request.param, also_allowed=TESTS_OWN) as running:
        yield running


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    """Connected and joined; calls get ten seconds, because the machine may be busy."""
    opened = RedisStore(server.limited_url, f"fleet-{next(_numbers)}", timeout_s=10.0)
    await opened.connect()
    await opened.join()
    yield opened
    await opened.close()


@pytest.fixture
def admin(store: RedisStore) -> FleetAdmin:
    return FleetAdmin(store)
