"""``replay``: entities move as they were recorded.

Each track is one entity: it arrives at its first point, moves in straight lines from point to point, and leaves past
its last. World tick 0 is the time of the first point of all; tick ``k`` ends at ``k * speedup / tickRate`` seconds
after it. Positions are a function of the tick alone, so an entity is where its track is, whatever happened to it
before: a handoff, a freeze or a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from ..core.columns import F64, U64, Columns
from ..core.simulation import Simulation, World
from .parameters import NUMBER, number
from .tracks import TimeUnit, Tracks, read_tracks


class Replay(Simulation):
    """Plays ``tracks`` (see tracks.py for the file), ``speedup`` times faster than they were recorded.

    Velocity is in world units a second of the fleet's time, so a sped up track is fast. Rows of ids that no track has
    (spawned by hand) stay where they are.
    """

    dtype: ClassVar[np.dtype[Any] | None] = None
    exact: ClassVar[bool] = True
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["tracks"],
        "properties": {
            "tracks": {
                "type": "string",
                "minLength": 1,
                "description": "CSV or Parquet file with columns id, time, x, y (and z in 3-D); "
                "a relative path counts from the folder of the fleet's file",
            },
            "timeUnit": {"enum": ["s", "ms", "iso"], "description": "what column time holds; default s"},
            "speedup": {**NUMBER, "description": "seconds of the record a second; default 1"},
        },
    }

    def __init__(self, world: World, parameters: Mapping[str, Any]) -> None:
        self._world = world
        self._speedup = number(parameters, "speedup", 1.0, above=0.0)
        self._seconds_per_tick = self._speedup / world.tick_rate
        path = Path(world.base_dir) / str(parameters["tracks"])
        unit = cast(TimeUnit, parameters.get("timeUnit", "s"))
        self._tracks = read_tracks(path, dimensions=world.dimensions, time_unit=unit)
        self._slopes = _slopes(self._tracks)
        self._first = self._tracks.seconds[self._tracks.begin[:-1]]
        self._last = self._tracks.seconds[self._tracks.begin[1:] - 1]
        # A point's key is (track, rank of its time among all times) in one integer, ascending over the points: one
        # search then finds every entity's place, with no loop and no rounding.
        self._times, rank = np.unique(self._tracks.seconds, return_inverse=True)
        self._ranks = len(self._times) + 1
        self._keys = _track_of_point(self._tracks) * self._ranks + rank
        arrival_tick = self._tick_at_or_after(self._first)
        self._arrival_order = np.argsort(arrival_tick, kind="stable")
        self._arrival_ticks = arrival_tick[self._arrival_order]

    def seed(self, rng: np.random.Generator, count: int) -> Columns:
        """No rows, whatever ``count`` says: all entities arrive with their tracks."""
        return self._world.schema.empty()

    def arrivals(self, tick: int) -> Columns | None:
        """The tracks whose first point lies after the end of ``tick - 1`` and not after that of ``tick``."""
        low, high = np.searchsorted(self._arrival_ticks, (tick, tick + 1))
        if low == high:
            return None
        track = self._arrival_order[low:high]
        point = self._tracks.begin[track]
        return self._world.schema.rows(
            id=self._tracks.ids[track],
            position=self._tracks.points[point],
            velocity=self._slopes[point] * self._speedup,
        )

    def step(self, entities: Columns, tick: int, dt: float) -> U64 | None:
        """Puts each row at its track's position at the end of ``tick``; returns the ids past their last point."""
        if not len(entities):
            return None
        ids = entities.id
        place = np.minimum(np.searchsorted(self._tracks.ids, ids), len(self._tracks.ids) - 1)
        known = np.flatnonzero(self._tracks.ids[place] == ids)
        track = place[known]
        now = tick * self._seconds_per_tick
        passed = np.searchsorted(self._times, now, side="right")
        point = np.searchsorted(self._keys, track * self._ranks + passed) - 1
        point = np.maximum(point, self._tracks.begin[track])
        elapsed = np.clip(now - self._tracks.seconds[point], 0.0, None)
        slope = self._slopes[point]
        moved = self._tracks.points[point] + slope * elapsed[:, None]
        entities.position[known] = moved
        entities.velocity[known] = slope * self._speedup
        gone = self._last[track] < now
        return ids[known[gone]] if gone.any() else None

    def _tick_at_or_after(self, seconds: F64) -> NDArray[np.int64]:
        """The first tick whose end is not before ``seconds``, by the very product that ``step`` uses."""
        tick = np.ceil(seconds / self._seconds_per_tick).astype(np.int64)
        tick -= (tick - 1) * self._seconds_per_tick >= seconds
        tick += tick * self._seconds_per_tick < seconds
        return tick


def _track_of_point(tracks: Tracks) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(tracks.ids)), np.diff(tracks.begin))


def _slopes(tracks: Tracks) -> F64:
    """World units a recorded second from each point to the next of its track; 0 at a track's last point."""
    slopes = np.zeros_like(tracks.points)
    slopes[:-1] = np.diff(tracks.points, axis=0)
    seconds = np.ones(len(tracks.seconds))
    seconds[:-1] = np.diff(tracks.seconds)
    last = tracks.begin[1:] - 1
    slopes[last] = 0.0
    seconds[last] = 1.0
    return slopes / seconds[:, None]
