"""Schemas of one fleet over time: put into words, compared, and what to say where they do not fit."""

from __future__ import annotations

import json

from ..errors import SchemaChanged
from .columns import Column, Schema
from .manifest import schema_from_header, schema_to_header

SCHEMA_CHANGED = "SchemaChanged"
"""The condition's reason; the words of a shard that cannot join begin with it."""
WAY_OUT = "give the simulation an upgrade from the fleet's columns, or put its old image (version) back"


def schema_to_text(schema: Schema) -> str:
    """JSON, as Redis keeps it for people and messages."""
    return json.dumps(schema_to_header(schema), separators=(",", ":"))


def schema_from_text(text: str) -> Schema:
    """The reverse. Raises ``ValueError``."""
    try:
        return schema_from_header(json.loads(text))
    except ValueError as error:
        raise ValueError(f"no schema: {text[:200]}") from error


def column_in_words(column: Column) -> str:
    """'size float64', 'wheels float32 x 4'."""
    return f"{column.name} {column.dtype.name}" + (f" x {column.width}" if column.width else "")


def schema_in_words(schema: Schema) -> str:
    """The simulation's own columns, or 'no columns of its own'."""
    return ", ".join(map(column_in_words, schema.columns[4:])) or "no columns of its own"


def difference(old: Schema, new: Schema) -> str:
    """What changed from ``old`` to ``new``, column by column."""
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    words = [f"{column_in_words(after[name])} is new" for name in after if name not in before]
    words += [f"{column_in_words(before[name])} is gone" for name in before if name not in after]
    words += [
        f"{column_in_words(before[name])} became {column_in_words(after[name])}"
        for name in before
        if name in after and column_in_words(before[name]) != column_in_words(after[name])
    ]
    return ", ".join(words) or "the order of the columns changed"


def schema_changed(fleet: Schema, simulation: Schema, *, name: str) -> SchemaChanged:
    """What a shard says whose simulation ``name`` has other columns than the fleet's entities."""
    return SchemaChanged(
        f"{SCHEMA_CHANGED}: {difference(fleet, simulation)}; the fleet has {schema_in_words(fleet)}, "
        f"simulation {name!r} has {schema_in_words(simulation)}: {WAY_OUT}"
    )
