"""Proves from a fleet's traces that every recorded flight was where its track says, and owned by exactly one shard.

    python examples/flights/verify.py TRACE_DIR TRACKS... [--time-unit ms] [--speedup 300]

Reads what ``--trace`` wrote and the tracks themselves, and nothing of shardfleet: positions are worked out anew
with ``numpy.interp``. For every flight and every tick from two after its first point until its last point:

- exactly one record: none is a *missing* tick, or a *frozen* one where a ``freeze`` says so; two are *doubled*.
  A tick that a restarted shard repeats is no double if the former process had written its last record before;
- the recorded position lies within a metre of the track.

Each flight must also have been spawned and despawned. Prints a table and one verdict; exit code 1 if it is bad.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

GRACE_TICKS = 2
"""The first ticks after a flight's first point are not judged: its spawn is on its way."""

TOLERANCE_KM = 0.001
PER_SECOND = {"s": 1.0, "ms": 1e3, "iso": 1e6}
MAX_EXAMPLES = 5
"""Faults of one kind that are printed; the table has all of them as a number."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """seconds: (n,) since the first point of all tracks; points: (n, dimensions)."""

    entity: int
    seconds: Array
    points: Array

    def at(self, seconds: Array) -> Array:
        """Positions (len(seconds), dimensions), in straight lines from point to point."""
        return np.column_stack([np.interp(seconds, self.seconds, column) for column in self.points.T])


@dataclass(frozen=True, kw_only=True)
class TraceFile:
    """One process of one shard; times in Unix microseconds, both 0 where nothing was recorded."""

    shard: str
    epoch: int
    first_us: int
    last_us: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """All records, sorted by (entity, tick, time).

    Attributes:
        tick: (n,) of the fleet's grid. entity: (n,) u64. file: (n,) index into ``files``. position: (n, dimensions).
        origin: the grid's tick that is the world's tick 0, or None where no process knew it when it began to write.
        freezes: entity -> (first tick from which it holds, "freeze" or "unfreeze").
        spawned: entity -> first tick. despawned: entities.
    """

    tick_rate: int
    tick: Array
    entity: Array
    unix_us: Array
    file: Array
    position: Array
    files: list[TraceFile]
    origin: int | None
    freezes: dict[int, list[tuple[int, str]]]
    spawned: dict[int, int]
    despawned: set[int]


@dataclass(kw_only=True)
class Result:
    """``examples``: fault -> sentences; ``counts``: the same and more, as numbers."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    largest_error_km: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.examples and self.counts["judged"] > 0

    def fault(self, kind: str, sentence: str, *, count: int = 1) -> None:
        self.counts[kind] += count
        found = self.examples.setdefault(kind, [])
        if len(found) < MAX_EXAMPLES:
            found.append(sentence)


# --- reading ---------------------------------------------------------------------------------------------------


def read_tracks(paths: Sequence[Path], *, time_unit: str) -> list[Track]:
    """Every track of every file, by id. Raises ``SystemExit`` with one line."""
    points: dict[int, list[tuple[float, ...]]] = {}
    for path in paths:
        try:
            with path.open(newline="") as stream:
                for row in csv.DictReader(stream):
                    place = [float(row[name]) for name in ("x", "y", "z") if row.get(name)]
                    points.setdefault(int(row["id"]), []).append((_time(row["time"], time_unit), *place))
        except (OSError, KeyError, ValueError) as error:
            raise SystemExit(f"{path}: no tracks in columns id, time, x, y: {error!r}") from error
    if not points:
        raise SystemExit(f"{', '.join(map(str, paths))}: no tracks")
    start = min(rows[0][0] for rows in points.values())
    tracks = []
    for entity, rows in sorted(points.items()):
        table = np.array(rows, np.float64)
        # In the file's own unit first: the difference of two times is exact, that of two rounded ones is not.
        seconds = (table[:, 0] - start) / PER_SECOND[time_unit]
        tracks.append(Track(entity=entity, seconds=seconds, points=table[:, 1:]))
    return tracks


def _time(text: str, time_unit: str) -> float:
    if time_unit != "iso":
        return float(text)
    moment = datetime.fromisoformat(text)
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)


