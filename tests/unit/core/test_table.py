"""Columns that grow and shrink in place, against a list of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.table import MIN_ROOM, Table


def empty() -> Table:
    return Table({"id": np.zeros(0, np.uint64), "position": np.zeros((0, 2)), "state": np.zeros(0, np.uint8)})


def rows_of(table: Table) -> set[tuple[int, float, float, int]]:
    columns = table.columns()
    found = zip(columns["id"].tolist(), *columns["position"].T.tolist(), columns["state"].tolist(), strict=True)
    return set(found)


@given(st.data())
def test_rows_come_and_go(data: st.DataObject) -> None:
    table, oracle, fresh = empty(), dict[int, tuple[int, float, float, int]](), 0
    for _ in range(data.draw(st.integers(1, 12))):
        count = data.draw(st.integers(0, 3 * MIN_ROOM))
        ids = np.arange(fresh, fresh + count)
        fresh += count
        state = data.draw(st.integers(0, 3))
        table.append({"id": ids, "position": np.stack([ids, -ids], 1), "state": state}, count)
        oracle.update({n: (n, float(n), float(-n), state) for n in ids.tolist()})
        share = data.draw(st.sampled_from([0.0, 0.1, 0.9, 1.0]))
        gone = np.flatnonzero(np.random.default_rng(fresh).random(len(table)) < share)
        for entity in table.columns()["id"][gone].tolist():
            del oracle[entity]
        table.drop(gone)
        assert rows_of(table) == set(oracle.values()) and len(table) == len(oracle)


def test_a_copy_has_memory_of_its_own() -> None:
    table, other = empty(), empty()
    table.append({"id": [1, 2], "position": 1.0, "state": 0}, 2)
    other.append({"id": [7, 8, 9], "position": 2.0, "state": 1}, 3)
    other.become(table)
    table.columns()["position"][:] = 5.0
    assert rows_of(other) == {(1, 1.0, 1.0, 0), (2, 1.0, 1.0, 0)}


@pytest.mark.parametrize("count", [10, 10 * MIN_ROOM])
def test_a_crowd_that_has_gone_leaves_no_memory_behind(count: int) -> None:
    table = empty()
    table.append({"id": range(count), "position": 0.0, "state": 0}, count)
    table.drop(np.arange(count - 1))
    assert table.columns()["id"].tolist() == [count - 1]
    base = table.columns()["id"].base
    assert base is not None and len(base) <= 2 * MIN_ROOM
