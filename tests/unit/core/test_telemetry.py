"""TelemetryPublisher: how often a shard publishes, and never two at once."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.authority import EntityAuthorityTracker
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.context import Context
from shardfleet_shard.core.journal_requests import EntryKind, JournalEntry, Publish
from shardfleet_shard.core.manifest import AuthorityManifest
from shardfleet_shard.core.ticks import TickGrid
from shardfleet_shard.telemetry import (
    IDLE_INTERVAL_US,
    LARGE_MAX_INTERVAL_US,
    LARGE_SHARD_ROWS,
    MAX_INTERVAL_US,
    PUBLISH_COST_FACTOR,
    TICK_SHARE,
    TelemetryPublisher,
)

SCHEMA = Schema(2)


class SlowClock:
    """Each reading is ``step_us`` later than the one before: publishing takes that long."""

    def __init__(self, step_us: int) -> None:
        self.now_us = 0
        self.step_us = step_us

    def now_unix_us(self) -> int:
        self.now_us += self.step_us
        return self.now_us

    def boottime_us(self) -> int:
        return self.now_us


def publisher(rows: int = 3, *, interval_us: int = 50_000, cost_us: int = 0) -> TelemetryPublisher:
    tracker = EntityAuthorityTracker(SCHEMA)
    tracker.rows = (
        SCHEMA.rows(id=np.arange(rows), position=np.zeros((rows, 2))) if rows < 1000 else cast(Any, range(rows))
    )
    tracker.states = np.zeros(rows, np.uint8)
    context = Context(
        shard="a-0",
        ordinal=0,
        address="",
        config=FleetConfig(name="a", telemetry_interval_us=interval_us),
        grid=TickGrid(20),
        schema=SCHEMA,
        simulation=cast(Any, SimpleNamespace()),
        clock=SlowClock(cost_us),
        rng=np.random.default_rng(0),
        tracker=tracker,
        epoch=7,
    )
    return TelemetryPublisher(context)


@given(
    st.sampled_from([1, 1000, LARGE_SHARD_ROWS, LARGE_SHARD_ROWS + 1]),
    st.sampled_from([50_000, 200_000, 2_000_000]),
    st.integers(0, 400_000),
)
def test_the_interval_is_what_the_cost_affords_within_its_bounds(rows: int, interval_us: int, cost_us: int) -> None:
    telemetry = publisher(rows, interval_us=interval_us)
    telemetry._cost_us = cost_us
    highest_us = MAX_INTERVAL_US if rows <= LARGE_SHARD_ROWS else LARGE_MAX_INTERVAL_US
    found_us = telemetry.interval_us()
    assert found_us >= interval_us
    assert found_us <= max(interval_us, highest_us)
    if interval_us < found_us < highest_us:
        assert PUBLISH_COST_FACTOR * cost_us <= (found_us + 1) * TICK_SHARE
    affordable = PUBLISH_COST_FACTOR * cost_us <= interval_us * TICK_SHARE
    assert (found_us == interval_us) == (affordable or interval_us >= highest_us)


def test_an_empty_shard_only_says_that_it_lives_unless_its_journal_says_something() -> None:
    telemetry = publisher(0)
    assert telemetry.interval_us() == IDLE_INTERVAL_US
    assert publisher(0, interval_us=900_000).interval_us() == 900_000
    telemetry.context.journal.read([JournalEntry(id="1-0", kind=EntryKind.SPAWN)])
    assert telemetry.interval_us() == 50_000


def test_a_costly_publish_is_followed_by_a_longer_interval() -> None:
    telemetry = publisher(3, cost_us=5_000)
    telemetry.publish(1)
    assert telemetry.context.stats.publish_interval_us == 5_000 * PUBLISH_COST_FACTOR / TICK_SHARE == 200_000
    assert telemetry.next_publish_us == 5_000 + 200_000


def test_the_next_one_waits_for_the_answer_and_for_the_interval() -> None:
    telemetry = publisher()
    assert telemetry.due(0)
    telemetry.publish(1)
    assert not telemetry.due(10**12)
    telemetry.answered(True)
    assert telemetry.published_tick == 1
    assert not telemetry.due(49_999) and telemetry.due(50_000)
    telemetry.publish(2)
    telemetry.answered(False)
    assert telemetry.published_tick == 1 and telemetry.in_flight is None


@pytest.mark.parametrize("tick", [4, 5])
def test_no_tick_is_published_twice(tick: int) -> None:
    telemetry = publisher()
    telemetry.publish(5)
    telemetry.answered(False)
    telemetry.context.effects.requests.clear()
    telemetry.publish(tick)
    assert telemetry.in_flight is None and telemetry.context.effects.requests == []


def test_what_is_published() -> None:
    telemetry = publisher(3)
    context = telemetry.context
    context.journal.read(
        [JournalEntry(id="3-0", kind=EntryKind.DESPAWN), JournalEntry(id="4-0", kind=EntryKind.DESPAWN)]
    )
    context.journal.apply("3-0")
    context.tracker.states[1] = 2
    telemetry.publish(8)
    (request,) = context.effects.requests
    assert isinstance(request, Publish) and request is telemetry.in_flight
    assert (request.shard, request.epoch, request.tick) == ("a-0", 7, 8)
    assert (request.position, request.read_after) == ("3-0", "4-0")
    manifest = AuthorityManifest.from_chunks(json.loads(request.header), request.chunks)
    assert manifest.rows.pack() == context.tracker.rows.pack() and manifest.states.tolist() == [0, 2, 0]
    assert (manifest.tick, manifest.position) == (8, "3-0") and manifest.stats["state"] == "starting"
