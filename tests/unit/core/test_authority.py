"""The tracker against a plain dictionary of rows."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.authority import EntityAuthorityTracker
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.manifest import AUTHORITATIVE, FROZEN, PASSING
from shardfleet_shard.errors import InvariantError

SCHEMA = Schema(2, np.dtype([("mass", "<f4")]))


@dataclass
class Row:
    version: int
    since: int
    state: int = AUTHORITATIVE
    transfer: int = 0
    not_before: int = 0


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["add", "begin", "freeze", "resume", "release"]), st.integers(0, 7), st.integers(1, 4)),
    max_size=40,
)


@given(OPERATIONS)
def test_it_does_what_a_dictionary_would(operations: list[tuple[str, int, int]]) -> None:
    tracker = EntityAuthorityTracker(SCHEMA)
    oracle: dict[int, Row] = {}
    fresh = 0
    for name, number, sequence in operations:
        mine = [entity for entity, row in oracle.items() if row.transfer == sequence]
        if name == "add":
            ids = list(range(fresh, fresh + number))
            fresh += number
            rows = SCHEMA.rows(id=ids, position=np.zeros((number, 2)), version=sequence, mass=ids)
            tracker.add(rows, since_tick=fresh)
            oracle.update({entity: Row(sequence, fresh) for entity in ids})
        elif name == "begin" and not mine:
            chosen = [entity for entity, row in oracle.items() if row.transfer == 0][:number]
            index = np.flatnonzero(tracker.mask_of(np.array(chosen, np.uint64)))
            tracker.begin(index, sequence)
            for entity in chosen:
                oracle[entity].state, oracle[entity].transfer = PASSING, sequence
        elif name == "freeze":
            tracker.freeze(sequence)
            for entity in mine:
                oracle[entity].state = FROZEN
        elif name == "resume":
            rows = tracker.resume(sequence, not_before_tick=number)
            assert sorted(rows.id.tolist()) == sorted(mine)
            for entity in mine:
                oracle[entity].state, oracle[entity].transfer = AUTHORITATIVE, 0
                oracle[entity].not_before = number
        elif name == "release":
            gone, left_by = tracker.release([sequence])
            assert sorted(gone.id.tolist()) == sorted(mine)
            assert left_by.tolist() == [sequence] * len(mine)
            for entity in mine:
                del oracle[entity]
        found = zip(
            tracker.rows.version.tolist(),
            tracker.since_tick.tolist(),
            tracker.states.tolist(),
            tracker.transfers.tolist(),
            tracker.not_before_tick.tolist(),
            strict=True,
        )
        assert {entity: Row(*row) for entity, row in zip(tracker.rows.id.tolist(), found, strict=True)} == oracle
        assert tracker.rows["mass"].tolist() == tracker.rows.id.tolist()
        leaving = tracker.rows_of(sequence).id.tolist()
        assert leaving == sorted(entity for entity, row in oracle.items() if row.transfer == sequence)
        assert len(tracker.ids) == len(oracle)
        assert all(entity in tracker.ids for entity in oracle)
        assert tracker.frozen_count == sum(row.state == FROZEN for row in oracle.values())


def test_an_entity_cannot_be_here_twice() -> None:
    tracker = EntityAuthorityTracker(SCHEMA)
    tracker.add(SCHEMA.rows(id=[1, 2], position=np.zeros((2, 2))), since_tick=1)
    with pytest.raises(InvariantError, match="entity 2 is here already"):
        tracker.add(SCHEMA.rows(id=[2, 3], position=np.zeros((2, 2))), since_tick=1)


def test_a_step_that_is_not_swapped_in_never_happened() -> None:
    tracker = EntityAuthorityTracker(SCHEMA)
    tracker.add(SCHEMA.rows(id=[1], position=[[1.0, 2.0]]), since_tick=1)
    tracker.back_buffer().position[:] = 9.0
    assert tracker.rows.position.tolist() == [[1.0, 2.0]]
    tracker.back_buffer().position[:] = 9.0
    tracker.swap()
    assert tracker.rows.position.tolist() == [[9.0, 9.0]]


def test_another_array_in_a_columns_place_counts_as_its_values() -> None:
    tracker = EntityAuthorityTracker(SCHEMA)
    tracker.add(SCHEMA.rows(id=[1, 2], position=np.zeros((2, 2))), since_tick=1)
    rows = tracker.back_buffer()
    rows.arrays["mass"] = np.array([3.0, 4.0])
    tracker.swap()
    assert tracker.rows["mass"].tolist() == [3.0, 4.0] and tracker.rows["mass"].dtype == np.float32
