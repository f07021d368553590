"""The part of ``shardfleet simulation check`` that tries ``upgrade`` on rows of every former schema."""

from __future__ import annotations

import numpy as np

from ..core.columns import Columns, Schema
from ..core.exactness import Fault
from ..core.row_reader import RowReader
from ..core.schemas import schema_in_words
from ..errors import SimulationError


def check_upgrade(reader: RowReader, twin: RowReader, rows: Columns) -> list[Fault]:
    """Faults of ``upgrade``, none if all is well.

    Args:
        reader, twin: of two instances of the simulation.
        rows: some of today's; those of the former schemas are made from them.
    """
    faults = []
    for schema in reader.schemas[1:]:
        former = _as_they_were(rows, schema)
        try:
            message = _objection(reader, twin, former)
        except SimulationError as error:
            message = str(error)
        if message:
            faults.append(Fault(rule="upgrade", message=f"from {schema_in_words(schema)}: {message}"))
    return faults


def _as_they_were(rows: Columns, schema: Schema) -> Columns:
    """Today's rows in former columns: values stay where a column of that name and width was there, others are 0."""
    former = schema.empty(len(rows))
    for column in schema.columns:
        today = rows.arrays.get(column.name)
        if today is not None and today.shape == former[column.name].shape:
            former.arrays[column.name][...] = today.astype(column.dtype)
    return former


def _objection(reader: RowReader, twin: RowReader, former: Columns) -> str:
    """Whole, by another instance, backwards and one by one: always the same bits."""
    whole = reader.take(former)
    if twin.take(former).pack() != whole.pack():
        return "another instance gives other rows; it must depend on the former row alone"
    backwards = np.arange(len(former))[::-1]
    if reader.take(former.take(backwards)).take(backwards).pack() != whole.pack():
        return "rows in another order become other rows"
    for index in range(min(len(former), 64)):
        one = slice(index, index + 1)
        if reader.take(former.take(one)).pack() != whole.take(one).pack():
            return f"entity {int(former.id[index])} alone becomes another row than among others"
    return ""
