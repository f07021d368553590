"""Who dials, when, and which link stays; the handshake's objections; leases on virtual time."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.frames import Hello
from shardfleet_shard.core.requests import Done, LinkLease, Outcome, Refused, RefusedReason, Reply
from shardfleet_shard.net.dialing import LeaseAnswer, LinkRank, backoff_us, may_dial, stays
from shardfleet_shard.net.handshake import find_misfit, find_objection, negotiated_version
from shardfleet_shard.net.leases import HandoffConnectionLeaseCoordinator
from shardfleet_shard.net.limits import LinkLimits

LIMITS = LinkLimits()
MINE = Hello(shard="arena-0", epoch=3, generation="g", protocol_version=2, fleet="arena", schema_hash=5)
THEIRS = replace(MINE, shard="arena-1", epoch=4)


@pytest.mark.parametrize(
    ("lease", "lower", "late", "dials"),
    [
        (LeaseAnswer.OURS, True, False, True),
        (LeaseAnswer.OURS, False, False, True),
        (LeaseAnswer.THEIRS, True, False, False),
        (LeaseAnswer.THEIRS, False, False, False),
        (LeaseAnswer.UNKNOWN, True, False, True),
        (LeaseAnswer.UNKNOWN, False, False, False),
        (LeaseAnswer.NONE, True, False, True),
        (LeaseAnswer.NONE, False, False, False),
        (LeaseAnswer.THEIRS, False, True, True),
        (LeaseAnswer.NONE, False, True, True),
    ],
)
def test_who_dials(lease: LeaseAnswer, lower: bool, late: bool, dials: bool) -> None:
    mine, theirs = (0, 1) if lower else (1, 0)
    missing_us = LIMITS.dial_grace_us - (not late)
    assert may_dial(lease, ordinal=mine, peer_ordinal=theirs, missing_us=missing_us, limits=LIMITS) is dials


def test_backoff_doubles_up_to_its_bound_with_jitter() -> None:
    generator = random.Random(1)
    for failures in (0, 1, 3, 10, 10_000):
        middle_us = min(LIMITS.backoff_max_us, LIMITS.backoff_min_us * 2 ** min(failures, 20))
        pauses = [backoff_us(failures, LIMITS, generator) for _ in range(50)]
        assert all(0.5 * middle_us <= pause <= 1.5 * middle_us for pause in pauses)
        assert len(set(pauses)) > 40


def test_backoff_is_the_generators_alone() -> None:
    first, second = (
        [backoff_us(n, LIMITS, generator) for n in range(9)] for generator in (random.Random(7), random.Random(7))
    )
    assert first == second


epochs = st.integers(1, 3)


@given(a_old=epochs, a_new=epochs, b_old=epochs, b_new=epochs, old=st.sampled_from("ab"), new=st.sampled_from("ab"))
def test_both_sides_keep_the_same_of_two_links(
    a_old: int, a_new: int, b_old: int, b_new: int, old: str, new: str
) -> None:
    # Shard a saw both links under its own epochs a_*, b under b_*; they may have seen them in either order.
    at_a = [LinkRank(epoch=b_old, own_epoch=a_old, dialer=old), LinkRank(epoch=b_new, own_epoch=a_new, dialer=new)]
    at_b = [LinkRank(epoch=a_old, own_epoch=b_old, dialer=old), LinkRank(epoch=a_new, own_epoch=b_new, dialer=new)]
    comparable = (a_old <= a_new and b_old <= b_new) or (a_old >= a_new and b_old >= b_new)
    if comparable and at_a[0] != at_a[1]:
        assert stays(at_a[0], at_a[1]) == stays(at_b[0], at_b[1])
        assert stays(at_a[0], at_a[1]) != stays(at_a[1], at_a[0])


def test_a_second_dial_of_the_same_side_takes_the_place_of_the_first() -> None:
    rank = LinkRank(epoch=4, own_epoch=3, dialer="arena-1")
    assert not stays(rank, rank)


def test_no_objection() -> None:
    assert find_objection(MINE, THEIRS, expected=None, names=None) is None
    assert find_objection(MINE, THEIRS, expected="arena-1", names=frozenset({"arena-1", "x"})) is None
    for version in (1, 3):
        assert find_objection(MINE, replace(THEIRS, protocol_version=version), expected=None, names=None) is None


@pytest.mark.parametrize(
    ("theirs", "expected", "names", "objection"),
    [
        (replace(THEIRS, fleet="x"), None, None, "fleet 'x' is not 'arena'"),
        (replace(THEIRS, shard="arena-0"), None, None, "both sides are shard 'arena-0'"),
        (THEIRS, "arena-2", None, "shard 'arena-1' answers where 'arena-2' was expected"),
        (THEIRS, None, frozenset({"b", "a"}), "the certificate names a, b, not 'arena-1'"),
        (THEIRS, None, frozenset(), "the certificate names nobody, not 'arena-1'"),
        (replace(THEIRS, protocol_version=4), None, None, "protocol version 4 does not talk to 2"),
        (replace(THEIRS, protocol_version=0), None, None, "protocol version 0 does not talk to 2"),
        (replace(THEIRS, generation=""), None, None, "generation '' is not 'g'"),
        (replace(THEIRS, schema_hash=6), None, None, "schema hash 00000006 is not 00000005: the columns differ"),
    ],
)
def test_objections(theirs: Hello, expected: str | None, names: frozenset[str] | None, objection: str) -> None:
    assert find_objection(MINE, theirs, expected=expected, names=names) == objection


@pytest.mark.parametrize(
    ("kind", "source", "epoch", "fits"),
    [
        ("offer", "arena-1", 4, True),
        ("offer", "arena-1", 3, False),
        ("offer", "arena-0", 4, False),
        ("final", "arena-1", None, True),
        ("final", "arena-2", None, False),
        ("answer", "arena-0", None, True),
        ("answer", "arena-1", None, False),
    ],
)
def test_who_may_send_what(kind: str, source: str, epoch: int | None, fits: bool) -> None:
    assert (find_misfit(MINE, THEIRS, frame_kind=kind, source=source, epoch=epoch) is None) is fits


class VirtualClock:
    def __init__(self) -> None:
        self.now_us = 0

    def now_unix_us(self) -> int:
        return self.now_us

    def boottime_us(self) -> int:
        return self.now_us


class Store:
    """Answers with what the test says, and takes its time."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.asked: list[LinkLease] = []
        self.reply: Reply | None = Done(outcome=Outcome.OK)

    async def execute(self, request: LinkLease) -> Reply | None:
        self.asked.append(request)
        self.clock.now_us += 1_000
        return self.reply


