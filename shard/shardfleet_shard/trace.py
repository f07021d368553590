"""The per-tick trace of one shard process: three files, appended to, never read back.

``SHARD.EPOCH.trace`` holds fixed little-endian records, ``SHARD.EPOCH.json`` says how to read them and
``SHARD.EPOCH.events.jsonl`` has one JSON object a line; docs/reference/trace.md is their specification. A tick is
one write, so that a process that is killed leaves at most one tick cut short, at the end of the file. Nothing is
synced to the disk: the trace outlives the process, not the machine.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core.columns import F64, U32, U64
from .core.trace_events import EPOCH_END, EPOCH_START, RESERVED, TraceEvent, TraceTick
from .errors import InvariantError, TraceError

FORMAT = 1
FILE_NAME = re.compile(r"(?P<shard>.+)\.(?P<epoch>\d{1,20})\.(?P<kind>trace|json|events\.jsonl)")
SMALLEST_BUFFER_ROWS = 1024

_HEADER_NAMES = (
    *("format", "shard", "epoch", "previous_epoch"),
    *("dtype", "dimensions", "dt_us", "tick_rate", "origin_tick"),
)


def record_dtype(dimensions: int) -> np.dtype[Any]:
    """One record: 44 bytes and 8 a dimension, packed, little-endian."""
    return np.dtype(
        [
            ("tick", "<i8"),
            ("entity", "<u8"),
            ("version", "<u4"),
            ("unix_us", "<i8"),
            ("state_in", "<u8"),
            ("state_out", "<u8"),
            ("position", "<f8", (dimensions,)),
        ]
    )


class TraceWriter:
    """Writes the trace of one (shard, epoch). Not safe for two threads at once.

    Args:
        directory: made if it is not there.
        dimensions: 2 or 3, of a position.
        dt_us: microseconds a tick.
        origin_tick: grid tick of the world's tick 0, or 0 where it is not known yet.
        tick_rate: ticks a second; 0: from ``dt_us``.
        previous_epoch: the shard's epoch before this one, where the caller knows of one whose rows it took over.
            Left out, the newest older one that has a file in ``directory``.
        extra: more fields for ``SHARD.EPOCH.json``.
    Raises:
        TraceError: the files can't be made, or are there already.
    """

    def __init__(
        self,
        directory: Path | str,
        shard: str,
        epoch: int,
        *,
        dimensions: int,
        dt_us: float,
        origin_tick: int,
        tick_rate: int = 0,
        previous_epoch: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.shard = shard
        self.epoch = epoch
        self.last_tick = -1
        """The highest tick that was written."""
        self._last_unix_us = 0
        self._started = self._ended = False
        self._dtype = record_dtype(dimensions)
        self._buffer: NDArray[Any] = np.empty(SMALLEST_BUFFER_ROWS, self._dtype)
        self._trace_fd = self._events_fd = -1
        if taken := [name for name in extra or {} if name in _HEADER_NAMES]:
            raise InvariantError(f"a trace's header has its own {', '.join(taken)}")
        stem = self.directory / f"{shard}.{epoch}"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.previous_epoch = previous_epoch or self._newest_older_epoch()
            header = {
                "format": FORMAT,
                "shard": shard,
                "epoch": epoch,
                "previous_epoch": self.previous_epoch,
                "dtype": self._dtype.descr,
                "dimensions": dimensions,
                "dt_us": dt_us,
                "tick_rate": tick_rate or round(1_000_000 / dt_us),
                "origin_tick": origin_tick,
                **(extra or {}),
            }
            fd = self._create(f"{stem}.json")
            try:
                _write_all(fd, (json.dumps(header, indent=1) + "\n").encode())
            finally:
                os.close(fd)
            self._events_fd = self._create(f"{stem}.events.jsonl")
            self._trace_fd = self._create(f"{stem}.trace")
        except OSError as error:
            self._close_files()
            raise TraceError(f"cannot write a trace: {error.filename or stem}: {error.strerror or error}") from error

    def write(self, tick: TraceTick) -> None:
        """``write_tick`` with a ``TraceTick``."""
        self.write_tick(tick.tick, tick.unix_us, tick.ids, tick.versions, tick.state_in, tick.state_out, tick.positions)

    def write_tick(
        self, tick: int, unix_us: int, ids: U64, versions: U32, state_in: U64, state_out: U64, positions: F64
    ) -> None:
        """One record a row, in one write; no rows, no write.

        Args:
            unix_us: the real clock when step 3 of ``tick`` ended.
            ids, versions, state_in, state_out: (n,).
            positions: (n, dimensions).
        Raises:
            TraceError: the disk refuses.
            InvariantError: ``unix_us`` lies before that of an earlier call.
        """
        if unix_us < self._last_unix_us:
            raise InvariantError(f"{self.shard}: tick {tick} at {unix_us} us is traced after {self._last_unix_us} us")
        self._start(tick)
        self._last_unix_us = unix_us
        self.last_tick = max(self.last_tick, tick)
        count = len(ids)
        if not count:
            return
        if count > len(self._buffer):
            self._buffer = np.empty(count + count // 4, self._dtype)
        records = self._buffer[:count]
        records["tick"] = tick
        records["entity"] = ids
        records["version"] = versions
        records["unix_us"] = unix_us
        records["state_in"] = state_in
        records["state_out"] = state_out
        records["position"] = positions
        self._append(self._trace_fd, records.view(np.uint8).data, "trace")

    def write_events(self, events: Iterable[TraceEvent]) -> None:
        """One line an entity (one an event of an epoch), all in one write.

        Where a tick and its events are written together, the events go first: a record of an entity of which no
        file knows how it came is a fault, an event without a record is not.

        Raises:
            TraceError: the disk refuses.
        """
        parts: list[str] = []
        for event in events:
            if event.kind == EPOCH_START:
                if not self._started:
                    self._started = True
                    parts.append(self._epoch_line(event))
                continue
            if not self._started:
                self._started = True
                parts.append(self._epoch_line(TraceEvent(kind=EPOCH_START, tick=event.tick)))
            if event.kind == EPOCH_END:
                self._ended = True
                parts.append(self._epoch_line(event))
            else:
                parts.append(_entity_lines(event))
        if parts:
            self._append(self._events_fd, memoryview("".join(parts).encode()), "events.jsonl")

    def close(self, end: bool, *, tick: int = -1, reason: str = "") -> None:
        """Closes the files. A second call does nothing.

        Args:
            end: the process ends in order and keeps no row that it would still have to simulate: writes
                ``epoch_end``. False after a failure: the files then look as after a kill.
            tick: the last tick that the shard was alive for; left out, the last one written.
        """
        if self._trace_fd < 0:
            return
        try:
            if end and not self._ended:
                last = max(tick, self.last_tick)
                self.write_events([TraceEvent(kind=EPOCH_END, tick=last, detail={"reason": reason} if reason else {})])
        finally:
            self._close_files()

    def _start(self, tick: int) -> None:
        if not self._started:
            self.write_events([TraceEvent(kind=EPOCH_START, tick=tick)])

    def _epoch_line(self, event: TraceEvent) -> str:
        line = {"kind": event.kind, "tick": event.tick, "shard": self.shard, "epoch": self.epoch}
        if event.kind == EPOCH_START:
            line["previous_epoch"] = self.previous_epoch
        named = {name: value for name, value in event.detail.items() if value or name != "previous_epoch"}
        return json.dumps({**line, **named}, separators=(",", ":")) + "\n"

    def _newest_older_epoch(self) -> int:
        matches = (FILE_NAME.fullmatch(path.name) for path in self.directory.iterdir())
        epochs = (int(match["epoch"]) for match in matches if match and match["shard"] == self.shard)
        return max((epoch for epoch in epochs if epoch < self.epoch), default=0)

    def _create(self, path: str) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def _append(self, fd: int, data: memoryview, kind: str) -> None:
        if fd < 0:
            raise InvariantError(f"the trace of {self.shard}, epoch {self.epoch}, is closed")
        try:
            _write_all(fd, data)
        except OSError as error:
            path = self.directory / f"{self.shard}.{self.epoch}.{kind}"
            raise TraceError(f"cannot write the trace {path}: {error.strerror or error}; free the disk") from error

    def _close_files(self) -> None:
        for fd in (self._trace_fd, self._events_fd):
            if fd >= 0:
                os.close(fd)
        self._trace_fd = self._events_fd = -1


def _write_all(fd: int, data: bytes | memoryview) -> None:
    """One ``write``; only a disk that takes a part of it (nearly full) is asked again, and then says why."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])


def _entity_lines(event: TraceEvent) -> str:
    """All lines of a batch by one formatting, ten times cheaper than ``json.dumps`` a line."""
    detail = {"from" if name == "origin" else name: value for name, value in event.detail.items()}
    assert not set(detail) & set(RESERVED)
    end = json.dumps(detail, separators=(",", ":"))[1:].replace("%", "%%")
    comma = "," if detail else ""
    line = f'{{"kind":"{event.kind}","tick":{event.tick},"entity":%d,"version":%d{comma}{end}\n'
    values = np.empty((len(event.ids), 2), np.uint64)
    values[:, 0], values[:, 1] = event.ids, event.versions
    return (line * len(values)) % tuple(values.ravel().tolist())
