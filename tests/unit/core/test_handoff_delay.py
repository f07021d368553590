"""The delay is the fleet's own while answers come in time, and longer for a while after one that did not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.handoff_delay import HEADROOM, LONGEST_US, REMEMBER_US, HandoffDelay

LEAST_US, GUARD_US = 60_000, 10_000

waits_us = st.integers(0, 2 * REMEMBER_US)


def test_it_is_the_fleets_own_as_long_as_answers_come_in_time() -> None:
    assert HandoffDelay(LEAST_US, GUARD_US).at(1_000_000) == LEAST_US


def test_a_late_answer_makes_it_long_enough_for_the_next_one() -> None:
    delay = HandoffDelay(LEAST_US, GUARD_US)
    delay.learn_late(200_000, 1_000_000)
    assert delay.at(1_000_000) == 250_000 + GUARD_US
    assert delay.at(1_000_000 + REMEMBER_US - 1) == 250_000 + GUARD_US
    assert delay.at(1_000_000 + REMEMBER_US) == LEAST_US


def test_it_is_bounded_and_never_under_the_fleets_own() -> None:
    delay, patient = HandoffDelay(LEAST_US, GUARD_US), HandoffDelay(3 * LONGEST_US, GUARD_US)
    for one in (delay, patient):
        one.learn_late(LONGEST_US, 0)
    assert (delay.at(0), patient.at(0)) == (LONGEST_US, 3 * LONGEST_US)


def test_an_outage_teaches_nothing() -> None:
    delay = HandoffDelay(LEAST_US, GUARD_US)
    delay.learn_late(200_000, 0)
    delay.learn_late(LONGEST_US + 1, 5_000_000)
    assert delay.at(5_000_000) == 250_000 + GUARD_US


@pytest.mark.parametrize(("answers_us", "needed_us"), [((3_000_000, 700_000), 125_000), ((700_000, 3_000_000), 0)])
def test_nor_does_what_was_asked_in_its_last_second(answers_us: tuple[int, int], needed_us: int) -> None:
    delay = HandoffDelay(LEAST_US, GUARD_US)
    delay.learn_late(100_000, 5_000_000)
    for latency_us in answers_us:
        delay.learn_late(latency_us, 9_000_000)
    assert delay.at(9_000_000) == max(LEAST_US, needed_us + GUARD_US)
    delay.learn_late(400_000, 9_400_000)
    assert delay.at(9_400_000) == 500_000 + GUARD_US, "asked after the end"


@given(st.lists(st.tuples(st.integers(0, REMEMBER_US), st.integers(0, LONGEST_US)), max_size=20), waits_us)
def test_the_longest_that_is_remembered_counts(answers: list[tuple[int, int]], later_us: int) -> None:
    delay, now_us = HandoffDelay(LEAST_US, GUARD_US), 0
    learned: list[tuple[int, int]] = []
    for pause_us, latency_us in answers:
        now_us += pause_us
        delay.learn_late(latency_us, now_us)
        learned.append((now_us, latency_us))
    now_us += later_us
    longest_us = max((latency for at, latency in learned if now_us < at + REMEMBER_US), default=None)
    expected = LEAST_US if longest_us is None else int(longest_us * HEADROOM) + GUARD_US
    assert delay.at(now_us) == max(LEAST_US, min(LONGEST_US, expected))


@given(st.lists(st.tuples(st.integers(0, REMEMBER_US), st.integers(0, 5_000_000)), max_size=20), waits_us)
def test_it_is_never_out_of_its_bounds(answers: list[tuple[int, int]], later_us: int) -> None:
    delay, now_us = HandoffDelay(LEAST_US, GUARD_US), 0
    for pause_us, latency_us in answers:
        now_us += pause_us
        delay.learn_late(latency_us, now_us)
        assert LEAST_US <= delay.at(now_us) <= LONGEST_US
    assert LEAST_US <= delay.at(now_us + later_us) <= LONGEST_US
