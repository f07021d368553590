"""Recorded tracks: files in CSV or Parquet become sorted arrays; every fault names file, line and id.

A file holds one point a row, in columns ``id``, ``time``, ``x``, ``y`` and, for a world of three dimensions, ``z``;
other columns are ignored. Rows are sorted by track and time, or by time alone.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.columns import F64, U64

TimeUnit = Literal["s", "ms", "iso"]

_PER_SECOND: dict[str, float] = {"s": 1.0, "ms": 1e3, "iso": 1e6}
_PARQUET_SUFFIXES = (".parquet", ".pq")
_LARGEST_ID = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracks:
    """Points sorted by (id, time), and where each track begins.

    Attributes:
        ids: (tracks,) u64, ascending.
        begin: (tracks + 1,) int64: track ``k`` is points ``begin[k]`` to ``begin[k + 1] - 1``.
        seconds: (points,) f64 since the first point of all.
        points: (points, dimensions) f64, world units.
    """

    ids: U64
    begin: NDArray[np.int64]
    seconds: F64
    points: F64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    """A file's rows in the file's order; ``line`` numbers them as an editor (CSV) or a reader (Parquet) would."""

    file: str
    unit_of_rows: str
    id: U64
    time: F64
    points: F64
    line: NDArray[np.int64]

    def fault(self, row: int, message: str) -> ValueError:
        return ValueError(f"tracks {self.file} {self.unit_of_rows} {self.line[row]} (id {self.id[row]}): {message}")


def read_tracks(path: Path, *, dimensions: int, time_unit: TimeUnit) -> Tracks:
    """Reads and checks a file of tracks.

    Raises:
        ValueError: one line, first word ``tracks``: the file, where in it, and what to do.
    """
    try:
        if path.suffix.lower() in _PARQUET_SUFFIXES:
            table = _read_parquet(path, dimensions, time_unit)
        else:
            table = _read_csv(path, dimensions, time_unit)
    except FileNotFoundError:
        raise ValueError(
            f"tracks {path}: no such file (a relative path counts from the folder of the fleet's file)"
        ) from None
    except OSError as error:
        raise ValueError(f"tracks {path}: can't be read: {error.strerror or error}") from error
    if len(table.id) == 0:
        raise ValueError(f"tracks {path}: holds no points, only a header; give at least one row")
    return _checked(table)


def _checked(table: _Table) -> Tracks:
    bad = np.flatnonzero(~(np.isfinite(table.points).all(axis=1) & np.isfinite(table.time)))
    if len(bad):
        raise table.fault(int(bad[0]), "time and position must be finite numbers; leave the row out")
    # Stable: rows of one id stay in the file's order, which must be the order of time.
    order = np.argsort(table.id, kind="stable")
    ids, time = table.id[order], table.time[order]
    same = ids[1:] == ids[:-1]
    _check_times(table, order, same, time)
    _check_blocks(table)
    begin = np.concatenate(([0], np.flatnonzero(~same) + 1, [len(ids)])).astype(np.int64)
    return Tracks(ids=ids[begin[:-1]], begin=begin, seconds=time - time.min(), points=table.points[order])


def _check_times(table: _Table, order: NDArray[np.int64], same: NDArray[np.bool_], time: F64) -> None:
    wrong = np.flatnonzero(same & (time[1:] <= time[:-1]))
    if not len(wrong):
        return
    # The first in the file, which is the one that a person looks for.
    row = int(order[wrong + 1].min())
    place = int(np.flatnonzero(order == row)[0])
    if time[place] == time[place - 1]:
        message = "two points of one id at one time; drop one, or give the second track an id of its own"
    else:
        message = "its time lies before that of the id's row above; sort the file by id and time"
    raise table.fault(row, message)


def _check_blocks(table: _Table) -> None:
    """An id that comes back after other tracks, in a file that is not one stream in time, is two tracks' id."""
    if not (table.time[1:] < table.time[:-1]).any():
        return
    starts = np.concatenate(([0], np.flatnonzero(table.id[1:] != table.id[:-1]) + 1))
    _, first = np.unique(table.id[starts], return_index=True)
    again = np.setdiff1d(np.arange(len(starts)), first)
    if len(again):
        raise table.fault(
            int(starts[again[0]]),
            "the id comes again after another track's rows; give each track its own id, or sort the file by time",
        )


def _column_names(dimensions: int) -> tuple[str, ...]:
    return ("id", "time", "x", "y", "z")[: 2 + dimensions]


def _missing_columns(path: Path, wanted: Sequence[str], there: Sequence[str]) -> ValueError:
    missing = ", ".join(name for name in wanted if name not in there)
    listed = ", ".join(there) or "none"
    return ValueError(f"tracks {path}: has no column {missing} (there are: {listed}); it needs {', '.join(wanted)}")


# --- CSV -------------------------------------------------------------------------------------------------------


