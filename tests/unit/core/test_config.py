"""FleetConfig: every fault at once, by the name of what is wrong."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.config import (
    MAX_HANDOFF_DELAY_US,
    FleetConfig,
    default_skew_limit_us,
    format_duration_us,
    parse_duration_us,
)
from shardfleet_shard.environment import HANDOFF_DELAY_VARIABLE
from shardfleet_shard.errors import SpecError

ARENA = FleetConfig(name="arena")


def faults_of(config: FleetConfig) -> dict[str, str]:
    try:
        config.validate()
    except SpecError as error:
        assert error.retryable is False and error.code == "spec"
        assert all(f"{path}: {message}" in str(error) for path, message in error.faults)
        return dict(error.faults)
    return {}


def test_the_defaults_are_right() -> None:
    assert faults_of(ARENA) == {}
    assert ARENA.dimensions == 2 and dataclasses.replace(ARENA, world_low=(0, 0, 0)).dimensions == 3


@given(st.integers(1, 240), st.integers(0, 50_000), st.integers(-2, 2))
def test_the_delay_covers_a_tick_and_the_guard(tick_rate: int, guard_us: int, spare_us: int) -> None:
    least_us = math.ceil(1_000_000 / tick_rate) + guard_us
    delay_us = least_us + spare_us
    config = FleetConfig(name="a", tick_rate=tick_rate, guard_us=guard_us, handoff_delay_us=delay_us, skew_limit_us=1)
    assert ("spec.handoff.delay" in faults_of(config)) == (spare_us < 0)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"handoff_delay_us": MAX_HANDOFF_DELAY_US + 1}, "spec.handoff.delay", "lower it"),
        ({"skew_limit_us": 60_001}, "spec.handoff.delay", "lower spec.handoff.skewLimit"),
        ({"world_low": (0.0, 0.0), "world_high": (0.0, 1.0)}, "spec.world", "min must lie below max"),
        ({"world_low": (0.0, 0.0), "world_high": (1.0, 1.0, 1.0)}, "spec.world", "min must lie below max"),
        ({"world_low": (0.0, 2.0), "world_high": (1.0, 1.0)}, "spec.world", "min must lie below max"),
        ({"world_low": (math.nan, 0.0), "world_high": (1.0, 1.0)}, "spec.world", "min must lie below max"),
    ],
)
def test_each_fault_names_its_field(changes: dict[str, Any], field: str, words: str) -> None:
    faults = faults_of(dataclasses.replace(ARENA, **changes))
    assert list(faults) == [field] and words in faults[field]


def test_a_delay_from_the_environment_is_named_by_its_variable() -> None:
    config = dataclasses.replace(
        ARENA, handoff_delay_us=1, sources={"handoff_delay_us": HANDOFF_DELAY_VARIABLE}, world_high=(-200.0, 0.0)
    )
    assert list(faults_of(config)) == [HANDOFF_DELAY_VARIABLE, "spec.world"]  # all at once


def test_it_survives_the_file_that_a_shard_process_reads() -> None:
    config = dataclasses.replace(
        ARENA, world_low=(0.5, 1, 2), world_high=(3, 4, 5), parameters={"speed": 18}, sources={"replicas": "spec"}
    )
    read = FleetConfig.from_json(config.to_json())
    assert read == config and read.sources == {"replicas": "spec"}
    assert read.world_low == (0.5, 1.0, 2.0)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"name": "a"}', json.dumps({**json.loads(ARENA.to_json()), "colour": 1})],
)
def test_any_other_file_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="configuration: not a shard's configuration"):
        FleetConfig.from_json(text)


def test_rows_say_where_a_value_came_from() -> None:
    rows = {
        name: (value, source) for name, value, source in dataclasses.replace(ARENA, sources={"replicas": "spec"}).rows()
    }
    assert rows["replicas"] == (4, "spec") and rows["tick_rate"] == (20, "default") and "sources" not in rows


@given(st.integers(0, 10**9))
def test_a_duration_reads_back_what_it_shows(duration_us: int) -> None:
    assert parse_duration_us(format_duration_us(duration_us)) == duration_us


@pytest.mark.parametrize(
    ("text", "duration_us"), [("60ms", 60_000), ("3s", 3_000_000), ("500us", 500), ("2m", 120_000_000)]
)
def test_durations(text: str, duration_us: int) -> None:
    assert parse_duration_us(text) == duration_us


@pytest.mark.parametrize("text", ["", "60", "ms", "1.5s", "-1s", "60 ms", "1h", "60MS", "9999999999s", "٣s\n"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 60ms"):
        parse_duration_us(text)


def test_the_skew_limit_is_a_quarter_of_the_delay() -> None:
    assert default_skew_limit_us(60_000) == 15_000 == ARENA.skew_limit_us and default_skew_limit_us(1) == 1