def read_trace(folder: Path) -> Trace:
    """All files of a folder of traces. Raises ``SystemExit`` with one line."""
    headers = [path for path in sorted(folder.glob("*.json")) if path.with_suffix(".trace").exists()]
    if not headers:
        raise SystemExit(f"{folder}: holds no trace (no SHARD.EPOCH.json beside a SHARD.EPOCH.trace)")
    described = [json.loads(path.read_text()) for path in headers]
    origins = {header["origin_tick"] for header in described if header.get("origin_tick")}
    if len(origins) > 1:
        raise SystemExit(f"{folder}: the traces name {len(origins)} origins {sorted(origins)} where one belongs")
    files, records = [], []
    for path, header in zip(headers, described, strict=True):
        dtype = np.dtype([_field(entry) for entry in header["dtype"]])
        data = path.with_suffix(".trace").read_bytes()
        # A killed process may leave half a record; the whole ones before it count.
        found = np.frombuffer(data, dtype, len(data) // dtype.itemsize)
        times = (int(found["unix_us"].min()), int(found["unix_us"].max())) if len(found) else (0, 0)
        files.append(TraceFile(shard=header["shard"], epoch=header["epoch"], first_us=times[0], last_us=times[1]))
        records.append(found)
    trace = Trace(
        tick_rate=round(1e6 / described[0]["dt_us"]),
        tick=np.concatenate([found["tick"] for found in records]),
        entity=np.concatenate([found["entity"] for found in records]),
        unix_us=np.concatenate([found["unix_us"] for found in records]),
        file=np.repeat(np.arange(len(files)), [len(found) for found in records]),
        position=np.concatenate([found["position"] for found in records]),
        files=files,
        origin=origins.pop() if origins else None,
        freezes={},
        spawned={},
        despawned=set(),
    )
    for path in headers:
        _read_events(path.with_suffix(".events.jsonl"), trace)
    return _sorted(trace)


def _field(entry: list[Any]) -> tuple[Any, ...]:
    """JSON has no tuples: ["position", "<f8", [2]]."""
    return (entry[0], entry[1], tuple(entry[2])) if len(entry) > 2 else (entry[0], entry[1])


def _read_events(path: Path, trace: Trace) -> None:
    if not path.exists():
        raise SystemExit(f"{path}: is missing")
    for line in _whole_lines(path):
        event = json.loads(line)
        match event["kind"]:
            case "freeze" | "unfreeze":
                trace.freezes.setdefault(event["entity"], []).append((event["tick"], event["kind"]))
            case "spawn":
                trace.spawned.setdefault(event["entity"], event["tick"])
            case "despawn":
                trace.despawned.add(event["entity"])


def _whole_lines(path: Path) -> Iterator[str]:
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n") and line.strip():
            yield line


def _sorted(trace: Trace) -> Trace:
    order = np.lexsort((trace.unix_us, trace.tick, trace.entity))
    arrays = {name: getattr(trace, name)[order] for name in ("tick", "entity", "unix_us", "file", "position")}
    return replace(trace, **arrays)


# --- judging ---------------------------------------------------------------------------------------------------


def verify(trace: Trace, tracks: Sequence[Track], *, speedup: float) -> Result:
    """Judges every flight; the result's counts are ticks unless their name says otherwise."""
    result = Result()
    known = np.array([track.entity for track in tracks], np.uint64)
    strangers = np.setdiff1d(trace.entity, known)
    for entity in strangers:
        result.fault("unknown entities", f"entity {entity} is in the traces but has no track")
    starts = np.searchsorted(trace.entity, known, side="left")
    ends = np.searchsorted(trace.entity, known, side="right")
    seconds_per_tick = speedup / trace.tick_rate
    trace = _in_world_ticks(trace, tracks, seconds_per_tick)
    for track, start, end in zip(tracks, starts, ends, strict=True):
        _judge(result, trace, track, slice(int(start), int(end)), seconds_per_tick)
    result.counts["flights"] = len(tracks)
    result.counts["shards"] = len({file.shard for file in trace.files})
    return result


def _in_world_ticks(trace: Trace, tracks: Sequence[Track], seconds_per_tick: float) -> Trace:
    """Counts from the origin. Where no header has it, it is what most spawns say; a wrong one fails everything."""
    origin = trace.origin
    if origin is None:
        said = Counter(
            trace.spawned[track.entity] - _first_tick(track, seconds_per_tick)
            for track in tracks
            if track.entity in trace.spawned
        )
        origin = said.most_common(1)[0][0] if said else 0
    freezes = {entity: [(tick - origin, kind) for tick, kind in found] for entity, found in trace.freezes.items()}
    return replace(trace, tick=trace.tick - origin, freezes=freezes, origin=0)


def _first_tick(track: Track, seconds_per_tick: float) -> int:
    """The first tick that ends at the track's first point or after it."""
    tick = int(np.ceil(track.seconds[0] / seconds_per_tick))
    return tick - 1 if (tick - 1) * seconds_per_tick >= track.seconds[0] else tick


def _last_tick(track: Track, seconds_per_tick: float) -> int:
    """The last tick that ends at the track's last point or before it."""
    tick = int(np.floor(track.seconds[-1] / seconds_per_tick))
    return tick - 1 if tick * seconds_per_tick > track.seconds[-1] else tick


def _judge(result: Result, trace: Trace, track: Track, part: slice, seconds_per_tick: float) -> None:
    """One flight; ``part`` is its records."""
    ticks, positions = trace.tick[part], trace.position[part]
    first = _first_tick(track, seconds_per_tick)
    last = _last_tick(track, seconds_per_tick)
    _judge_doubles(result, trace, track, part)
    due = np.arange(first + GRACE_TICKS, last + 1)
    result.counts["judged"] += len(due)
    frozen = 0
    lost = []
    for tick in np.setdiff1d(due, ticks).tolist():
        if _is_frozen(tick, ticks, trace.freezes.get(track.entity, [])):
            frozen += 1
        else:
            lost.append(tick)
    result.counts["frozen"] += frozen
    if lost:
        result.fault("missing", f"flight {track.entity}: nobody simulated tick {lost[0]}", count=len(lost))
    result.counts["after the last point"] += int((ticks > last).sum())
    if (ticks < first).any():
        sentence = f"flight {track.entity}: simulated at tick {ticks.min()}, before {first}"
        result.fault("too early", sentence, count=int((ticks < first).sum()))
    _judge_positions(result, track, ticks, positions, ticks * seconds_per_tick)
    if track.entity not in trace.spawned:
        result.fault("not spawned", f"flight {track.entity}: never spawned")
    if track.entity not in trace.despawned:
        result.fault("not despawned", f"flight {track.entity}: never despawned after tick {last}")


def _judge_positions(result: Result, track: Track, ticks: Array, positions: Array, seconds: Array) -> None:
    """All records count, also those in the grace and past the end: a track's ends are its first and last point."""
    if not len(ticks):
        return
    error = np.sqrt(((positions - track.at(seconds)) ** 2).sum(axis=1))
    result.largest_error_km = max(result.largest_error_km, float(np.nan_to_num(error, nan=np.inf).max()))
    wrong = np.flatnonzero(~(error <= TOLERANCE_KM))
    if len(wrong):
        sentence = f"flight {track.entity}: {error[wrong[0]] * 1000:.1f} m off its track at tick {ticks[wrong[0]]}"
        result.fault("off the track", sentence, count=len(wrong))


def _judge_doubles(result: Result, trace: Trace, track: Track, part: slice) -> None:
    ticks, files = trace.tick[part], trace.file[part]
    for index in np.flatnonzero(ticks[1:] == ticks[:-1]).tolist():
        one, other = trace.files[files[index]], trace.files[files[index + 1]]
        restarted = one.shard == other.shard and one.epoch < other.epoch and one.last_us < other.first_us
        if restarted:
            result.counts["repeated after a restart"] += 1
            continue
        who = f"{one.shard} (epoch {one.epoch}) and {other.shard} (epoch {other.epoch})"
        result.fault("doubled", f"flight {track.entity}: tick {ticks[index]} by {who}")


def _is_frozen(tick: int, ticks: Array, freezes: Sequence[tuple[int, str]]) -> bool:
    """Whether the flight was frozen at ``tick`` or before, not unfrozen again, and simulated by nobody since."""
    before = ticks[ticks < tick]
    last = int(before.max()) if len(before) else -1
    since = [event for event in freezes if last < event[0] <= tick]
    return bool(since) and max(since)[1] == "freeze"


# --- showing ---------------------------------------------------------------------------------------------------


def show(result: Result) -> str:
    """The table and the verdict."""
    fixed = ("flights", "shards", "judged", "frozen", "repeated after a restart", "after the last point")
    faults = ("missing", "doubled", "off the track", "too early", "not spawned", "not despawned")
    names = [*fixed, *faults, *sorted(set(result.examples) - set(faults))]
    titles = {"judged": "flight ticks judged", "frozen": "frozen ticks", "after the last point": "ticks past the end"}
    lines = [f"  {titles.get(name, name):26}{result.counts[name]:>10,}" for name in names]
    lines.append(f"  {'largest error':26}{result.largest_error_km * 1000:>10.3f} m")
    for kind, sentences in result.examples.items():
        lines.extend(f"  {kind}: {sentence}" for sentence in sentences)
    if result.ok:
        lines.append("verdict: ok, every flight had one owner and was on its track")
    else:
        lines.append("verdict: BAD" + ("" if result.counts["judged"] else ", nothing to judge"))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Proves that every flight had one owner and was on its track.")
    parser.add_argument("trace", type=Path, help="folder that --trace wrote")
    parser.add_argument("tracks", type=Path, nargs="+", help="CSV files of tracks")
    parser.add_argument("--time-unit", choices=("s", "ms", "iso"), default="ms", help="default %(default)s")
    parser.add_argument("--speedup", type=float, default=300.0, help="as in the fleet's file; default %(default)s")
    options = parser.parse_args(arguments)
    result = verify(
        read_trace(options.trace), read_tracks(options.tracks, time_unit=options.time_unit), speedup=options.speedup
    )
    print(show(result))
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
