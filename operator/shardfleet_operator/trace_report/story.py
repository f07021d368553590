"""What the page tells, as plain values, and how a trace becomes that.

The folder is read by the checker; while a slice of it is in memory, ``Gathering`` takes down what is to be drawn. A
second look at the records then finds where the chosen entities were, because the checker needs no positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..checker import DEFAULT_BOUND_S, CheckReport, check_directory
from ..checker.continuity import Continuity
from ..checker.events import FREEZE, TAKEOVER
from ..checker.files import I64, Run
from ..checker.slices import Slice
from .atlas import Atlas, Crowd, draw_atlas
from .lives import LAST_US, Life, lives_of
from .pace import Pace, pace_of

Progress = Callable[[str, float], None]
"""Called with what is done just now, and how much of that is done, 0..1."""

PALETTE = 8
"""Colours that the style has."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Handoffs:
    """One a row, all columns (n,), in the order of time; shards are numbers into ``Story.shards``."""

    unix_us: I64
    """When the target simulated its first tick."""
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    origin: NDArray[np.int8]
    """FINAL, OFFER, ...; of takeovers TAKEOVER."""
    gap_ms: NDArray[np.float64]
    """Of takeovers NaN: that gap is a fault's."""

    def __len__(self) -> int:
        return len(self.unix_us)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Story:
    check: CheckReport
    fleet: str
    shards: tuple[str, ...]
    colours: tuple[int, ...]
    """Of each shard, below ``PALETTE``."""
    tick_us: float
    lives: tuple[Life, ...]
    handoffs: Handoffs
    frozen_us: I64
    """When entities were frozen, one a freeze."""
    pace: Pace
    atlas: Atlas


@dataclass(slots=True)
class Gathering:
    """What the checker's slices hold of handoffs, freezes and entities."""

    progress: Progress
    run: Run | None = None
    _slices: int = 1
    _seen: int = 0
    _handoffs: list[Handoffs] = field(default_factory=list)
    _frozen: list[I64] = field(default_factory=list)
    _crowd: list[Crowd] = field(default_factory=list)

    def begin(self, run: Run, *, slices: int) -> None:
        self.run, self._slices = run, slices
        self.progress("checking", 0.0)

    def slice_checked(self, part: Slice, continuity: Continuity) -> None:
        self._handoffs.append(_handoffs(part, continuity))
        frozen = part.events.tick[part.events.kind == FREEZE]
        self._frozen.append(np.minimum(np.rint(frozen * part.run.tick_us), LAST_US).astype(np.int64))
        self._crowd.append(Crowd(entity=part.entity, records=np.diff(part.start)))
        self._seen += 1
        self.progress("checking", self._seen / self._slices)

    def handoffs(self) -> Handoffs:
        columns = {
            name: np.concatenate([getattr(part, name) for part in self._handoffs])
            for name in ("unix_us", "source", "target", "origin", "gap_ms")
        }
        order = np.lexsort((columns["gap_ms"], columns["target"], columns["source"], columns["unix_us"]))
        return Handoffs(**{name: column[order] for name, column in columns.items()})

    def frozen_us(self) -> I64:
        return np.sort(np.concatenate(self._frozen))

    def crowd(self) -> Crowd:
        return Crowd.concat(self._crowd)


def _handoffs(part: Slice, continuity: Continuity) -> Handoffs:
    tenures, run = part.tenures, part.run
    which = np.concatenate([continuity.handed, continuity.taken])
    return Handoffs(
        unix_us=tenures.unix_us(tenures.start[which]),
        source=run.shard[tenures.file[which - 1]].astype(np.int32),
        target=run.shard[tenures.file[which]].astype(np.int32),
        origin=np.concatenate([continuity.origin, np.full(len(continuity.taken), TAKEOVER)]).astype(np.int8),
        gap_ms=np.concatenate([continuity.gaps_us / 1000, np.full(len(continuity.taken), np.nan)]),
    )


def read_story(
    directory: Path | str, *, bound_s: float = DEFAULT_BOUND_S, progress: Progress = lambda _what, _part: None
) -> Story:
    """Checks the traces in ``directory`` and takes down what the page shows.

    Raises:
        UsageError: no such directory, no trace in it, or a bound that is not above 0.
    """
    progress("reading", 0.0)
    gathering = Gathering(progress)
    check = check_directory(directory, bound_s=bound_s, observer=gathering)
    run = gathering.run
    assert run is not None
    handoffs = gathering.handoffs()
    suspects = tuple((v.entity, v.tick) for v in check.violations if v.entity is not None and v.tick is not None)
    return Story(
        check=check,
        fleet=", ".join(sorted({name.rpartition("-")[0] or name for name in run.shards})),
        shards=run.shards,
        colours=colours_for(len(run.shards), handoffs),
        tick_us=run.tick_us,
        lives=lives_of(run),
        handoffs=handoffs,
        frozen_us=gathering.frozen_us(),
        pace=pace_of(run),
        atlas=draw_atlas(run, gathering.crowd(), suspects, progress),
    )


def colours_for(shards: int, handoffs: Handoffs) -> tuple[int, ...]:
    """A colour a shard. Where there are more shards than colours, two that hand over to each other differ if they can,
    those with the most between them first."""
    if shards <= PALETTE:
        return tuple(range(shards))
    between = np.zeros((shards, shards), np.int64)
    np.add.at(between, (handoffs.source, handoffs.target), 1)
    between += between.T
    colours = np.full(shards, -1, np.int64)
    for shard in np.lexsort((np.arange(shards), -between.sum(1))).tolist():
        known = colours >= 0
        clashes = np.bincount(colours[known], between[shard][known], PALETTE)
        used = np.bincount(colours[known], minlength=PALETTE)
        colours[shard] = np.lexsort((np.arange(PALETTE), used, clashes))[0]
    return tuple(colours.tolist())
