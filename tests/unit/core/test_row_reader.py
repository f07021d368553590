"""Rows of former columns become rows of today's in one place, or are refused by what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from shardfleet_shard.core.columns import Columns, Schema
from shardfleet_shard.core.row_reader import RowReader
from shardfleet_shard.core.schemas import difference, schema_from_text, schema_to_text
from shardfleet_shard.errors import SchemaChanged, SimulationError

FORMER = Schema(2, np.dtype([("size", "<f4"), ("mood", "<u2", (3,)), ("kept", "<i8")]))
BARE = Schema(2)
TODAY = Schema(2, np.dtype([("kept", "<i8"), ("size", "<f8"), ("mood", "<u2", (2,)), ("age", "<u4")]))
ROWS = FORMER.rows(
    id=[5, 2**64 - 1], version=[3, 9], position=[[1.0, 2.0], [3.0, 4.0]], velocity=0.5, size=[1.5, 2.5],
    mood=[[1, 2, 3], [4, 5, 6]], kept=[-7, 8],
)  # fmt: skip


def upgrade(former: Columns, rows: Columns) -> None:
    if former.schema.extra is not None:
        rows["size"][:] = former["size"] * 2
        rows["mood"][:] = former["mood"][:, :2]


def reader(call: Callable[[Columns, Columns], Any] = upgrade) -> RowReader:
    return RowReader(TODAY, simulation="rain", former=[FORMER, BARE], upgrade=call)


def test_kept_columns_are_copied_and_the_rest_is_the_simulations() -> None:
    for rows in (reader().unpack(ROWS.pack(), 2), reader().take(ROWS)):
        assert rows.schema is TODAY
        for name in ("id", "version", "position", "velocity", "kept"):
            assert np.array_equal(rows[name], ROWS[name])
        assert rows["size"].tolist() == [3.0, 5.0] and rows["mood"].tolist() == [[1, 2], [4, 5]]
        assert rows["age"].tolist() == [0, 0]
    assert reader().takes == tuple(sorted((FORMER.hash, BARE.hash)))


def test_todays_rows_are_not_touched() -> None:
    rows = TODAY.rows(id=[1], position=0.0, age=4)
    assert reader(lambda *_: pytest.fail("upgraded")).unpack(rows.pack(), 1).pack() == rows.pack()
    assert reader().take(rows) is rows


def test_unknown_columns_are_refused_with_what_to_do() -> None:
    other = Schema(2, np.dtype([("mass", "<f8")])).rows(id=[1], position=0.0)
    with pytest.raises(SchemaChanged, match=f"schema {other.schema.hash:08x}.*'rain'.*: give the"):
        reader().unpack(other.pack(), 1)
    with pytest.raises(SchemaChanged, match="age uint32 is new, mass float64 is gone"):
        RowReader(Schema(2, np.dtype([("age", "<u4")])), simulation="rain").take(other)


def test_no_rows_are_of_every_schema() -> None:
    assert len(RowReader(TODAY, simulation="rain").take(FORMER.empty())) == 0
    assert reader(lambda *_: pytest.fail("called without rows")).unpack(FORMER.empty().pack(), 0).schema is TODAY


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda former, rows: rows["nothing"], "KeyError: 'nothing'"),
        (lambda former, rows: rows.id.fill(1), "changed an id or a version"),
        (lambda former, rows: rows.version.__setitem__(0, 0), "changed an id or a version"),
        (lambda former, rows: rows.position.fill(np.nan), "entity 5 has no finite position or velocity"),
        (lambda former, rows: former.id.fill(1), "read-only"),
    ],
)
def test_an_upgrade_that_breaks_its_contract_is_the_simulations_error(
    call: Callable[[Columns, Columns], Any], message: str
) -> None:
    with pytest.raises(SimulationError, match=f"rain.upgrade: .*{message}"):
        reader(call).unpack(ROWS.pack(), 2)


def test_a_schema_survives_its_words_and_its_differences_are_named() -> None:
    assert schema_from_text(schema_to_text(TODAY)).hash == TODAY.hash
    assert difference(FORMER, TODAY) == (
        "age uint32 is new, size float32 became size float64, mood uint16 x 3 became mood uint16 x 2"
    )
    swapped = Schema(2, np.dtype([("b", "<u4"), ("a", "<u4")]))
    assert difference(Schema(2, np.dtype([("a", "<u4"), ("b", "<u4")])), swapped) == "the order of the columns changed"
    with pytest.raises(ValueError, match="no schema"):
        schema_from_text("[]")
