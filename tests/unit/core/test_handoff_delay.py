"""The delay is the fleet's own while answers come in time, and longer for a while after one that did not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.handoff_delay import HEADROOM, LONGEST_US, REMEMBER_US, HandoffDelay

LEAST_US, GUARD_US = 60_000, 10_000

latencies_us = st.integers(0, 5_000_000)
late = st.lists(st.tuples(st.integers(0, REMEMBER_US), latencies_us), max_size=20)


def test_it_is_the_fleets_own_as_long_as_answers_come_in_time() -> None:
    assert HandoffDelay(LEAST_US, GUARD_US).at(1_000_000) == LEAST_US


def test_a_late_answer_makes_it_long_enough_for_the_next_one() -> None:
    delay = HandoffDelay(LEAST_US, GUARD_US)
    delay.learn_late(200_000, 1_000_000)
    assert delay.at(1_000_000) == 300_000 + GUARD_US
    assert delay.at(1_000_000 + REMEMBER_US - 1) == 300_000 + GUARD_US
    assert delay.at(1_000_000 + REMEMBER_US) == LEAST_US


def test_it_is_bounded_and_never_under_the_fleets_own() -> None:
    delay, patient = HandoffDelay(LEAST_US, GUARD_US), HandoffDelay(3 * LONGEST_US, GUARD_US)
    for one in (delay, patient):
        one.learn_late(LONGEST_US, 0)
    assert (delay.at(0), patient.at(0)) == (LONGEST_US, 3 * LONGEST_US)


def test_an_outage_teaches_nothing() -> None:
    delay = HandoffDelay(LEAST_US, GUARD_US)
    delay.learn_late(200_000, 0)
    delay.learn_late(LONGEST_US + 1, 0)
    assert delay.at(0) == 300_000 + GUARD_US


@given(late, st.integers(0, 2 * REMEMBER_US))
def test_the_longest_that_is_remembered_counts(answers: list[tuple[int, int]], later_us: int) -> None:
    delay, now_us = HandoffDelay(LEAST_US, GUARD_US), 0
    learned: list[tuple[int, int]] = []
    for pause_us, latency_us in answers:
        now_us += pause_us
        delay.learn_late(latency_us, now_us)
        if latency_us <= LONGEST_US:
            learned.append((now_us, latency_us))
        assert delay.at(now_us) >= LEAST_US
    now_us += later_us
    longest_us = max((latency for at, latency in learned if now_us < at + REMEMBER_US), default=None)
    expected = LEAST_US if longest_us is None else int(longest_us * HEADROOM) + GUARD_US
    assert delay.at(now_us) == max(LEAST_US, min(LONGEST_US, expected))
