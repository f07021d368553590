"""OwnershipElection: who looks when, and the rule that Redis follows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.election import OwnershipElection, choose
from shardfleet_shard.core.requests import Elected, Member
from shardfleet_shard.store.memory import MemoryStore

SHARDS = ("a-0", "a-1", "a-2")
INTERVAL_US = 2_000_000

MEMBERS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.booleans()), max_size=3, unique_by=lambda m: m[0])


def members_of(drawn: list[tuple[int, int, bool]]) -> list[Member]:
    return [
        Member(shard=SHARDS[number], ordinal=number, epoch=epoch, address="", living=living)
        for number, epoch, living in drawn
    ]


@given(MEMBERS, st.tuples(st.sampled_from(["", *SHARDS]), st.integers(0, 3)))
def test_a_living_holder_keeps_it_else_the_lowest_living_ordinal_has_it(
    drawn: list[tuple[int, int, bool]], holder: tuple[str, int]
) -> None:
    members = members_of(drawn)
    chosen = choose(holder, members)
    living = {(m.shard, m.epoch) for m in members if m.living}
    if holder in living:
        assert chosen == holder
    elif living:
        assert chosen in living and all(chosen[0] <= shard for shard, _ in living)
    else:
        assert chosen == ("", 0)


@given(MEMBERS, st.integers(0, 2))
def test_redis_comes_to_the_same_once_everybody_has_looked(drawn: list[tuple[int, int, bool]], holder: int) -> None:
    from shardfleet_shard.core.requests import Elect, Join

    store = MemoryStore(run_id="run", now_ms=lambda: 0)
    store.execute(Join(founds=True), generation="")
    members = members_of(drawn)
    for member in members:
        store.state.epochs[member.shard] = member.epoch
        store.state.members[member.shard] = (member.ordinal, member.epoch, "")
        if member.living:
            store.state.leases[member.shard] = (member.epoch, 9_000)
    held = (SHARDS[holder], 2)
    store.state.election = (held, 5_000)
    for member in members:
        if member.living:
            store.execute(Elect(shard=member.shard, epoch=member.epoch, ttl_ms=5_000), generation="run")
    if any(member.living for member in members):
        assert store.state.election is not None
        assert store.state.election[0] == choose(held, members)


def test_it_looks_at_an_interval_and_sooner_when_there_is_nobody_or_something_changed() -> None:
    election = OwnershipElection("a-0", INTERVAL_US)
    assert election.ttl_ms == 5_000 and election.look_due(0)
    election.sent()
    assert not election.look_due(10**12)
    election.answered(Elected(shard="a-1", epoch=4), 100)
    assert not election.look_due(99 + INTERVAL_US) and election.look_due(100 + INTERVAL_US)
    election.look_soon(200)
    assert election.look_due(200) and not election.look_due(199)
    election.look_soon(500)
    assert election.look_due(200)  # not put off
    election.sent()
    election.answered(None, 300)
    assert election.holder == "a-1" and election.look_due(300 + INTERVAL_US // 8)
    election.answered(Elected(shard="", epoch=0), 300)
    assert election.holder == "" and election.look_due(300 + INTERVAL_US // 8)


def test_the_stream_belongs_to_one_epoch_of_one_shard() -> None:
    election = OwnershipElection("a-0", INTERVAL_US)
    assert not election.owns_stream(0)
    election.answered(Elected(shard="a-0", epoch=4), 0)
    assert election.owns_stream(4) and not election.owns_stream(5)
    election.answered(Elected(shard="a-1", epoch=4), 0)
    assert not election.owns_stream(4)
