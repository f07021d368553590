from __future__ import annotations

import numpy as np
from shardfleet_operator.map.slots import NOWHERE, SlotTable


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def test_an_entity_keeps_its_slot_whatever_comes_and_goes() -> None:
    table = SlotTable(keep_us=100)
    first = table.take(ids(9, 2, 2**64 - 1), now_us=0)
    assert sorted(first.tolist()) == [0, 1, 2]
    later = table.take(ids(5, 2**64 - 1, 9), now_us=50)
    assert later.tolist() == [3, first[2], first[0]]
    assert table.find(ids(2, 7)).tolist() == [first[1], NOWHERE]
    assert [table.id_of(slot) for slot in later.tolist()] == [5, 2**64 - 1, 9]


def test_a_slot_is_given_again_only_after_it_was_kept() -> None:
    table = SlotTable(keep_us=100)
    (slot,) = table.take(ids(1), now_us=0).tolist()
    table.take(ids(2), now_us=100)
    assert table.expire(100).tolist() == []
    assert table.expire(101).tolist() == [slot]
    assert table.find(ids(1)).tolist() == [NOWHERE]
    assert table.take(ids(3), now_us=102).tolist() == [slot]
    assert table.size == 2


def test_the_roster_since_a_revision_names_what_got_a_slot_after_it() -> None:
    table = SlotTable(keep_us=100)
    table.take(ids(4, 6), now_us=0)
    seen = table.revision
    assert [part.tolist() for part in table.given_after(seen)] == [[], []]
    table.take(ids(4, 6, 8), now_us=10)
    assert [part.tolist() for part in table.given_after(seen)] == [[8], [2]]
    assert sorted(table.given_after(0)[0].tolist()) == [4, 6, 8]
    table.take(ids(4, 8), now_us=200)
    table.expire(200)
    assert sorted(table.given_after(0)[0].tolist()) == [4, 8]


def test_beyond_the_last_slot_entities_have_none_and_the_others_keep_theirs() -> None:
    table = SlotTable(keep_us=100, max_slots=2)
    slots = table.take(ids(1, 2, 3, 4), now_us=0)
    assert sorted(slots.tolist()) == [NOWHERE, NOWHERE, 0, 1]
    assert table.size == 2
    assert table.take(ids(1, 2), now_us=1).tolist() == slots[:2].tolist()


def test_twice_the_same_id_in_one_reading_is_one_slot() -> None:
    table = SlotTable(keep_us=100)
    assert table.take(ids(7, 7), now_us=0).tolist() == [0, 0]
    assert table.size == 1


def test_random_comings_and_goings_agree_with_a_dict() -> None:
    rng = np.random.default_rng(3)
    table, seen, slot_of = SlotTable(keep_us=5), dict[int, int](), dict[int, int]()
    for now in range(300):
        some = rng.integers(0, 60, rng.integers(1, 20)).astype(np.uint64)
        slots = table.take(some, now_us=now)
        for entity, slot in zip(some.tolist(), slots.tolist(), strict=True):
            assert slot_of.setdefault(entity, slot) == slot
            seen[entity] = now
        table.expire(now)
        for entity in [entity for entity, last in seen.items() if last < now - 5]:
            del seen[entity], slot_of[entity]
        assert len(set(slot_of.values())) == len(slot_of)
        assert sorted(table.given_after(0)[0].tolist()) == sorted(slot_of)
