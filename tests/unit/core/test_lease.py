"""A lease stands here at most as long as in Redis, whatever comes back and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.lease import Lease

TTL_US = 3_000_000
RETRY_US = 100_000

STEPS = st.lists(
    st.tuples(
        st.integers(0, 2_000_000),  # until the next look
        st.sampled_from(["renewed", "renewed, answer lost", "lost", "refused"]),
        st.integers(0, 2_500_000),  # there
        st.integers(0, 2_500_000),  # and back
    ),
    max_size=30,
)


@given(STEPS)
def test_it_never_stands_here_when_it_has_run_out_in_redis(
    steps: list[tuple[int, str, int, int]],
) -> None:
    lease = Lease(TTL_US)
    now_us, in_redis_until_us = 0, 0
    assert not lease.held(0)
    for pause_us, outcome, there_us, back_us in steps:
        now_us += pause_us
        assert not lease.held(now_us) or now_us < in_redis_until_us
        if not lease.renewal_due(now_us):
            continue
        sent_us = now_us
        lease.sent()
        assert not lease.renewal_due(now_us + 10**9)  # one at a time
        if outcome.startswith("renewed"):
            in_redis_until_us = sent_us + there_us + TTL_US
        now_us += there_us + back_us
        if outcome == "renewed":
            lease.renewed(sent_us)
            assert lease.held(now_us) == (now_us < sent_us + TTL_US)
        else:
            lease.failed(now_us, retry_us=RETRY_US, unanswered=outcome != "refused")
            assert not lease.renewal_due(now_us + RETRY_US - 1) and lease.renewal_due(now_us + RETRY_US)
        assert not lease.held(now_us) or now_us < in_redis_until_us


def test_it_is_renewed_every_third_of_it_and_ends_to_the_microsecond() -> None:
    lease = Lease(TTL_US)
    lease.sent()
    lease.renewed(100)
    assert lease.held(100 + TTL_US - 1) and not lease.held(100 + TTL_US)
    assert not lease.renewal_due(100 + TTL_US // 3 - 1) and lease.renewal_due(100 + TTL_US // 3)


def test_a_late_answer_of_an_older_renewal_takes_nothing_away() -> None:
    lease = Lease(TTL_US)
    lease.renewed(1_000_000)
    lease.renewed(500_000)
    assert lease.valid_until_us == 1_000_000 + TTL_US


def test_where_redis_may_be_away_the_lease_outlives_silence_and_nothing_else() -> None:
    lease = Lease(TTL_US, outlives_outage=True)
    lease.failed(0, retry_us=RETRY_US, unanswered=True)
    assert not lease.held(0)  # it never had one
    lease.renewed(0)
    assert not lease.held(TTL_US)
    lease.failed(TTL_US, retry_us=RETRY_US, unanswered=True)
    assert lease.held(10 * TTL_US)
    lease.failed(10 * TTL_US, retry_us=RETRY_US, unanswered=False)
    assert not lease.held(10 * TTL_US)  # Redis speaks again, and says no
