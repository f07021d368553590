"""A set of ids against Python's own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_shard.core.id_set import IdSet

IDS = st.lists(st.integers(0, 40) | st.integers(2**64 - 3, 2**64 - 1), unique=True, max_size=12)


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "look"]), IDS), max_size=30))
def test_it_is_a_set(operations: list[tuple[str, list[int]]]) -> None:
    ids, oracle = IdSet(), set[int]()
    for name, chosen in operations:
        batch = np.array(chosen, np.uint64)
        if name == "add":
            refused = ids.add(batch)
            assert refused == min(oracle.intersection(chosen), default=None)
            if refused is None:
                oracle.update(chosen)
        elif name == "remove":
            ids.remove(batch)
            oracle.difference_update(chosen)
        assert ids.among(batch).tolist() == [entity in oracle for entity in chosen]
        assert all((entity in ids) == (entity in oracle) for entity in chosen)
        assert len(ids) == len(oracle)
