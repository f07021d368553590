"""What a fault cost, as the traces of a run have it: for how long nobody simulated an entity, and how far motion fell
back after a kill. The checker proves that nothing is wrong; this says how much it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One shard process. ``records``: as far as they are whole. ``tick_us``: Unix microseconds a tick."""

    shard: str
    epoch: int
    tick_us: float
    records: NDArray[np.void]
    path: Path

    def events(self) -> Iterator[dict[str, Any]]:
        """A line that a kill cut short is none."""
        with self.path.with_suffix(".events.jsonl").open() as lines:
            yield from (json.loads(line) for line in lines if line.endswith("\n"))


def lives(folder: Path) -> list[Life]:
    """By shard, and then by epoch."""
    found = []
    for path in folder.glob("*.json"):
        header = json.loads(path.read_text())
        dtype = np.dtype([(f[0], f[1], tuple(f[2])) if len(f) > 2 else (f[0], f[1]) for f in header["dtype"]])
        trace = path.with_suffix(".trace")
        count = trace.stat().st_size // dtype.itemsize
        records = np.memmap(trace, dtype, "r", shape=count) if count else np.zeros(0, dtype)
        shard, epoch, tick_us = header["shard"], header["epoch"], header["dt_us"]
        found.append(Life(shard=shard, epoch=epoch, tick_us=tick_us, records=records, path=path))
    return sorted(found, key=lambda life: (life.shard, life.epoch))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """How many ticks' time nobody simulated an entity, and when it was simulated again, Unix microseconds."""

    ticks: int
    ended_us: int


def longest_wait(folder: Path, *, from_us: int = 0, to_us: int = 1 << 62) -> Wait:
    """Of those that began between two Unix times: from one record of an entity to the next, whoever wrote them.

    It goes by the time that passed, not by tick numbers: a successor simulates those that nobody has simulated.
    """
    entities, times, tick_us = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], 50_000.0
    for life in lives(folder):
        tick_us = life.tick_us
        first = np.searchsorted(life.records["unix_us"], from_us)
        entities.append(life.records["entity"][first:])
        times.append(life.records["unix_us"][first:])
    entity, unix_us = np.concatenate(entities), np.concatenate(times)
    order = np.lexsort((unix_us, entity))
    entity, unix_us = entity[order], unix_us[order]
    counts = (entity[1:] == entity[:-1]) & (unix_us[:-1] < to_us)
    waited_us = np.where(counts, np.diff(unix_us), 0)
    if not waited_us.any():
        return Wait(ticks=0, ended_us=0)
    longest = int(waited_us.argmax())
    return Wait(ticks=max(0, round(waited_us[longest] / tick_us) - 1), ended_us=int(unix_us[longest + 1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """``ticks``: from the state that a successor went on from to the last tick that its dead predecessor simulated."""

    shard: str
    epoch: int
    """Of the dead one."""
    ticks: int


def fallbacks(folder: Path) -> list[Fallback]:
    """One for each shard process that did not end in order and whose rows a successor took up."""
    found = []
    with_rows = [life for life in lives(folder) if len(life.records)]
    for dead, successor in pairwise(with_rows):
        if dead.shard != successor.shard or any(event["kind"] == "epoch_end" for event in dead.events()):
            continue
        states = {event["state_tick"] for event in successor.events() if event.get("from") == "manifest"}
        if states:
            ticks = int(dead.records["tick"].max()) - min(states)
            found.append(Fallback(shard=dead.shard, epoch=dead.epoch, ticks=ticks))
    return found
