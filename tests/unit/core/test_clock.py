"""Clocks on virtual time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.clock import DRIFT_PPM, MAX_SLEW_PPM, PeerClock, SlewedClock
from shardfleet_shard.system_clock import SystemClock

SECOND_NS = 1_000_000_000
SECOND_US = 1_000_000


def round_trip(clock: PeerClock, *, now_us: int, offset_us: int, there_us: int, back_us: int, busy_us: int = 10) -> int:
    """One ping at ``now_us`` to a peer whose clock is ``offset_us`` ahead; returns our time afterwards."""
    received_us = now_us + there_us + offset_us
    answered_us = received_us + busy_us
    returned_us = now_us + there_us + busy_us + back_us
    assert clock.observe(sent_us=now_us, received_us=received_us, answered_us=answered_us, returned_us=returned_us)
    return returned_us


def test_an_unknown_clock_is_within_nothing() -> None:
    clock = PeerClock()
    assert not clock.known and clock.offset_us is None and clock.error_us(5) is None
    assert not clock.within(10**12, 5)


def test_even_ways_give_the_exact_offset() -> None:
    clock = PeerClock()
    now_us = round_trip(clock, now_us=1_000, offset_us=-7_000, there_us=300, back_us=300)
    assert (clock.offset_us, clock.error_us(now_us)) == (-7_000, 300)
    assert clock.within(7_300, now_us) and not clock.within(7_299, now_us)


def test_uneven_ways_stay_within_the_error() -> None:
    clock = PeerClock()
    now_us = round_trip(clock, now_us=0, offset_us=500, there_us=0, back_us=40_000)
    error_us = clock.error_us(now_us)
    assert clock.offset_us is not None and error_us is not None
    assert error_us == 20_000 and abs(clock.offset_us - 500) <= error_us


def test_the_error_grows_with_age_and_a_slow_sample_counts_once_drift_has_passed_it() -> None:
    clock = PeerClock()
    first_us = round_trip(clock, now_us=0, offset_us=100, there_us=50, back_us=50)
    assert clock.error_us(first_us + SECOND_US) == 50 + DRIFT_PPM
    # 2 ms on the way, half a second later: still worse than the first.
    round_trip(clock, now_us=SECOND_US // 2, offset_us=100, there_us=0, back_us=4_000)
    assert clock.offset_us == 100
    # Two seconds later it is the better one.
    now_us = round_trip(clock, now_us=2 * SECOND_US, offset_us=100, there_us=0, back_us=4_000)
    assert clock.offset_us == 100 - 2_000 and clock.error_us(now_us) == 2_000


def test_a_clock_that_was_moved_is_believed_at_once() -> None:
    clock = PeerClock()
    now_us = round_trip(clock, now_us=0, offset_us=0, there_us=50, back_us=50)
    now_us = round_trip(clock, now_us=now_us, offset_us=10 * SECOND_US, there_us=3_000, back_us=3_000)
    assert clock.offset_us == 10 * SECOND_US and clock.jumps == 1
    assert not clock.within(15_000, now_us)


@pytest.mark.parametrize(
    ("sent_us", "received_us", "answered_us", "returned_us"),
    [(10, 5, 6, 9), (10, 6, 5, 20), (10, 0, 11, 20)],
    ids=["back before it went", "answered before it came", "longer there than away"],
)
def test_stamps_that_cannot_be_are_not_taken(
    sent_us: int, received_us: int, answered_us: int, returned_us: int
) -> None:
    clock = PeerClock()
    assert not clock.observe(sent_us=sent_us, received_us=received_us, answered_us=answered_us, returned_us=returned_us)
    assert not clock.known


@given(seed=st.integers(0, 2**32), offset_us=st.integers(-(10**10), 10**10), drift_ppm=st.integers(-2_000, 2_000))
def test_the_true_offset_is_always_within_the_error(seed: int, offset_us: int, drift_ppm: int) -> None:
    generator = random.Random(seed)
    clock = PeerClock()
    now_us = 0
    for _ in range(60):
        true_us = offset_us + now_us * drift_ppm // 1_000_000
        there_us, back_us = (round(generator.expovariate(1 / 2_000)) for _ in range(2))
        now_us = round_trip(clock, now_us=now_us, offset_us=true_us, there_us=there_us, back_us=back_us)
        now_us += generator.randrange(500_000)
        true_us = offset_us + now_us * drift_ppm // 1_000_000
        error_us = clock.error_us(now_us)
        assert clock.offset_us is not None and error_us is not None
        assert abs(clock.offset_us - true_us) <= error_us + 2  # whole microseconds
    assert clock.jumps == 0


def test_a_step_of_the_wall_is_slewed_forwards_and_backwards() -> None:
    for step_ns in (SECOND_NS, -SECOND_NS):
        clock = SlewedClock(monotonic_ns=0, wall_ns=100 * SECOND_NS)
        last_us = clock.read(monotonic_ns=0, wall_ns=100 * SECOND_NS)
        for second in range(1, 1_001):
            now_ns = second * SECOND_NS
            now_us = clock.read(monotonic_ns=now_ns, wall_ns=100 * SECOND_NS + now_ns + step_ns)
            assert abs(now_us - last_us - SECOND_US) <= MAX_SLEW_PPM
            last_us = now_us
        assert last_us == (100 * SECOND_NS + 1_000 * SECOND_NS + step_ns) // 1_000
        assert clock.behind_us(monotonic_ns=now_ns, wall_ns=100 * SECOND_NS + now_ns + step_ns) == 0


def test_a_slew_goes_on_however_often_the_clock_is_read() -> None:
    clock = SlewedClock(monotonic_ns=0, wall_ns=0)
    for now_ns in range(0, SECOND_NS // 100, 500):
        now_us = clock.read(monotonic_ns=now_ns, wall_ns=now_ns + SECOND_NS)
    assert 8 <= now_us - now_ns // 1_000 <= 10  # 1 us a ms, over 10 ms


@given(
    st.lists(
        st.tuples(st.integers(0, 10**10), st.integers(-(10**12), 10**12)),
        min_size=1,
        max_size=50,
    )
)
def test_no_wall_whatsoever_makes_time_run_backwards_or_jump(steps: list[tuple[int, int]]) -> None:
    clock = SlewedClock(monotonic_ns=0, wall_ns=0)
    now_ns, last_us = 0, 0
    for elapsed_ns, wall_ns in steps:
        now_ns += elapsed_ns
        now_us = clock.read(monotonic_ns=now_ns, wall_ns=wall_ns)
        slewed_us = elapsed_ns * MAX_SLEW_PPM // 1_000_000 // 1_000
        # A step shorter than the clock's own is slewed together with the next one.
        assert last_us <= now_us <= last_us + elapsed_ns // 1_000 + slewed_us + 3
        last_us = now_us


def test_the_system_clock_tells_both_times_and_a_wrong_one_on_purpose() -> None:
    right, wrong = SystemClock(), SystemClock(offset_us=10 * SECOND_US)
    before_us = right.now_unix_us()
    boot_us = right.boottime_us()
    assert before_us <= right.now_unix_us() and boot_us <= right.boottime_us()
    assert 9 * SECOND_US < wrong.now_unix_us() - right.now_unix_us() < 11 * SECOND_US
