"""A Redis that has forgotten a shard and not heard it yet is no reason for it to end; a successor is."""

from __future__ import annotations

import pytest
from shardfleet_shard.core.requests import Refused, RefusedReason, Renew
from shardfleet_shard.exit_codes import ExitCode
from shardfleet_shard.life import RuntimeState
from shardfleet_shard.runtime import ServerAuthorityRuntime

from .interpreter import Interpreter

TTL_MS = 3_000


@pytest.fixture
def runtime() -> ServerAuthorityRuntime:
    scenario = Interpreter()
    for line in ("shards a-0 a-1", "spawn 1 at 5,5 moving 0,0", "run 4"):
        scenario.execute(line)
    return scenario.world.find("a-0").runtime


def _refuse(runtime: ServerAuthorityRuntime, epoch: int) -> None:
    request = Renew(shard="a-0", epoch=runtime.context.epoch, ttl_ms=TTL_MS)
    runtime.receive_reply(request, Refused(reason=RefusedReason.EPOCH, detail=str(epoch)))


def test_a_renewal_that_overtook_the_rejoin(runtime: ServerAuthorityRuntime) -> None:
    """Others have rejoined, so the generation is right; but no epoch of this shard is known, or the 0 of their word."""
    lease = runtime.membership.lease
    runtime.receive_reply(
        Renew(shard="a-0", epoch=runtime.context.epoch, ttl_ms=TTL_MS),
        Refused(reason=RefusedReason.GENERATION, detail="another"),
    )
    assert runtime.roll_call.on
    calls, until_us = runtime.context.stats.roll_calls, lease.valid_until_us
    _refuse(runtime, 0)
    assert runtime.life.state is RuntimeState.ACTIVE
    assert (runtime.context.stats.roll_calls, lease.valid_until_us) == (calls, until_us)
    assert not lease.in_flight, "it is renewed again"


def test_a_redis_that_was_emptied_without_a_restart(runtime: ServerAuthorityRuntime) -> None:
    _refuse(runtime, 0)
    assert (runtime.life.state, runtime.roll_call.on) == (RuntimeState.ACTIVE, True)


def test_a_successor_ends_it(runtime: ServerAuthorityRuntime) -> None:
    _refuse(runtime, runtime.context.epoch + 1)
    assert (runtime.life.state, runtime.life.exit_code) == (RuntimeState.ENDED, ExitCode.SUPERSEDED)
