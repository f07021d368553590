"""A4: a row starts from the state in which it was left, at the next tick and at the next shard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .events import ADOPT, FINAL, MANIFEST, NO_ORIGIN, OFFER, SPAWN, TAKEOVER, UNKNOWN
from .files import I64
from .report import Violations
from .rules import Say
from .slices import Slice

_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Continuity:
    failures: int
    unproven: int
    handed: I64
    """The tenure with which each handoff began at its target."""
    origin: I64
    """What each handoff's row started from: FINAL, OFFER, ..."""
    gaps_us: NDArray[np.float64]
    """One a handoff."""
    taken: I64
    """The tenures that began with a takeover at another shard."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _How:
    """How each tenure came to be, by its event: columns (tenures,)."""

    origin: I64
    switch_tick: I64
    state_tick: I64
    spawn_tick: I64
    upgraded: NDArray[np.bool_]


def _how(part: Slice) -> _How:
    tenures, events = part.tenures, part.events
    origin, switch, state, spawn = (np.full(len(tenures), value, np.int64) for value in (NO_ORIGIN, -1, -1, -1))
    upgraded = np.zeros(len(tenures), bool)
    for kind in (ADOPT, SPAWN):
        rows = np.flatnonzero(events.kind == kind)
        tenure = tenures.find(part.event_key[rows], events.version[rows], events.file[rows])
        rows, tenure = rows[tenure >= 0], tenure[tenure >= 0]
        if kind == SPAWN:
            spawn[tenure] = events.tick[rows]
        else:
            origin[tenure] = events.origin[rows]
            switch[tenure] = events.switch_tick[rows]
            state[tenure] = events.state_tick[rows]
            upgraded[tenure] = events.upgraded[rows] == 1
    return _How(origin=origin, switch_tick=switch, state_tick=state, spawn_tick=spawn, upgraded=upgraded)


def check_continuity(part: Slice, violations: Violations) -> Continuity:
    """A4, and what is measured at each handoff."""
    inside = _check_inside(part, violations)
    how = _how(part)
    tenures, run = part.tenures, part.run
    later = tenures.follows
    handed = later[tenures.version[later] > tenures.version[later - 1]]
    handed = handed[run.shard[tenures.file[handed]] != run.shard[tenures.file[handed - 1]]]
    between, unproven = _check_starts(part, how, later, violations)
    first = np.ones(len(tenures), bool)
    first[later] = False
    unproven += int(np.count_nonzero(first & ~np.isin(how.origin, (NO_ORIGIN, MANIFEST, TAKEOVER))))
    say = Say(part=part)
    unannounced = handed[(how.origin[handed] == NO_ORIGIN)]
    violations.add_many(
        "trace",
        "unannounced",
        unannounced,
        say.tenures(
            "trace", "unannounced", lambda _: "changed shards without an adopt event that says from what state"
        ),
    )
    taken = handed[how.origin[handed] == TAKEOVER]
    handed = handed[how.origin[handed] != TAKEOVER]  # that gap is a fault's
    gaps_us = tenures.unix_us(tenures.start[handed]) - tenures.unix_us(tenures.end[handed - 1] - 1) - run.tick_us
    impossible = handed[(how.origin[handed] == FINAL) & (gaps_us < -2 * run.tick_us)]
    violations.add_many(
        "A4",
        "final-too-early",
        impossible,
        say.tenures("A4", "final-too-early", lambda _: "started from a final state over a tick before it was there"),
    )
    return Continuity(
        failures=inside + between,
        unproven=unproven,
        handed=handed,
        origin=how.origin[handed],
        gaps_us=gaps_us.astype(np.float64),
        taken=taken,
    )


def _check_inside(part: Slice, violations: Violations) -> int:
    """Within a tenure: from one record to the next."""
    tenures, say = part.tenures, Say(part=part)
    records = tenures.records
    same = tenures.number[1:] == tenures.number[:-1]
    wrong = np.flatnonzero(same & (records.state_in[1:] != records.state_out[:-1])) + 1
    violations.add_many(
        "A4",
        "state-changed",
        wrong,
        lambda i: say.at(
            "A4",
            "state-changed",
            int(records.key[i]),
            int(part.run.ticks[records.rank[i]]),
            (int(part.run.run_file[records.run[i]]),),
            f"starts from another state than tick {part.run.ticks[records.rank[i - 1]]} ended with",
        ),
    )
    return len(wrong)


def _check_starts(part: Slice, how: _How, later: I64, violations: Violations) -> tuple[int, int]:
    """Between tenures. Returns (failures, without proof)."""
    tenures, say = part.tenures, Say(part=part)
    records = tenures.records
    origin, switch, state = how.origin[later], how.switch_tick[later], how.state_tick[later]
    before_switch = np.where(switch >= 0, switch - 1, _NO_LIMIT)
    raised = tenures.version[later] > tenures.version[later - 1]
    base = later - 1
    # The same version again is a successor's; rows that it took from its journal come from the version before.
    version_start = np.arange(len(tenures))
    version_start[1:][(tenures.key[1:] == tenures.key[:-1]) & (tenures.version[1:] == tenures.version[:-1])] = 0
    version_start = np.maximum.accumulate(version_start)
    source = version_start[later] - 1
    from_source = ~raised & ((origin == FINAL) | (origin == OFFER)) & (source >= 0)
    from_source &= tenures.key[np.maximum(source, 0)] == tenures.key[later]
    base = np.where(from_source, source, base)
    limit = tenures.first_tick[later] - 1
    of_transfer = raised | from_source
    limit = np.where(of_transfer & (origin != MANIFEST), np.minimum(limit, before_switch), limit)
    stored = (origin == MANIFEST) | (origin == TAKEOVER)
    limit = np.where(stored & (state >= 0), np.minimum(limit, state), limit)
    spawned = (origin == NO_ORIGIN) & (how.spawn_tick[later] >= 0)
    limit = np.where(spawned, np.minimum(limit, how.spawn_tick[later] - 1), limit)
    last = tenures.last_at_most(base, limit)
    start = tenures.start[base]
    # Nothing that early: the predecessor itself began from there.
    expected = np.where(last >= start, records.state_out[np.maximum(last, 0)], records.state_in[start])
    differs = records.state_in[tenures.start[later]] != expected
    covered = np.ones(len(later), bool)
    offered = (origin == OFFER) & of_transfer
    until = np.where(switch >= 0, switch - 1, tenures.first_tick[later] - 1)
    since = np.where(state != UNKNOWN, state, until - 1)
    count = last - np.maximum(tenures.last_at_most(base, since), start - 1)
    covered[offered] = (count >= until - since)[offered]
    # What is taken over may have been offered to the dead shard, and moved forward past ticks that nobody simulated.
    at_state = (last >= start) & (part.run.ticks[records.rank[np.maximum(last, 0)]] == state)
    covered[origin == TAKEOVER] = at_state[origin == TAKEOVER]
    covered[how.upgraded[later]] = False  # other columns, other hashes
    wrong = later[differs & covered]
    violations.add_many(
        "A4",
        "handoff-state",
        wrong[tenures.version[wrong] != tenures.version[wrong - 1]],
        say.tenures("A4", "handoff-state", lambda _: "starts from another state than the source ended with"),
    )
    violations.add_many(
        "A4",
        "recovery-state",
        wrong[tenures.version[wrong] == tenures.version[wrong - 1]],
        say.tenures("A4", "recovery-state", lambda _: "goes on from a state that it did not have at the tick before"),
    )
    return len(wrong), int(np.count_nonzero(differs & ~covered))
