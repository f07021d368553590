"""A2: what was spawned and not despawned is simulated, without long holes, until the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .events import ADOPT, DESPAWN, FREEZE, MANIFEST, RELEASE, SPAWN, TAKEOVER, UNFREEZE
from .files import I64
from .report import Violations
from .rules import Say, freezes
from .slices import Slice

Mask = NDArray[np.bool_]
_NEVER = -(1 << 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    expected: int
    seen: int
    lost: int
    spawned: int
    despawned: int
    frozen_at_end: int
    passing_at_end: int
    frozen_ticks: int
    longest_hole_ticks: int
    longest_hole_entity: int | None


def check_presence(part: Slice, violations: Violations) -> Presence:
    """A2 for every life in ``part``."""
    events, keys = part.events, len(part.entity)
    seen = part.start[1:] > part.start[:-1]
    spawn_tick = np.full(keys, 1 << 60, np.int64)
    spawns = events.kind == SPAWN
    np.minimum.at(spawn_tick, part.event_key[spawns], events.tick[spawns])
    spawned = _any(part, spawns)
    resumed = _any(part, (events.kind == ADOPT) & np.isin(events.origin, (MANIFEST, TAKEOVER)))
    despawned = _any(part, events.kind == DESPAWN)
    known = spawned | resumed
    _check_beginnings(part, seen, known, spawned & ~resumed, spawn_tick, violations)
    expected = known & ~despawned
    last_tick, last_file, frozen, passing = _last_seen(part, seen)
    lost = _check_end(part, expected & ~frozen, last_tick, last_file, violations)
    hole, entity = _check_holes(part, np.where(spawned & seen, spawn_tick, _NEVER), violations)
    return Presence(
        expected=int(np.count_nonzero(expected)),
        seen=int(np.count_nonzero(seen)),
        lost=lost,
        spawned=int(np.count_nonzero(spawned)),
        despawned=int(np.count_nonzero(despawned)),
        frozen_at_end=int(np.count_nonzero(expected & frozen)),
        passing_at_end=int(np.count_nonzero(expected & passing)),
        frozen_ticks=_frozen_ticks(part),
        longest_hole_ticks=hole,
        longest_hole_entity=entity,
    )


def _any(part: Slice, which: Mask) -> Mask:
    """Keys with at least one such event."""
    result = np.zeros(len(part.entity), bool)
    result[part.event_key[which]] = True
    return result


def _check_beginnings(
    part: Slice, seen: Mask, known: Mask, born_here: Mask, spawn_tick: I64, violations: Violations
) -> None:
    say = Say(part=part)
    first = np.minimum(part.start[:-1], max(0, len(part.records) - 1))

    def report(kind: str, which: Mask, text: str) -> None:
        violations.add_many(
            "A2",
            kind,
            np.flatnonzero(which),
            lambda key: say.at(
                "A2",
                kind,
                key,
                int(part.run.ticks[part.records.rank[first[key]]]),
                (int(part.file[first[key]]),),
                text,
            ),
        )

    report("never-spawned", seen & ~known, "simulated, and neither spawned nor taken up from a manifest")
    if len(part.records):
        early = part.run.ticks[part.records.rank[first]] < spawn_tick
        report("before-spawn", seen & born_here & early, "simulated before the tick at which it was spawned")


def _last_seen(part: Slice, seen: Mask) -> tuple[I64, I64, Mask, Mask]:
    """(tick, file) of each key's last sign of life, and which keys are frozen or passing there."""
    run, events, keys = part.run, part.events, len(part.entity)
    tick, file = np.full(keys, _NEVER, np.int64), np.zeros(keys, np.int64)
    last = part.start[1:][seen] - 1
    tick[seen] = run.ticks[part.records.rank[last]]
    file[seen] = part.file[last]
    signs = np.isin(events.kind, (SPAWN, ADOPT, UNFREEZE, RELEASE))
    order = np.flatnonzero(signs)
    order = order[np.argsort(events.tick[order], kind="stable")]
    event_tick, event_file = np.full(keys, _NEVER, np.int64), np.zeros(keys, np.int64)
    event_tick[part.event_key[order]] = events.tick[order]
    event_file[part.event_key[order]] = events.file[order]
    by_event = event_tick > tick
    passing = np.zeros(keys, bool)
    releases = events.kind == RELEASE
    release_tick = np.full(keys, _NEVER, np.int64)
    np.maximum.at(release_tick, part.event_key[releases], events.tick[releases])
    adopt_tick = np.full(keys, _NEVER, np.int64)
    adopts = events.kind == ADOPT
    np.maximum.at(adopt_tick, part.event_key[adopts], events.tick[adopts])
    passing = (release_tick > tick) & (release_tick > adopt_tick)
    tick, file = np.where(by_event, event_tick, tick), np.where(by_event, event_file, file)
    return tick, file, _frozen_now(part), passing


