"""When each shard's processes lived, and how they ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from ..checker.files import Run

LAST_US = 1 << 62
"""Of damaged files: times beyond it fit into no array."""


class End(StrEnum):
    """The words are the page's."""

    IN_ORDER = "ended in order"
    DIED = "killed or failed"
    OPEN = "no end recorded"
    """The last thing of the run: it still ran, or was killed with all the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One process. Times in Unix microseconds."""

    shard: int
    epoch: int
    begin_us: int
    end_us: int
    end: End
    records: int
    first_tick: int
    last_tick: int
    """-1 where it simulated nothing."""


def lives_of(run: Run) -> tuple[Life, ...]:
    """Sorted by shard and epoch."""
    lives: list[Life] = []
    ended_us: dict[int, int] = {}
    for number in sorted(range(len(run.files)), key=lambda n: (int(run.shard[n]), run.files[n].epoch)):
        file, shard = run.files[number], int(run.shard[number])
        begin_us, end_us = _times(run, number, after_us=ended_us.get(shard, 0))
        ended_us[shard] = end_us
        lives.append(
            Life(
                shard=shard,
                epoch=file.epoch,
                begin_us=begin_us,
                end_us=end_us,
                end=End.IN_ORDER if run.ended[number] else End.DIED,
                records=len(file),
                first_tick=int(file.run_tick.min()) if len(file) else -1,
                last_tick=int(file.run_tick.max()) if len(file) else -1,
            )
        )
    last_us = max((life.end_us for life in lives), default=0)
    bound_us = run.bound_ticks * run.tick_us
    return tuple(_judged(life, lives, last_us - bound_us) for life in lives)


def _times(run: Run, number: int, *, after_us: int) -> tuple[int, int]:
    """A process without entities writes no records: then its events' ticks tell. A successor's first tick lies before
    its own time, for it repeats what its predecessor had not stored."""
    file = run.files[number]
    start, end = file.events.start_tick, file.events.end_tick
    ticks_us = [min(round(tick * run.tick_us), LAST_US) for tick in (start, end) if tick is not None]
    if len(file):
        first_us, last_us = int(run.first_unix_us[number]), int(run.last_unix_us[number])
        if start is not None and after_us < ticks_us[0] < first_us:
            first_us = ticks_us[0]
        return first_us, max(last_us, ticks_us[-1] if end is not None else 0)
    begin_us = max(after_us, min(ticks_us, default=after_us))
    return begin_us, max([begin_us, min(round(int(run.alive_tick[number]) * run.tick_us), LAST_US), *ticks_us])


def _judged(life: Life, lives: list[Life], recent_us: float) -> Life:
    if life.end is not End.DIED or life.end_us < recent_us:
        return life
    followed = any(other.shard == life.shard and other.epoch > life.epoch for other in lives)
    if followed:
        return life
    return replace(life, end=End.OPEN)
