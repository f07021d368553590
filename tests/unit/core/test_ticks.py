"""The grid against fractions: no rounding, at any time and rate."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.ticks import MICROSECONDS, TickGrid, WorldTime

RATES = st.one_of(st.integers(1, 240), st.sampled_from([3, 7, 30, 60, 1000, 999_983]))
TICKS = st.integers(-(10**6), 10**11)
TIMES = st.one_of(st.integers(-(10**6), 10**6), st.integers(1_700_000_000_000_000, 1_900_000_000_000_000))


@given(RATES, TICKS)
def test_a_tick_starts_at_the_first_microsecond_not_before_its_place(rate: int, tick: int) -> None:
    grid = TickGrid(rate)
    assert grid.start_us(tick) == ceil(Fraction(tick * MICROSECONDS, rate))
    assert grid.at(grid.start_us(tick)) == tick
    assert grid.at(grid.start_us(tick) - 1) == tick - 1


@given(RATES, TIMES)
def test_the_running_tick_is_the_highest_that_has_started(rate: int, unix_us: int) -> None:
    grid = TickGrid(rate)
    assert grid.at(unix_us) == floor(Fraction(unix_us * rate, MICROSECONDS))
    assert grid.start_us(grid.at(unix_us)) <= unix_us < grid.start_us(grid.at(unix_us) + 1)


@given(RATES, TIMES)
def test_the_switch_tick_is_the_first_whose_place_is_not_before_the_transfer_time(rate: int, unix_us: int) -> None:
    grid = TickGrid(rate)
    switch = grid.switch_tick(unix_us)
    assert switch == ceil(Fraction(unix_us * rate, MICROSECONDS))
    assert unix_us <= grid.start_us(switch)
    assert Fraction((switch - 1) * MICROSECONDS, rate) < unix_us


@given(RATES, st.integers(0, 10**10))
def test_a_duration_is_covered_by_whole_ticks_and_by_one_at_least(rate: int, duration_us: int) -> None:
    grid = TickGrid(rate)
    ticks = grid.ticks_in(duration_us)
    assert ticks == max(1, ceil(Fraction(duration_us * rate, MICROSECONDS)))


def test_lengths() -> None:
    assert TickGrid(20).duration_us == 50_000.0 and TickGrid(20).dt == 0.05


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 20), st.integers(1, 500)), max_size=5), st.data())
def test_what_is_written_for_a_world_tick_is_read_as_that_one(
    runs: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """``runs``: world ticks played, those of them that no manifest held, and grid ticks of the rest after it."""
    time, now = WorldTime(1000), 1000
    for played, unpublished, rest in runs:
        published, now = now + max(0, played - unpublished), now + played + rest
        pause = time.pause([published], now)
        time = WorldTime(time.origin + pause, (*time.rests, (now, time.origin)))
    world_tick = data.draw(st.integers(0, now - time.origin + 50))
    assert time.after_rests(time.grid_tick(world_tick)) == time.origin + world_tick