def _frozen_now(part: Slice) -> Mask:
    """Keys whose newest holder froze them, said nothing since, and still lives (or rests in order)."""
    run, events, keys = part.run, part.events, len(part.entity)
    about = np.flatnonzero(events.kind != SPAWN)
    about = about[np.lexsort((events.line[about], events.file[about], part.event_key[about]))]
    last = np.ones(len(about), bool)
    if len(about):
        last[:-1] = (part.event_key[about[1:]] != part.event_key[about[:-1]]) | (
            events.file[about[1:]] != events.file[about[:-1]]
        )
    frozen = about[last & (events.kind[about] == FREEZE)]
    newest = np.zeros(keys, np.int64)
    np.maximum.at(newest, part.tenures.key, part.tenures.version)
    adopts = np.flatnonzero(events.kind == ADOPT)
    np.maximum.at(newest, part.event_key[adopts], events.version[adopts])
    newest_file = np.zeros(keys, np.int64)
    np.maximum.at(newest_file, part.tenures.key, part.tenures.file)
    holds = (events.version[frozen] >= newest[part.event_key[frozen]]) & (
        events.file[frozen] >= newest_file[part.event_key[frozen]]
    )
    file = events.file[frozen]
    lives = run.end_tick - np.where(run.ended[file], run.ended_tick[file], run.alive_tick[file]) <= run.bound_ticks
    result = np.zeros(keys, bool)
    result[part.event_key[frozen[holds & lives]]] = True
    return result


def _check_end(part: Slice, expected: Mask, tick: I64, file: I64, violations: Violations) -> int:
    """Each expected key was there close to the run's end, or to its shard's if all ended together."""
    run, say = part.run, Say(part=part)
    there = run.end_tick - tick <= run.bound_ticks
    rests = (
        run.ended[file]
        & (run.ended_tick[file] - tick <= run.bound_ticks)
        & (run.end_tick - run.ended_tick[file] <= run.bound_ticks)
    )
    lost = np.flatnonzero(expected & ~there & ~rests)
    violations.add_many(
        "A2",
        "lost",
        lost,
        lambda key: say.at(
            "A2",
            "lost",
            key,
            int(tick[key]),
            (int(file[key]),),
            f"not seen again in the {run.end_tick - int(tick[key])} ticks until the run's end",
        ),
    )
    return len(lost)


def _check_holes(part: Slice, spawn_tick: I64, violations: Violations) -> tuple[int, int | None]:
    """(longest hole, entity). A rest between an orderly end and the next start is no hole."""
    run, records, file, say = part.run, part.records, part.file, Say(part=part)
    if not len(records):
        return 0, None
    tick = run.ticks[records.rank]
    skips = np.flatnonzero((records.key[1:] == records.key[:-1]) & (tick[1:] - tick[:-1] > 1))
    old, new = file[skips], file[skips + 1]
    length = tick[skips + 1] - tick[skips] - 1
    rested = run.ended[old] & run.precedes(old, new) & (run.first_tick[new] > run.ended_tick[old])
    apart = np.maximum(run.ended_tick[old] - tick[skips], tick[skips + 1] - run.first_tick[new])
    length = np.where(rested, np.maximum(apart, 0), length)
    heads = np.flatnonzero(spawn_tick > _NEVER)
    first = part.start[heads]
    length = np.concatenate([length, tick[first] - spawn_tick[heads]])
    at = np.concatenate([skips + 1, first])
    long = length > run.bound_ticks
    lengths = dict(zip(at[long].tolist(), length[long].tolist(), strict=True))
    violations.add_many(
        "A2",
        "hole",
        at[long],
        lambda i: say.at(
            "A2",
            "hole",
            int(records.key[i]),
            int(tick[i]),
            (int(file[i]),),
            f"nobody simulated it for {lengths[i]} ticks before this one (bound {run.bound_ticks})",
        ),
    )
    if not len(length) or length.max() <= 0:
        return 0, None
    worst = int(length.argmax())
    return int(length[worst]), int(part.entity[records.key[at[worst]]])


def _frozen_ticks(part: Slice) -> int:
    """From each freeze to the entity's next record anywhere, or to the end."""
    run, events = part.run, part.events
    frozen, _ = freezes(part)
    if not len(frozen):
        return 0
    key, since = part.event_key[frozen], events.tick[frozen]
    next_record = np.searchsorted(part.by_tick, part.place(key, run.rank_at_least(since)))
    again = next_record < part.start[key + 1]
    ticks = (
        run.ticks[part.records.rank[np.minimum(next_record, max(0, len(part.records) - 1))]] if again.any() else since
    )
    return int(np.where(again, ticks - since, np.maximum(0, run.end_tick + 1 - since)).sum())
