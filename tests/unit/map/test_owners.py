from __future__ import annotations

import numpy as np
from shardfleet_operator.map.owners import MAX_TOLD, OwnerLog


def append(log: OwnerLog, unix_us: int, *changes: tuple[int, int, int]) -> None:
    slots, owners, versions = zip(*changes, strict=True)
    log.append(unix_us, np.array(slots, np.int64), np.array(owners, np.uint16), np.array(versions, np.uint32))


def test_the_changes_of_one_entity_in_order() -> None:
    log = OwnerLog()
    append(log, 10, (1, 0, 2), (4, 3, 7))
    append(log, 20, (4, 2, 8))
    assert [tuple(change) for change in log.of(4)] == [(10, 3, 7), (20, 2, 8)]
    assert log.of(9) == []


def test_what_was_before_the_slot_was_given_is_anothers() -> None:
    log = OwnerLog()
    append(log, 10, (4, 3, 7))
    append(log, 30, (4, 1, 2))
    assert [change.unix_us for change in log.of(4, since_us=20)] == [30]


def test_a_full_ring_forgets_the_oldest_and_keeps_the_order() -> None:
    log = OwnerLog(capacity=8)
    for at in range(1, 21):
        append(log, at, (at % 2, at, at))
    assert len(log) == 8
    assert [change.unix_us for change in log.of(0)] == [14, 16, 18, 20]
    assert [change.unix_us for change in log.of(1)] == [13, 15, 17, 19]


def test_more_at_once_than_the_ring_holds() -> None:
    log = OwnerLog(capacity=4)
    append(log, 1, *[(slot, slot, 1) for slot in range(10)])
    assert [log.of(slot)[0].owner for slot in range(6, 10)] == [6, 7, 8, 9]
    assert log.of(5) == []


def test_of_one_entity_only_so_many_are_told_the_newest() -> None:
    log = OwnerLog()
    for at in range(MAX_TOLD + 5):
        append(log, at, (0, 1, at))
    told = log.of(0)
    assert (len(told), told[0].unix_us, told[-1].unix_us) == (MAX_TOLD, 5, MAX_TOLD + 4)


def test_its_memory_is_bounded() -> None:
    log = OwnerLog(capacity=1000)
    for at in range(50):
        append(log, at, *[(slot, 0, 0) for slot in range(100)])
    assert log.size_bytes <= 1000 * 22
