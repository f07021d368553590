"""The follower's position, against the rule in words: the longest prefix, as read, whose entries are applied."""

from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.journal import JournalFollower, key_of
from shardfleet_shard.core.journal_requests import EntryKind, JournalEntry
from shardfleet_shard.core.transfer import TransferId


def entry(number: int) -> JournalEntry:
    kind = list(EntryKind)[number % 4]
    transfer = TransferId("a-0", 1, number) if kind in (EntryKind.IN, EntryKind.OUT) else None
    return JournalEntry(id=f"1-{number}", kind=kind, transfer=transfer)


ENTRIES = [entry(number) for number in range(1, 9)]


@given(
    st.lists(st.one_of(st.tuples(st.just("read"), st.integers(0, 8)), st.tuples(st.just("apply"), st.integers(0, 7))))
)
def test_position_is_the_longest_applied_prefix_of_what_was_read(steps: list[tuple[str, int]]) -> None:
    follower = JournalFollower()
    read, applied = 0, set()
    for what, number in steps:
        if what == "read":
            news = follower.read(ENTRIES[:number])
            assert [e.id for e in news] == [e.id for e in ENTRIES[read:number] if e.id not in applied]
            read = max(read, number)
        elif ENTRIES[number].id not in applied:
            applied.add(ENTRIES[number].id)
            follower.apply(key_of(ENTRIES[number]))
        prefix = 0
        while prefix < read and ENTRIES[prefix].id in applied:
            prefix += 1
        assert follower.position == (ENTRIES[prefix - 1].id if prefix else "0-0")
        assert follower.settled == (prefix == read)


def test_an_entry_behind_one_that_is_not_applied_does_not_count() -> None:
    follower = JournalFollower()
    follower.read(ENTRIES[:3])
    follower.apply(key_of(ENTRIES[2]))
    assert follower.position == "0-0"
    follower.apply(key_of(ENTRIES[0]))
    assert follower.position == ENTRIES[0].id
    follower.apply(key_of(ENTRIES[1]))
    assert follower.position == ENTRIES[2].id


def test_two_entries_of_one_transfer_are_applied_together() -> None:
    twice = [JournalEntry(id=f"1-{n}", kind=EntryKind.IN, transfer=TransferId("a-0", 1, 1)) for n in (1, 2)]
    follower = JournalFollower()
    assert follower.read(twice) == twice
    follower.apply(key_of(twice[0]))
    assert follower.position == "1-2" and not follower.applied


def test_what_was_applied_is_known_before_and_behind_the_position() -> None:
    follower = JournalFollower()
    follower.read(ENTRIES[:3])
    follower.apply(key_of(ENTRIES[0]))
    follower.apply(key_of(ENTRIES[2]))
    assert [follower.has_applied(entry) for entry in ENTRIES[:4]] == [True, False, True, False]
