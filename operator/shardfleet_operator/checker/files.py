"""Finds the files of a trace, reads their headers, and makes one pass over the records of each.

The pass finds the runs: stretches of records of one tick and one time. There are few of them, so that tick, time and
file of millions of records are held once a run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shardfleet_shard.core.trace_events import EPOCH_START
from shardfleet_shard.errors import UsageError
from shardfleet_shard.trace import FILE_NAME, record_dtype

from .events import MAX_TICK, FileEvents, read_events
from .report import Violation, Violations

CHUNK_RECORDS = 1_000_000
MAX_DT_US = 1e9
MAX_UNIX_US = 1 << 62
"""As of ``MAX_TICK``: differences of what is below fit into 64 bits."""
I64 = NDArray[np.int64]


@dataclass(slots=True, kw_only=True)
class TraceFile:
    """One shard epoch. ``records`` holds only whole records, up to the first place that can't be read."""

    shard: str
    epoch: int
    stem: str
    header: dict[str, Any]
    records: NDArray[Any]
    events: FileEvents
    run_start: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    """Index of each run's first record."""
    run_tick: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    run_unix_us: I64 = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.records)

    @property
    def name(self) -> str:
        return f"{self.stem}.trace"

    def scan(self, violations: Violations) -> None:
        """Finds the runs; the file is cut where its clock runs backwards, for what follows can't be trusted."""
        starts, ticks, times = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        last_tick = last_unix_us = -1
        for begin in range(0, len(self.records), CHUNK_RECORDS):
            part = self.records[begin : begin + CHUNK_RECORDS]
            tick, unix_us = part["tick"], part["unix_us"]
            new = np.ones(len(part), bool)
            new[1:] = (tick[1:] != tick[:-1]) | (unix_us[1:] != unix_us[:-1])
            new[0] = begin == 0 or (int(tick[0]), int(unix_us[0])) != (last_tick, last_unix_us)
            where = np.flatnonzero(new)
            times_here = unix_us[where].astype(np.int64)
            backwards = np.diff(times_here, prepend=last_unix_us) < 0
            none = (tick[where] < 0) | (tick[where] >= MAX_TICK) | (times_here >= MAX_UNIX_US)
            wrong = np.flatnonzero(backwards | none)
            if len(wrong):
                first = int(where[wrong[0]])
                violations.add(
                    Violation(
                        rule="trace",
                        kind="time-backwards",
                        message=f"{self.name}: record {begin + first} (tick {tick[first]}, {unix_us[first]} us) lies "
                        "before the one above it, or is none; the rest of the file was not read",
                        shards=(self.shard,),
                    )
                )
                self.records = self.records[: begin + first]
                where = where[: wrong[0]]
            starts.append(where + begin)
            ticks.append(tick[where].astype(np.int64))
            times.append(unix_us[where].astype(np.int64))
            if begin + len(part) > len(self.records):
                break
            last_tick, last_unix_us = int(tick[-1]), int(unix_us[-1])
        self.run_start, self.run_tick, self.run_unix_us = map(np.concatenate, (starts, ticks, times))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """All files of a directory, ordered by when they began; a file's place in ``files`` is its number everywhere."""

    files: Sequence[TraceFile]
    tick_us: float
    bound_ticks: int
    ticks: I64
    """Every tick number that was simulated anywhere, ascending."""
    end_tick: int
    """Of the whole run: the last tick that was simulated, or in which a shard ended."""
    shards: tuple[str, ...]
    shard: I64
    """Number of each file's shard."""
    first_unix_us: I64
    """A file without records counts as right after its shard's former epoch."""
    last_unix_us: I64
    first_tick: I64
    alive_tick: I64
    """The last tick of which a file's records or events speak."""
    ended: NDArray[np.bool_]
    ended_tick: I64
    """Meaningful where ``ended``."""
    run_file: I64
    """The file of each run; runs are numbered through all files."""
    run_rank: I64
    """Index into ``ticks`` of each run."""
    run_unix_us: I64

    def rank_at_most(self, tick: I64) -> I64:
        """Index of the last simulated tick <= ``tick``, or -1."""
        return np.searchsorted(self.ticks, tick, "right") - 1

    def rank_at_least(self, tick: I64) -> I64:
        """Index of the first simulated tick >= ``tick``, or len(ticks)."""
        return np.searchsorted(self.ticks, tick, "left")

    def precedes(self, old: I64, new: I64) -> NDArray[np.bool_]:
        """Whether file ``old`` had ended before file ``new`` began."""
        return self.last_unix_us[old] < self.first_unix_us[new]

    def name_of(self, file: int) -> str:
        return f"{self.files[file].shard} (epoch {self.files[file].epoch})"


