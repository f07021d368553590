"""Entities as NumPy columns.

``Schema`` says which columns there are; ``Columns`` holds n rows of them. A batch on the wire, in a journal
or in a manifest is ``Columns.pack()``: each column's little-endian bytes, one after the other, in schema
order, and then the schema's hash, so that rows of other columns are never taken for
these. Nothing here knows who owns a row; see authority.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

_WORDS = {size: np.dtype(f"<u{size}") for size in (1, 2, 4, 8)}
"""Unsigned integers by their size in bytes, to look at a column's bits with."""
_MIX, _HALF = np.uint64(0xD6E8FEB86659FD93), np.uint64(32)
"""Of a row's hash."""

BUILT_IN_COLUMNS = ("id", "version", "position", "velocity")
ALLOWED_KINDS = "iufb"  # numbers only: fixed width, no objects, no strings
MAX_ITEM_BYTES = 8  # a longdouble has other bits on other machines, and no hash
TRAILER_BYTES = 4
"""Behind packed rows: their schema's hash, little-endian."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``dtype`` is scalar and little-endian; ``width`` is 0 for (n,), else (n, width)."""

    name: str
    dtype: np.dtype[Any]
    width: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes a row."""
        return int(self.dtype.itemsize) * max(1, self.width)


@dataclass(frozen=True)
class Schema:
    """The columns of a world: id u64, version u32, position and velocity f64 x dimensions, then the simulation's.

    Args:
        dimensions: 2 or 3.
        extra: the simulation's ``dtype``: a NumPy structured dtype, or None for no extra columns.
    Raises:
        ValueError: other dimensions, a column that is not a plain number, or a name that is taken.
    """

    dimensions: int
    extra: np.dtype[Any] | None = None

    def __post_init__(self) -> None:
        if self.dimensions not in (2, 3):
            raise ValueError(f"dimensions must be 2 or 3, not {self.dimensions}")
        if len({column.name for column in self.columns}) != len(self.columns):
            raise ValueError(f"a simulation's column must not be called one of {BUILT_IN_COLUMNS}")

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        built_in = [
            Column("id", np.dtype("<u8")),
            Column("version", np.dtype("<u4")),
            Column("position", np.dtype("<f8"), self.dimensions),
            Column("velocity", np.dtype("<f8"), self.dimensions),
        ]
        extra = []
        if self.extra is not None:
            if self.extra.names is None:
                raise ValueError(f"a simulation's dtype must be structured: [(name, type), ...], not {self.extra}")
            for name in self.extra.names:
                base, shape = self.extra[name].base, self.extra[name].shape
                plain = base.kind in ALLOWED_KINDS and base.itemsize <= MAX_ITEM_BYTES
                if not plain or len(shape) > 1 or shape == (0,):
                    raise ValueError(f"column {name!r}: {self.extra[name]} is not a number or a row of numbers")
                extra.append(Column(name, base.newbyteorder("<"), shape[0] if shape else 0))
        return tuple(built_in + extra)

    @cached_property
    def row_size_bytes(self) -> int:
        return sum(column.size_bytes for column in self.columns)

    @cached_property
    def descr(self) -> list[tuple[str, str, int]]:
        """(name, NumPy type string, width) a column; goes into manifests and traces."""
        return [(column.name, column.dtype.str, column.width) for column in self.columns]

    @cached_property
    def hash(self) -> int:
        """32 bits; names the schema on links, in Redis, and behind every batch of packed rows."""
        return zlib.crc32(repr(self.descr).encode())

    def packed_size_bytes(self, count: int) -> int:
        """What ``count`` packed rows take."""
        return count * self.row_size_bytes + TRAILER_BYTES

    def empty(self, count: int = 0) -> Columns:
        """``count`` rows of zeros."""
        return Columns(
            self,
            {
                column.name: np.zeros((count, column.width) if column.width else count, column.dtype)
                for column in self.columns
            },
        )

    def rows(self, *, id: Any, position: Any, version: Any = 1, velocity: Any = 0.0, **extra: Any) -> Columns:
        """Rows from whatever NumPy can broadcast to n rows; columns left out are zero.

        Raises:
            ValueError: a shape or a name that does not fit.
        """
        ids = np.atleast_1d(np.asarray(id, dtype="<u8"))
        rows = self.empty(len(ids))
        rows.id[:] = ids
        for name, value in {"version": version, "position": position, "velocity": velocity, **extra}.items():
            if name not in rows.arrays:
                raise ValueError(f"no column {name!r}; there are {', '.join(rows.arrays)}")
            rows.arrays[name][...] = value
        return rows

    def unpack(self, data: bytes | memoryview, count: int) -> Columns:
        """The reverse of ``Columns.pack``; the arrays are read-only views of ``data``.

        Raises:
            ValueError: ``data`` is not exactly ``count`` rows long, or is of another schema.
        """
        if count < 0 or len(data) != self.packed_size_bytes(count):
            raise ValueError(f"{len(data)} bytes are not {count} rows of {self.row_size_bytes} bytes")
        if (named := packed_schema_hash(data)) != self.hash:
            raise ValueError(f"the rows are of schema {named:08x}, not of {self.hash:08x}: the columns differ")
        arrays: dict[str, NDArray[Any]] = {}
        offset = 0
        for column in self.columns:
            values = count * max(1, column.width)
            array = np.frombuffer(data, column.dtype, values, offset)
            arrays[column.name] = array.reshape(count, column.width) if column.width else array
            offset += count * column.size_bytes
        return Columns(self, arrays)


class Columns:
    """n rows as parallel arrays. ``rows.position`` is (n, dimensions) f64; ``rows["mass"]`` an extra column.

    Operations return new rows. Arrays of unpacked rows are read-only.
    """

    __slots__ = ("arrays", "schema")

    def __init__(self, schema: Schema, arrays: dict[str, NDArray[Any]]) -> None:
        self.schema = schema
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays["id"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    def __repr__(self) -> str:
        return f"Columns({len(self)} rows of {', '.join(self.arrays)})"

    @property
    def id(self) -> U64:
        return self.arrays["id"]

    @property
    def version(self) -> U32:
        return self.arrays["version"]

    @property
    def position(self) -> F64:
        return self.arrays["position"]

    @property
    def velocity(self) -> F64:
        return self.arrays["velocity"]

    def take(self, index: Any) -> Self:
        """Rows by a mask (n,) bool or by positions (m,) int, as copies; or by a slice, as views."""
        if isinstance(index, slice):
            return type(self)(self.schema, {name: array[index] for name, array in self.arrays.items()})
        positions = positions_of(index)
        return type(self)(self.schema, {name: array.take(positions, axis=0) for name, array in self.arrays.items()})

    def copy(self) -> Self:
        return type(self)(self.schema, {name: array.copy() for name, array in self.arrays.items()})

    def with_version_raised(self) -> Self:
        """The same rows one handoff later: version + 1, a new array; the other columns are shared."""
        return type(self)(self.schema, {**self.arrays, "version": self.version + np.uint32(1)})

    @classmethod
    def concat(cls, schema: Schema, parts: Sequence[Columns]) -> Columns:
        """All rows of all parts, in order, in new arrays."""
        if not parts:
            return schema.empty()
        return Columns(
            schema,
            {column.name: np.concatenate([part.arrays[column.name] for part in parts]) for column in schema.columns},
        )

    def pack(self) -> bytes:
        """``schema.packed_size_bytes(len(self))`` bytes."""
        columns = [
            np.ascontiguousarray(self.arrays[column.name], column.dtype).tobytes() for column in self.schema.columns
        ]
        return b"".join([*columns, self.schema.hash.to_bytes(TRAILER_BYTES, "little")])

    def hashes(self) -> U64:
        """One 64-bit hash a row over all its columns but ``version``, bit for bit; shape (n,).

        The version has a field of its own wherever a hash is stored, and leaving it out makes the row that
        the target starts from equal to the row that the source ended with.
        """
        result = np.full(len(self), 0x9E3779B97F4A7C15, np.uint64)
        for column in self.schema.columns:
            if column.name == "version":
                continue
            words = self.arrays[column.name].view(_WORDS[column.dtype.itemsize])
            for part in words.T if column.width else (words,):
                result ^= part
                result *= _MIX
                result ^= result >> _HALF
        return result

    def finite(self) -> Mask:
        """Which rows have finite position and velocity; shape (n,) bool."""
        if np.isfinite(self.position).all() and np.isfinite(self.velocity).all():
            return np.ones(len(self), bool)  # as nearly always; asking row by row takes thirty times as long
        return np.asarray(np.isfinite(self.position).all(1) & np.isfinite(self.velocity).all(1))

    def to_dicts(self) -> list[dict[str, Any]]:
        """For people and JSON only; never on the tick's path."""
        return [{name: array[row].tolist() for name, array in self.arrays.items()} for row in range(len(self))]


def positions_of(index: Any) -> NDArray[np.int64]:
    """A mask (n,) as positions (m,) int, or positions as they are.

    NumPy takes rows of two-dimensional arrays by positions ten times as fast as by a mask, and counts the mask anew for
    each array.
    """
    array = np.asarray(index)
    if array.dtype == bool:
        return np.flatnonzero(array)
    return array if len(array) else array.astype(np.int64)


def packed_schema_hash(data: bytes | memoryview) -> int:
    """Which schema packed rows are of. Too short to say: 0."""
    return int.from_bytes(data[-TRAILER_BYTES:], "little") if len(data) >= TRAILER_BYTES else 0


def first_duplicate(ids: U64) -> int | None:
    """The smallest id that stands in ``ids`` twice, or None."""
    ordered = np.sort(ids)
    twice = ordered[:-1][ordered[1:] == ordered[:-1]]
    return int(twice[0]) if len(twice) else None
