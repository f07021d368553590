"""Where entities were: some of them with their tracks, and of all places the shard that simulated most there.

Both are samples of bounded size. Entities are chosen by a hash of their ids, which favours nobody and is the same each
time; places are taken from whole ticks, every n-th of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checker.files import CHUNK_RECORDS, I64, Run, TraceFile
from ..checker.slices import U64

TRACKS = 240
"""More are a tangle."""
SUSPECT_TRACKS = 60
"""Entities with a fault are chosen first."""
INK = 200.0
"""All tracks together are about so many times as long as the map's diagonal: more are a tangle, too."""
FEWEST_TRACKS = 12
POINTS = 48_000
"""Of all tracks together: half a megabyte of the page."""
POINTS_READ = 6 * POINTS
"""Before it is known which tracks are drawn."""
PLACES = 2_000_000
"""Records that are looked at to find out who simulates where."""
CELLS = 64
"""Of the longer side of the map."""
OUTLIERS = 0.001
"""Of all places on each side: what lies far beyond these is left out, so that one stray does not shrink the rest."""
FAR = 1e15
"""World units from 0: there a float's steps are as large as a unit, and nothing is anywhere."""

_MIX = np.uint64(0x9E3779B97F4A7C15)

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crowd:
    """All lives of all entities: columns (n,)."""

    entity: U64
    records: I64

    @staticmethod
    def concat(parts: Sequence[Crowd]) -> Crowd:
        return Crowd(
            entity=np.concatenate([part.entity for part in parts]),
            records=np.concatenate([part.records for part in parts]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """Where one entity was, in the order of its history: columns (n,)."""

    entity: int
    shard: I64
    tick: I64
    place: F64
    """(n, 2)"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Atlas:
    """``low`` and ``high`` are the corners of what is shown, world units; equal where nothing was anywhere."""

    low: tuple[float, float]
    high: tuple[float, float]
    dimensions: int
    territory: NDArray[np.int32]
    """(columns, rows): the shard that simulated most in each cell of that box, or -1."""
    tracks: tuple[Track, ...]
    entities: int
    """Different entities with a record: what the tracks are a sample of."""
    every_tick: int
    """Tracks have a point every so many ticks, and at each change of shards."""
    suspects: tuple[tuple[float, float, int, int], ...]
    """(x, y, entity, tick) of what the checker complains about, as far as it has a place."""


def draw_atlas(
    run: Run, crowd: Crowd, suspects: Sequence[tuple[int, int]], progress: Callable[[str, float], None]
) -> Atlas:
    """``suspects``: (entity, tick) that must be on the map."""
    ids = np.unique(crowd.entity[crowd.records > 0])
    chosen = choose(ids, [entity for entity, _ in suspects])
    every_tick = max(1, -(-int(crowd.records[np.isin(crowd.entity, chosen)].sum()) // POINTS_READ))
    records = sum(len(file) for file in run.files)
    every_run = max(1, -(-records // PLACES))
    points: list[_Points] = []
    places: list[tuple[F64, I64]] = []
    done = 0
    for number, begin, part in _chunks(run):
        points.append(_points_of(number, part, chosen, every_tick))
        places.append(_places_of(run, number, begin, part, every_run))
        done += len(part)
        progress("drawing", done / records)
    low, high, territory = _territory([place for place, _ in places], [shard for _, shard in places], len(run.shards))
    found = tuple(_tracks(run, points, chosen))
    tracks = _within_ink(found, low, high, suspects)
    thinner = max(1, -(-sum(len(track.tick) for track in tracks) // POINTS))
    every_tick *= thinner
    return Atlas(
        low=low,
        high=high,
        dimensions=max(
            (int(file.header["dimensions"]) for file in run.files if "dimensions" in file.header), default=2
        ),
        territory=territory,
        tracks=tuple(_thinned(track, every_tick, 2 * POINTS // len(tracks)) for track in tracks),
        entities=len(ids),
        every_tick=every_tick,
        suspects=tuple(_suspects(found, suspects)),
    )


def choose(ids: U64, suspects: Sequence[int]) -> U64:
    """At most ``TRACKS`` of ``ids``, ascending; the first of ``suspects`` are among them."""
    named = np.array(list(dict.fromkeys(suspects)), np.uint64)
    named = named[np.isin(named, ids)][:SUSPECT_TRACKS]
    others = ids[~np.isin(ids, named)]
    others = others[np.argsort(others * _MIX, kind="stable")][: TRACKS - len(named)]
    return np.sort(np.concatenate([named, others]))


@dataclass(slots=True, kw_only=True, eq=False)
class _Points:
    """Records of chosen entities: columns (n,), but for ``place`` (n, 2)."""

    which: I64
    version: I64
    file: I64
    tick: I64
    place: F64


def _chunks(run: Run) -> Iterator[tuple[int, int, NDArray[Any]]]:
    for number, file in enumerate(run.files):
        for begin in range(0, len(file), CHUNK_RECORDS):
            yield number, begin, file.records[begin : begin + CHUNK_RECORDS]


def _points_of(number: int, part: NDArray[Any], chosen: U64, every_tick: int) -> _Points:
    entity = np.ascontiguousarray(part["entity"])
    which = np.searchsorted(chosen, entity)
    found = np.flatnonzero(chosen[np.minimum(which, max(0, len(chosen) - 1))] == entity)
    which, tick, version = which[found], part["tick"][found], part["version"][found].astype(np.int64)
    order = np.lexsort((tick, version, which))
    found, which, tick, version = found[order], which[order], tick[order], version[order]
    edge = np.ones(len(found) + 1, bool)  # where one entity's time under one version begins, and so ends
    edge[1:-1] = (which[1:] != which[:-1]) | (version[1:] != version[:-1])
    keep = edge[:-1] | edge[1:] | (tick % every_tick == 0)
    return _Points(
        which=which[keep],
        version=version[keep],
        file=np.full(int(keep.sum()), number, np.int64),
        tick=tick[keep].astype(np.int64),
        place=part["position"][found[keep]][:, :2].astype(np.float64),
    )


def _places_of(run: Run, number: int, begin: int, part: NDArray[Any], every_run: int) -> tuple[F64, I64]:
    """(positions, shards) of the records of every n-th tick."""
    file: TraceFile = run.files[number]
    taken: Any = slice(None)
    if every_run > 1:
        # Whole ticks: in every n-th record the same few entities would come again and again.
        index = np.searchsorted(file.run_start, np.arange(begin, begin + len(part)), "right") - 1
        taken = np.flatnonzero(index % every_run == 0)
    place = part["position"][taken][:, :2].astype(np.float64)
    place = place[(np.abs(place) < FAR).all(1)]
    return place, np.full(len(place), run.shard[number], np.int64)


def _territory(
    places: Sequence[F64], shards: Sequence[I64], count: int
) -> tuple[tuple[float, float], tuple[float, float], NDArray[np.int32]]:
    place = np.concatenate([np.zeros((0, 2)), *places])
    shard = np.concatenate([np.zeros(0, np.int64), *shards])
    if not len(place):
        return (0.0, 0.0), (0.0, 0.0), np.full((1, 1), -1, np.int32)
    low, high = np.quantile(place, [OUTLIERS, 1 - OUTLIERS], axis=0, method="nearest")
    slack = 0.1 * (high - low)
    low, high = np.maximum(place.min(0), low - slack), np.minimum(place.max(0), high + slack)
    size = np.maximum(high - low, max(float((high - low).max()) / CELLS, 1e-9))
    side = float(size.max()) / CELLS
    shape = np.clip(np.ceil(size / side - 1e-9).astype(np.int64), 1, CELLS)
    cell = np.floor((place - low) / side).astype(np.int64)
    inside = ((cell >= 0) & (cell <= shape)).all(1)
    cell = np.minimum(cell[inside], shape - 1)
    flat = cell[:, 0] * shape[1] + cell[:, 1]
    most = np.zeros(int(shape.prod()), np.int64)
    owner = np.full(int(shape.prod()), -1, np.int32)
    for number in range(count):
        there = np.bincount(flat[shard[inside] == number], minlength=len(most))
        owner = np.where(there > most, np.int32(number), owner)
        most = np.maximum(most, there)
    return (float(low[0]), float(low[1])), (float(high[0]), float(high[1])), owner.reshape(shape)


def _tracks(run: Run, parts: Sequence[_Points], chosen: U64) -> Iterator[Track]:
    if not parts:
        return
    which, version, file, tick = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("which", "version", "file", "tick")
    )
    place = np.concatenate([part.place for part in parts])
    near = np.flatnonzero((np.abs(place) < FAR).all(1))
    order = near[np.lexsort((tick[near], file[near], version[near], which[near]))]
    bounds = np.searchsorted(which[order], np.arange(len(chosen) + 1))
    for number, (begin, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        rows = order[begin:end]
        if len(rows):
            yield Track(entity=int(chosen[number]), shard=run.shard[file[rows]], tick=tick[rows], place=place[rows])


def _within_ink(
    tracks: Sequence[Track], low: tuple[float, float], high: tuple[float, float], suspects: Sequence[tuple[int, int]]
) -> tuple[Track, ...]:
    """As many of ``tracks`` as ``INK`` allows: those of suspects first, then in the order in which they were chosen."""
    named = {entity for entity, _ in suspects}
    order = sorted(range(len(tracks)), key=lambda n: (tracks[n].entity not in named, _mixed(tracks[n].entity)))
    allowed, ink, kept = INK * float(np.hypot(high[0] - low[0], high[1] - low[1])), 0.0, set[int]()
    for number in order:
        ink += float(np.hypot(*np.diff(np.clip(tracks[number].place, low, high), axis=0).T).sum())
        if len(kept) >= FEWEST_TRACKS and ink > allowed:
            break
        kept.add(number)
    return tuple(track for number, track in enumerate(tracks) if number in kept)


def _thinned(track: Track, every_tick: int, most: int) -> Track:
    """Points of every so many ticks, and those at a change of shards, as far as these are not too many themselves."""
    wanted = track.tick % every_tick == 0
    change = np.flatnonzero(track.shard[1:] != track.shard[:-1])
    wanted[change] = wanted[change + 1] = wanted[[0, -1]] = True
    keep = np.flatnonzero(wanted)
    if len(keep) > most:
        keep = keep[np.linspace(0, len(keep) - 1, most).astype(np.int64)]
    return Track(entity=track.entity, shard=track.shard[keep], tick=track.tick[keep], place=track.place[keep])


def _mixed(entity: int) -> int:
    return entity * int(_MIX) % (1 << 64)


def _suspects(tracks: Sequence[Track], suspects: Sequence[tuple[int, int]]) -> Iterator[tuple[float, float, int, int]]:
    by_entity = {track.entity: track for track in tracks}
    for entity, tick in suspects:
        if track := by_entity.get(entity):
            x, y = track.place[int(np.abs(track.tick - tick).argmin())].tolist()
            yield x, y, entity, tick