def _read_csv(path: Path, dimensions: int, time_unit: TimeUnit) -> _Table:
    wanted = _column_names(dimensions)
    # Arrays rather than lists of strings: a shard's memory should hold the numbers and nothing else.
    ids, lines, values = array("Q"), array("q"), array("d")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        header = [name.strip() for name in next(_rows(path, reader), [])]
        if any(name not in header for name in wanted):
            raise _missing_columns(path, wanted, header)
        parsers = [(name, header.index(name), _parser(name, time_unit)) for name in wanted]
        for row in _rows(path, reader):
            if not row:
                continue
            for name, index, parse in parsers:
                try:
                    value = parse(row[index])
                except (ValueError, IndexError):
                    said = repr(row[index]) if index < len(row) else "nothing"
                    raise ValueError(
                        f"tracks {path} line {reader.line_num}: {name} must be {_meant(name, time_unit)}, not {said}"
                    ) from None
                if name == "id":
                    ids.append(int(value))
                else:
                    values.append(value)
            lines.append(reader.line_num)
    table = np.frombuffer(values, np.float64).reshape(len(ids), 1 + dimensions)
    return _Table(
        file=str(path),
        unit_of_rows="line",
        id=np.frombuffer(ids, np.uint64),
        time=_in_seconds(table[:, 0], time_unit),
        points=np.ascontiguousarray(table[:, 1:]),
        line=np.frombuffer(lines, np.int64),
    )


def _rows(path: Path, reader: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from reader
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"tracks {path}: is no CSV text: {error}") from error


def _parser(name: str, time_unit: TimeUnit) -> Callable[[str], float]:
    if name == "id":
        return _parse_id
    return _parse_iso if name == "time" and time_unit == "iso" else float


def _parse_id(text: str) -> int:
    value = int(text)
    if not 0 <= value <= _LARGEST_ID:
        raise ValueError
    return value


def _parse_iso(text: str) -> float:
    """Microseconds since 1970; a time without a zone is UTC."""
    moment = datetime.fromisoformat(text.strip())
    since = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return float((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _in_seconds(time: F64, time_unit: TimeUnit) -> F64:
    """From the earliest time on: subtracting first keeps the digits that Unix time would push out."""
    finite = time[np.isfinite(time)]
    result: F64 = (time - (finite.min() if len(finite) else 0.0)) / _PER_SECOND[time_unit]
    return result


def _meant(name: str, time_unit: TimeUnit) -> str:
    if name == "id":
        return "a whole number from 0 to 2^64 - 1"
    if name == "time" and time_unit == "iso":
        return "a time such as 2018-08-01T05:00:00Z (timeUnit is iso)"
    return "a number"


# --- Parquet ---------------------------------------------------------------------------------------------------


def _read_parquet(path: Path, dimensions: int, time_unit: TimeUnit) -> _Table:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ValueError(
            f"tracks {path}: reading Parquet needs pyarrow: pip install shardfleet[parquet], or give a CSV file"
        ) from None
    wanted = _column_names(dimensions)
    try:
        with path.open("rb") as stream:
            file = parquet.ParquetFile(stream)
            there = file.schema_arrow.names
            if any(name not in there for name in wanted):
                raise _missing_columns(path, wanted, there)
            table = file.read(columns=list(wanted))
    except arrow.ArrowException as error:
        raise ValueError(f"tracks {path}: is no Parquet file: {str(error).splitlines()[0]}") from error
    columns = {name: table.column(name) for name in wanted}
    for name, column in columns.items():
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise ValueError(f"tracks {path} row {row + 1}: {name} is missing; leave the row out")
    if not arrow.types.is_integer(columns["id"].type):
        raise ValueError(f"tracks {path}: id must be a column of whole numbers, not {columns['id'].type}")
    ids = columns["id"].to_numpy()
    if len(ids) and ids.min() < 0:
        raise ValueError(f"tracks {path} row {int(np.argmin(ids)) + 1}: id must not be below 0")
    try:
        points = np.column_stack([columns[name].cast("float64").to_numpy() for name in wanted[2:]])
        time = _parquet_time(columns["time"], time_unit, arrow)
    except (arrow.ArrowException, ValueError) as error:
        raise ValueError(f"tracks {path}: a column is not of the right kind: {error}") from error
    return _Table(
        file=str(path),
        unit_of_rows="row",
        id=ids.astype(np.uint64),
        time=_in_seconds(time, time_unit),
        points=points.astype(np.float64),
        line=np.arange(1, len(ids) + 1),
    )


def _parquet_time(column: Any, time_unit: TimeUnit, arrow: Any) -> F64:
    """A timestamp column counts as iso, like a column of strings."""
    is_timestamp = arrow.types.is_timestamp(column.type)
    is_text = arrow.types.is_string(column.type) or arrow.types.is_large_string(column.type)
    if (is_timestamp or is_text) != (time_unit == "iso"):
        raise ValueError(f"time is {column.type}, which timeUnit {time_unit} does not fit")
    if is_text:
        return np.array([_parse_iso(text) for text in column.to_pylist()], np.float64)
    if is_timestamp:
        column = column.cast(arrow.timestamp("us", tz=column.type.tz), safe=False).cast("int64")
    result: F64 = column.cast("float64", safe=False).to_numpy()
    return result
