"""The Lease on virtual time: never two holders, whatever the API server does."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from shardfleet_operator.kube import ApiError, ApiUnavailable, Kind, KubeObject
from shardfleet_operator.kube.lease import DURATION_S, STOP_AFTER_S, LeaderLease


class Clock:
    def __init__(self) -> None:
        self.us = 1_700_000_000_000_000

    def now_unix_us(self) -> int:
        return self.us

    def boottime_us(self) -> int:
        return self.us


class Api:
    """One Lease; ``away`` answers nothing, ``lost`` carries out and then answers nothing."""

    def __init__(self) -> None:
        self.body: KubeObject | None = None
        self.version = 0
        self.away = self.lost = False

    async def get(self, kind: Kind, namespace: str, name: str) -> KubeObject | None:
        if self.away:
            raise ApiUnavailable("get", "away")
        return None if self.body is None else {**self.body, "spec": dict(self.body["spec"])}

    async def create(self, body: KubeObject) -> KubeObject:
        return self._write(body, None)

    async def merge(self, kind: Kind, namespace: str, name: str, body: KubeObject) -> KubeObject:
        return self._write(body, body["metadata"]["resourceVersion"])

    def _write(self, body: KubeObject, version: str | None) -> KubeObject:
        if self.away:
            raise ApiUnavailable("put", "away")
        now = None if self.body is None else self.body["metadata"]["resourceVersion"]
        if version != now:
            raise ApiError("put", status=409, reason="Conflict", message="")
        self.version += 1
        self.body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        if self.lost:
            raise ApiUnavailable("put", "answer lost")
        return self.body


def lease(api: Any, clock: Clock, identity: str) -> LeaderLease:
    return LeaderLease(api, clock, namespace="system", name="lease", identity=identity)


steps = st.lists(
    st.tuples(st.integers(0, 8_000_000), st.sampled_from("ab"), st.sampled_from(["ok", "ok", "away", "lost"])),
    max_size=60,
)


@given(steps)
async def test_two_never_hold_it(steps: list[tuple[int, str, str]]) -> None:
    clock, api = Clock(), Api()
    both = {name: lease(api, clock, name) for name in "ab"}
    for pause_us, who, weather in steps:
        clock.us += pause_us
        api.away, api.lost = weather == "away", weather == "lost"
        with contextlib.suppress(ApiError):
            await both[who].try_once()
        assert not all(one.held for one in both.values())


async def test_a_holder_that_cannot_renew_stops_before_another_may_begin() -> None:
    clock, api = Clock(), Api()
    first, second = lease(api, clock, "a"), lease(api, clock, "b")
    assert await first.try_once() and not await second.try_once()
    clock.us += round(STOP_AFTER_S * 1e6)
    assert not first.held and not await second.try_once()
    clock.us += round((DURATION_S - STOP_AFTER_S) * 1e6) + 1
    assert await second.try_once() and second.held
    assert api.body is not None and api.body["spec"]["leaseTransitions"] == 1


async def test_a_released_lease_is_free_at_once() -> None:
    clock, api = Clock(), Api()
    first, second = lease(api, clock, "a"), lease(api, clock, "b")
    await first.try_once()
    await first.release()
    assert not first.held and await second.try_once()
