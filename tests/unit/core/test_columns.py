"""Schema and Columns: what goes out comes back, and a hash sees everything but the version."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfleet_shard.core.columns import Columns, Schema, first_duplicate, packed_schema_hash

KINDS = ("<i1", "<i8", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", "?", ">i4", ">f8")
FIELDS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3)), max_size=4)


def dtype_of(fields: list[tuple[str, int]]) -> np.dtype[Any] | None:
    named: list[Any] = [
        (f"c{n}", kind, (width,)) if width else (f"c{n}", kind) for n, (kind, width) in enumerate(fields)
    ]
    return np.dtype(named) if named else None


def random_rows(schema: Schema, count: int, seed: int) -> Columns:
    """Any bits whatsoever, so floats are NaN, infinite and -0.0 too; booleans are booleans."""
    rng = np.random.default_rng(seed)
    rows = schema.empty(count)
    for column in schema.columns:
        size = count * column.size_bytes
        data = rng.integers(0, 2 if column.dtype.kind == "b" else 256, size, np.uint8).tobytes()
        rows.arrays[column.name][...] = np.frombuffer(data, column.dtype).reshape(rows[column.name].shape)
    return rows


@given(st.sampled_from([2, 3]), FIELDS, st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_packed_rows_come_back_bit_for_bit(
    dimensions: int, fields: list[tuple[str, int]], count: int, seed: int
) -> None:
    schema = Schema(dimensions, dtype_of(fields))
    rows = random_rows(schema, count, seed)
    data = rows.pack()
    assert len(data) == schema.packed_size_bytes(count) == count * schema.row_size_bytes + 4
    back = schema.unpack(data, count)
    assert len(back) == count and back.pack() == data
    for column in schema.columns:
        assert back[column.name].dtype == column.dtype and back[column.name].shape == rows[column.name].shape
        assert not back[column.name].flags.writeable
    assert schema.unpack(memoryview(data), count).pack() == data


def test_packed_rows_are_columns_in_schema_order_little_endian() -> None:
    schema = Schema(2, np.dtype([("mass", ">u2")]))
    rows = schema.rows(id=[1, 2], version=[3, 4], position=[[0.5, 1.0], [2.0, 4.0]], velocity=0.0, mass=[258, 1])
    expected = (
        np.array([1, 2], "<u8").tobytes()
        + np.array([3, 4], "<u4").tobytes()
        + np.array([0.5, 1.0, 2.0, 4.0], "<f8").tobytes()
        + bytes(32)
        + bytes([2, 1, 1, 0])
        + schema.hash.to_bytes(4, "little")
    )
    assert rows.pack() == expected


@given(st.integers(0, 5), st.integers(-3, 3).filter(bool))
def test_bytes_of_another_length_are_refused(count: int, wrong: int) -> None:
    schema = Schema(3)
    data = bytes(max(0, schema.packed_size_bytes(count) + wrong))
    with pytest.raises(ValueError, match=f"are not {count} rows of {schema.row_size_bytes} bytes"):
        schema.unpack(data, count)


def test_rows_of_other_columns_are_refused_even_where_the_size_is_the_same() -> None:
    old, new = Schema(2, np.dtype([("size", "<f4")])), Schema(2, np.dtype([("mass", "<f4")]))
    packed = old.rows(id=[1, 2], position=0.0, size=3.0).pack()
    assert packed_schema_hash(packed) == old.hash and old.row_size_bytes == new.row_size_bytes
    with pytest.raises(ValueError, match=f"of schema {old.hash:08x}, not of {new.hash:08x}: the columns differ"):
        new.unpack(packed, 2)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 rows"):
        Schema(2).unpack(b"", -1)


@settings(max_examples=50)
@given(FIELDS, st.integers(0, 2**32 - 1), st.data())
def test_a_hash_ignores_the_version_and_sees_every_other_bit(
    fields: list[tuple[str, int]], seed: int, data: st.DataObject
) -> None:
    schema = Schema(2, dtype_of(fields))
    rows = random_rows(schema, 5, seed)
    before = rows.hashes()
    assert before.dtype == np.uint64 and before.shape == (5,)
    newer = rows.copy()
    newer.version[:] += np.uint32(1)
    assert np.array_equal(newer.hashes(), before)
    for column in schema.columns:
        if column.name == "version":
            continue
        changed = rows.copy()
        row = data.draw(st.integers(0, 4))
        raw = changed[column.name][row : row + 1].view(np.uint8).reshape(-1)
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= 1 if column.dtype.kind == "b" else 1 << data.draw(st.integers(0, 7))
        differs = changed.hashes() != before
        assert differs.tolist() == [index == row for index in range(5)], column.name


@given(st.integers(0, 2**32 - 1))
def test_a_hash_is_the_row_s_own_whatever_stands_beside_it(seed: int) -> None:
    schema = Schema(3, np.dtype([("mass", "<f4"), ("spin", "<f8", (2,))]))
    rows = random_rows(schema, 7, seed)
    whole = rows.hashes()
    order = np.random.default_rng(seed).permutation(7)
    assert np.array_equal(rows.take(order).hashes(), whole[order])
    assert [int(rows.take(slice(n, n + 1)).hashes()[0]) for n in range(7)] == whole.tolist()
    assert np.array_equal(schema.unpack(rows.pack(), 7).hashes(), whole)


def test_swapped_values_do_not_cancel_out() -> None:
    schema = Schema(2)
    first = schema.rows(id=1, position=[[1.0, 2.0]], velocity=[[3.0, 4.0]]).hashes()
    for position, velocity in (([2.0, 1.0], [3.0, 4.0]), ([3.0, 4.0], [1.0, 2.0]), ([1.0, 2.0], [4.0, 3.0])):
        assert schema.rows(id=1, position=[position], velocity=[velocity]).hashes() != first


@pytest.mark.parametrize("dimensions", [0, 1, 4])
def test_worlds_have_two_or_three_dimensions(dimensions: int) -> None:
    with pytest.raises(ValueError, match=f"not {dimensions}"):
        Schema(dimensions)


@pytest.mark.parametrize(
    ("field", "named"),
    [
        (("name", "U8"), "name"),
        (("blob", "S4"), "blob"),
        (("thing", "O"), "thing"),
        (("when", "<M8[s]"), "when"),
        (("phase", "<c16"), "phase"),
        (("wide", np.longdouble), "wide"),
        (("matrix", "<f8", (2, 2)), "matrix"),
        (("nothing", "<f8", (0,)), "nothing"),
        (("inner", [("x", "<f8")]), "inner"),
    ],
)
def test_columns_that_are_no_plain_numbers_are_refused_by_name(field: Any, named: str) -> None:
    with pytest.raises(ValueError, match=f"'{named}'"):
        Schema(2, np.dtype([field]))


@pytest.mark.parametrize("taken", ["id", "version", "position", "velocity"])
def test_a_column_must_not_take_a_built_in_name(taken: str) -> None:
    with pytest.raises(ValueError, match="must not be called"):
        Schema(2, np.dtype([(taken, "<f8")]))


def test_a_dtype_without_names_is_no_set_of_columns() -> None:
    with pytest.raises(ValueError, match="structured"):
        Schema(2, np.dtype("<f8"))
    assert Schema(2, np.dtype([])).descr == Schema(2).descr


def test_two_schemas_agree_by_hash_only_if_their_columns_do() -> None:
    plain = Schema(2)
    others = [
        Schema(3),
        Schema(2, np.dtype([("a", "<f8")])),
        Schema(2, np.dtype([("a", "<f4")])),
        Schema(2, np.dtype([("b", "<f8")])),
        Schema(2, np.dtype([("a", "<f8", (1,))])),
        Schema(2, np.dtype([("a", "<f8"), ("b", "<f8")])),
        Schema(2, np.dtype([("b", "<f8"), ("a", "<f8")])),
    ]
    assert len({schema.hash for schema in [plain, *others]}) == 1 + len(others)
    assert Schema(2, np.dtype([("a", ">f8")])).hash == others[1].hash


def test_rows_from_what_numpy_can_broadcast() -> None:
    schema = Schema(2, np.dtype([("mass", "<f4")]))
    rows = schema.rows(id=range(1, 4), position=(1.0, 2.0), mass=[1, 2, 3])
    assert rows.id.tolist() == [1, 2, 3] and rows.version.tolist() == [1, 1, 1]
    assert rows.position.tolist() == [[1.0, 2.0]] * 3 and rows.velocity.tolist() == [[0.0, 0.0]] * 3
    assert rows.to_dicts()[2] == {
        "id": 3, "version": 1, "position": [1.0, 2.0], "velocity": [0.0, 0.0], "mass": 3.0,
    }  # fmt: skip
    with pytest.raises(ValueError, match="no column 'colour'; there are id, version, position, velocity, mass"):
        schema.rows(id=1, position=(0, 0), colour=3)
    with pytest.raises(ValueError):
        schema.rows(id=[1, 2, 3], position=np.zeros((2, 2)))


def test_copies_are_copies_and_a_raised_version_shares_the_rest() -> None:
    rows = Schema(2).rows(id=[1, 2], position=np.ones((2, 2)))
    raised = rows.with_version_raised()
    assert raised.version.tolist() == [2, 2] and rows.version.tolist() == [1, 1]
    assert raised.position is rows.position
    copy = rows.copy()
    copy.position[:] = 9.0
    assert rows.position.tolist() == [[1.0, 1.0]] * 2
    taken = rows.take(np.array([True, False]))
    taken.position[:] = 9.0
    assert rows.position.tolist() == [[1.0, 1.0]] * 2


@given(st.lists(st.integers(0, 4), max_size=5))
def test_concat_holds_whatever_sizes_come(counts: list[int]) -> None:
    schema = Schema(2, np.dtype([("mass", "<f4")]))
    parts = [random_rows(schema, count, number) for number, count in enumerate(counts)]
    whole = Columns.concat(schema, parts)
    assert len(whole) == sum(counts)
    assert [part.pack() for part in parts] == [
        whole.take(slice(sum(counts[:n]), sum(counts[: n + 1]))).pack() for n in range(len(counts))
    ]


def test_finite_looks_at_position_and_velocity() -> None:
    rows = Schema(2, np.dtype([("mass", "<f8")])).rows(id=range(4), position=np.zeros((4, 2)), mass=np.nan)
    rows.position[1, 1] = np.inf
    rows.velocity[2, 0] = np.nan
    assert rows.finite().tolist() == [True, False, False, True]


@given(st.lists(st.integers(0, 5), max_size=8))
def test_the_first_duplicate_is_the_smallest_id_that_is_there_twice(ids: list[int]) -> None:
    twice = [i for i in ids if ids.count(i) > 1]
    assert first_duplicate(np.array(ids, np.uint64)) == (min(twice) if twice else None)
