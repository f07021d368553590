"""The ``Shard`` service's messages as values and back. Frames of links are packets.py's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shardfleet_proto.v1 import shard_pb2 as pb

from ..core.columns import Column, Columns, Schema, first_duplicate
from ..core.manifest import schema_from_header
from ..errors import FrameError, UsageError
from .api import NewEntity, RowsView

MAX_SPAWN_ROWS = 4096
"""Entities in one spawn request: one journal entry's worth."""
MAX_WATCH_IDS = 65_536
"""Ids in one watch request; more is no picture that a person looks at."""
MAX_PART_BYTES = 4 * 1024 * 1024
"""Rows of one message of a watch; half of what gRPC lets through."""
MAX_PARTS = 1024
_BESIDE_BYTES = 1 + 8
"""A row's state and tick of arrival, beside its columns."""


# --- rows ----------------------------------------------------------------------------------------------------------


def view_to_messages(view: RowsView) -> Iterator[pb.Rows]:
    """At least one message, also for no rows."""
    schema = _schema_to_pb(view.rows.schema)
    rows_per_part = max(1, MAX_PART_BYTES // (view.rows.schema.row_size_bytes + _BESIDE_BYTES))
    parts = max(1, -(-len(view.rows) // rows_per_part))
    for part in range(parts):
        span = slice(part * rows_per_part, (part + 1) * rows_per_part)
        rows = view.rows.take(span)
        yield pb.Rows(
            tick=view.tick,
            unix_us=view.unix_us,
            shard=view.shard,
            epoch=view.epoch,
            schema=schema,
            count=len(rows),
            columns=rows.pack(),
            states=view.states[span].tobytes(),
            since_tick=view.since_tick[span].astype("<i8", copy=False).tobytes(),
            recovered_tick=view.recovered_tick,
            part=part,
            parts=parts,
        )


class ViewReader:
    """Puts the messages of a picture together."""

    def __init__(self) -> None:
        self._schema: tuple[bytes, Schema] | None = None
        self._parts: list[Columns] = []
        self._states: list[NDArray[np.uint8]] = []
        self._since: list[NDArray[np.int64]] = []
        self._head: tuple[str, int, int] | None = None

    def add(self, message: pb.Rows) -> RowsView | None:
        """The picture, with its last part; None before. Raises ``FrameError``."""
        schema = self._read_schema(message.schema)
        head = (message.shard, message.epoch, message.tick)
        if not 1 <= message.parts <= MAX_PARTS or message.part != len(self._parts):
            raise FrameError(f"part {message.part} of {message.parts} comes after {len(self._parts)} parts")
        if message.part > 0 and head != self._head:
            raise FrameError(f"part {message.part} is of {head}, the first was of {self._head}")
        states = np.frombuffer(message.states, np.uint8)
        try:
            rows = schema.unpack(message.columns, message.count)
        except ValueError as error:
            raise FrameError(f"rows: {error}") from error
        if len(states) != len(rows):
            raise FrameError(f"{len(states)} states for {len(rows)} rows")
        since = np.zeros(len(rows), np.int64)  # of a shard that does not know the field yet
        if message.since_tick:
            if len(message.since_tick) != since.nbytes:
                raise FrameError(f"{len(message.since_tick)} bytes of since_tick for {len(rows)} rows")
            since = np.frombuffer(message.since_tick, "<i8")
        self._head = head
        self._parts.append(rows)
        self._states.append(states)
        self._since.append(since)
        if len(self._parts) < message.parts:
            return None
        view = RowsView(
            tick=message.tick,
            unix_us=message.unix_us,
            shard=message.shard,
            epoch=message.epoch,
            rows=rows if message.parts == 1 else Columns.concat(schema, self._parts),
            states=states if message.parts == 1 else np.concatenate(self._states),
            since_tick=since if message.parts == 1 else np.concatenate(self._since),
            recovered_tick=message.recovered_tick,
        )
        self._parts, self._states, self._since, self._head = [], [], [], None
        return view

    def _read_schema(self, message: pb.Schema) -> Schema:
        key = message.SerializeToString(deterministic=True)
        if self._schema is not None and self._schema[0] == key:
            return self._schema[1]
        header = {
            "dimensions": message.dimensions,
            "extra": [(column.name, column.dtype, column.width) for column in message.extra],
        }
        try:
            schema = schema_from_header(header)
        except ValueError as error:
            raise FrameError(f"schema: {error}") from error
        self._schema = (key, schema)
        return schema


def _schema_to_pb(schema: Schema) -> pb.Schema:
    return pb.Schema(
        dimensions=schema.dimensions,
        extra=[pb.Column(name=name, dtype=dtype, width=width) for name, dtype, width in schema.descr[4:]],
    )


# --- new entities --------------------------------------------------------------------------------------------------


def entity_to_pb(entity: NewEntity) -> pb.Entity:
    """Raises ``UsageError`` naming the field for what no message can hold."""
    try:
        return pb.Entity(
            id=entity.id,
            position=entity.position,
            velocity=entity.velocity,
            columns={name: _values_to_pb(name, value) for name, value in entity.columns.items()},
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f"entity {entity.id}: {error}") from error


def _values_to_pb(name: str, value: float | Sequence[float]) -> pb.Values:
    values = [value] if isinstance(value, (int, float)) else list(value)
    if any(isinstance(number, float) for number in values):
        return pb.Values(reals=[float(number) for number in values])
    if all(isinstance(number, int) for number in values):
        whole = [int(number) for number in values]
        return pb.Values(naturals=whole) if min(whole, default=0) >= 0 else pb.Values(integers=whole)
    raise UsageError(f"column {name!r}: {value!r} is not a number or a row of numbers")


def entities_to_rows(entities: Sequence[pb.Entity], schema: Schema) -> Columns:
    """Rows of version 1. Raises ``UsageError`` naming the entity and the field."""
    if not 1 <= len(entities) <= MAX_SPAWN_ROWS:
        raise UsageError(f"{len(entities)} entities in one request; 1 to {MAX_SPAWN_ROWS} are allowed")
    rows = schema.empty(len(entities))
    rows.version[:] = 1
    extra = {column.name: column for column in schema.columns[4:]}
    for number, entity in enumerate(entities):
        rows.id[number] = entity.id
        for name, values in (("position", entity.position), ("velocity", entity.velocity)):
            if name == "velocity" and not values:
                continue
            if len(values) != schema.dimensions:
                raise UsageError(
                    f"entity {entity.id}: {name} has {len(values)} numbers; this world has {schema.dimensions} "
                    "dimensions"
                )
            rows[name][number] = values
        for name, given in entity.columns.items():
            if name not in extra:
                known = ", ".join(extra) or "none"
                raise UsageError(f"entity {entity.id}: no column {name!r}; this simulation's are: {known}")
            rows[name][number] = _values_from_pb(entity.id, extra[name], given)
    finite = rows.finite()
    if not finite.all():
        raise UsageError(f"entity {int(rows.id[~finite][0])}: position and velocity must be finite numbers")
    twice = first_duplicate(rows.id)
    if twice is not None:
        raise UsageError(f"entity {twice}: the id comes twice in one request")
    return rows


def _values_from_pb(entity: int, column: Column, given: pb.Values) -> Any:
    kinds = [list(numbers) for numbers in (given.reals, given.integers, given.naturals) if numbers]
    width = max(1, column.width)
    if len(kinds) != 1 or len(kinds[0]) != width:
        found = sum(len(numbers) for numbers in kinds)
        raise UsageError(f"entity {entity}: column {column.name!r} takes {width} numbers of one kind, not {found}")
    numbers = kinds[0]
    if column.dtype.kind in "iu":
        bounds = np.iinfo(column.dtype)
        if any(number != int(number) or not bounds.min <= number <= bounds.max for number in numbers):
            raise UsageError(
                f"entity {entity}: column {column.name!r} takes whole numbers from {bounds.min} to {bounds.max}"
            )
        numbers = [int(number) for number in numbers]
    return numbers if column.width else numbers[0]