async def test_a_lease_is_counted_from_before_it_was_asked_for() -> None:
    clock = VirtualClock()
    store = Store(clock)
    leases = HandoffConnectionLeaseCoordinator(store.execute, hello=lambda: MINE, clock=clock, ttl_us=30_000)
    assert await leases.take("arena-1") is LeaseAnswer.OURS
    assert store.asked == [LinkLease(shard="arena-0", epoch=3, peer="arena-1", ttl_ms=30)]
    assert leases.holds("arena-1") and leases.due() == []
    clock.now_us = 9_999
    assert leases.due() == []
    clock.now_us = 10_000
    assert leases.due() == ["arena-1"]
    clock.now_us = 29_999
    assert leases.holds("arena-1")
    clock.now_us = 30_000
    assert not leases.holds("arena-1")


async def test_what_the_store_says_of_a_lease() -> None:
    clock = VirtualClock()
    store = Store(clock)
    hello: list[Hello | None] = [MINE]
    leases = HandoffConnectionLeaseCoordinator(store.execute, hello=lambda: hello[0], clock=clock, ttl_us=30_000)
    await leases.take("arena-1")
    store.reply = None
    assert await leases.take("arena-1") is LeaseAnswer.UNKNOWN and leases.holds("arena-1")
    store.reply = Refused(reason=RefusedReason.GENERATION)
    assert await leases.take("arena-1") is LeaseAnswer.UNKNOWN
    store.reply = Refused(reason=RefusedReason.HELD, detail="arena-1", wait_ms=9)
    assert await leases.take("arena-1") is LeaseAnswer.THEIRS and not leases.holds("arena-1")
    asked = len(store.asked)
    await leases.release("arena-1")  # not held: nothing to say
    hello[0] = None
    assert await leases.take("arena-1") is LeaseAnswer.UNKNOWN
    assert len(store.asked) == asked


async def test_a_lease_is_given_up_and_one_of_an_older_epoch_is_not_held() -> None:
    clock = VirtualClock()
    store = Store(clock)
    hello = [MINE]
    leases = HandoffConnectionLeaseCoordinator(store.execute, hello=lambda: hello[0], clock=clock, ttl_us=30_000)
    await leases.take("arena-1")
    hello[0] = replace(MINE, epoch=4)
    assert not leases.holds("arena-1")
    await leases.take("arena-1")
    await leases.release("arena-1")
    assert store.asked[-1] == LinkLease(shard="arena-0", epoch=4, peer="arena-1", ttl_ms=0)
    assert not leases.holds("arena-1") and leases.due() == []


def test_a_link_stands_where_either_side_takes_the_others_rows() -> None:
    old, new = MINE, replace(THEIRS, schema_hash=8, takes_schemas=(5,))
    for one, other in ((old, new), (new, old)):
        assert find_objection(one, other, expected=None, names=None) is None
    stranger = replace(new, takes_schemas=(6,))
    for one, other in ((old, stranger), (stranger, old)):
        assert "the columns differ" in str(find_objection(one, other, expected=None, names=None))


@pytest.mark.parametrize(("mine", "theirs"), [(2, 2), (2, 1), (2, 3)])
def test_the_older_protocol_version_is_spoken(mine: int, theirs: int) -> None:
    one, other = replace(MINE, protocol_version=mine), replace(THEIRS, protocol_version=theirs)
    assert find_objection(one, other, expected=None, names=None) is None
    assert negotiated_version(one, other) == negotiated_version(other, one) == min(mine, theirs)