def find_files(directory: Path, violations: Violations) -> list[TraceFile]:
    """Raises ``UsageError`` where there is no directory, or no trace in it."""
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; name the folder that was given to --trace")
    found: dict[tuple[str, int], set[str]] = {}
    for path in directory.iterdir():
        if match := FILE_NAME.fullmatch(path.name):
            found.setdefault((match["shard"], int(match["epoch"])), set()).add(match["kind"])
    if not found:
        raise UsageError(f"{directory}: holds no trace (no file called SHARD.EPOCH.trace); record one with --trace")
    files = [_open(directory, shard, epoch, kinds, violations) for (shard, epoch), kinds in sorted(found.items())]
    opened = [file for file in files if file is not None]
    for file in opened:
        file.scan(violations)
    return opened


def _open(directory: Path, shard: str, epoch: int, kinds: set[str], violations: Violations) -> TraceFile | None:
    stem = f"{shard}.{epoch}"

    def fault(kind: str, message: str) -> None:
        violations.add(Violation(rule="trace", kind=kind, message=message, shards=(shard,)))

    for missing in sorted({"trace", "json", "events.jsonl"} - kinds):
        fault("missing-file", f"{stem}.{missing} is missing; without it epoch {epoch} of {shard} proves nothing")
    if len(kinds) < 3:
        return None
    header, dtype = _header(directory / f"{stem}.json", shard, epoch, fault)
    if header is None or dtype is None:
        return None
    events = read_events(directory / f"{stem}.events.jsonl", shard, epoch, fault)
    path = directory / f"{stem}.trace"
    size = path.stat().st_size
    count, rest = divmod(size, dtype.itemsize)
    if rest and events.end_tick is not None:
        fault(
            "truncated", f"{path.name}: {size} bytes are not whole records of {dtype.itemsize}, and it ended in order"
        )
    if events.start_tick is None and (count or len(events.table) or events.end_tick is not None):
        fault("event", f"{stem}.events.jsonl: has no {EPOCH_START}")
    records = np.memmap(path, dtype, "r", shape=(count,)) if count else np.zeros(0, dtype)
    return TraceFile(shard=shard, epoch=epoch, stem=stem, header=header, records=records, events=events)


def _header(path: Path, shard: str, epoch: int, fault: Any) -> tuple[dict[str, Any] | None, np.dtype[Any] | None]:
    try:
        header = json.loads(path.read_text())
        described = [(str(f[0]), str(f[1]), *(_shape(s) for s in f[2:])) for f in header["dtype"]]
        named, dt_us = (header["shard"], header["epoch"]), float(header["dt_us"])
        dtype = np.dtype(described)
        for name in ("previous_epoch", "origin_tick"):
            value = header.get(name) or 0
            if type(value) is not int or value < 0:
                raise ValueError(f"{name} {value!r} is no number of one")
    except (ValueError, TypeError, KeyError, IndexError) as error:
        fault("header", f"{path.name}: not a trace's header ({type(error).__name__}: {error})")
        return None, None
    if named != (shard, epoch) or not 0 < dt_us <= MAX_DT_US:
        fault("header", f"{path.name}: describes epoch {named[1]} of {named[0]} with dt_us {dt_us}")
        return None, None
    if dtype not in (record_dtype(2), record_dtype(3)):
        fault("dtype", f"{path.name}: unknown dtype {dtype}; this version reads {record_dtype(2)} (or 3 dimensions)")
        return None, None
    return header, dtype


def _shape(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
