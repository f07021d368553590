"""How regularly ticks came. A trace holds one time a tick, when its step was done, and not how long the tick took."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..checker.files import Run


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pace:
    """Ticks with entities in them; ticks that are caught up follow each other at once. All columns (n,)."""

    shard: NDArray[np.int32]
    ready_ms: NDArray[np.float64]
    """From the tick's start by the grid to the end of its step."""
    interval_ms: NDArray[np.float64]
    """From the tick before to this one; NaN where that one is not there."""


def pace_of(run: Run) -> Pace:
    tick = run.ticks[run.run_rank] if len(run.run_rank) else run.run_rank
    file, unix_us = run.run_file, run.run_unix_us
    new = np.zeros(len(tick), bool)
    for number in range(len(run.files)):  # files are few
        low, high = np.searchsorted(file, [number, number + 1])
        highest = np.maximum.accumulate(tick[low:high])
        new[low:high] = np.diff(highest, prepend=-1) > 0
    tick, file, unix_us = tick[new], file[new], unix_us[new]
    ready_ms = (unix_us - np.ceil(tick * run.tick_us)) / 1000
    interval_ms = np.full(len(tick), np.nan)
    follows = np.flatnonzero((file[1:] == file[:-1]) & (tick[1:] == tick[:-1] + 1)) + 1
    interval_ms[follows] = (unix_us[follows] - unix_us[follows - 1]) / 1000
    return Pace(shard=run.shard[file].astype(np.int32), ready_ms=ready_ms, interval_ms=interval_ms)
