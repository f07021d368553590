"""A1 and A5: one simulator for each tick, and versions that grow by one with each change of shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .events import ADOPT, DESPAWN, FREEZE, RELEASE, SPAWN, TAKEOVER, UNFREEZE
from .files import I64
from .report import Violation, Violations
from .slices import Slice

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Words for violations of one slice."""

    part: Slice

    def at(self, rule: str, kind: str, key: int, tick: int, files: tuple[int, ...], text: str) -> Violation:
        run = self.part.run
        entity = int(self.part.entity[key])
        names = " and ".join(dict.fromkeys(run.name_of(file) for file in files))
        return Violation(
            rule=rule,
            kind=kind,
            message=f"entity {entity}, tick {tick}, {names}: {text}",
            entity=entity,
            tick=tick,
            shards=tuple(dict.fromkeys(run.files[file].shard for file in files)),
        )

    def tenures(self, rule: str, kind: str, text: Callable[[int], str]) -> Callable[[int], Violation]:
        """For tenures: about the one and the one before it."""
        tenures = self.part.tenures

        def describe(index: int) -> Violation:
            followed = index > 0 and tenures.key[index - 1] == tenures.key[index]
            files = tuple(tenures.file[index - followed : index + 1].tolist())
            return self.at(rule, kind, int(tenures.key[index]), int(tenures.first_tick[index]), files, text(index))

        return describe

    def events(self, rule: str, kind: str, text: Callable[[int], str]) -> Callable[[int], Violation]:
        events = self.part.events

        def describe(index: int) -> Violation:
            tick, file = int(events.tick[index]), int(events.file[index])
            return self.at(rule, kind, int(self.part.event_key[index]), tick, (file,), text(index))

        return describe


def check_one_simulator(part: Slice, violations: Violations) -> tuple[int, int]:
    """A1. Returns (ticks that two simulated, ticks that a successor rightly repeated)."""
    run, records, file, say = part.run, part.records, part.file, Say(part=part)
    twice = np.flatnonzero((records.key[1:] == records.key[:-1]) & (records.rank[1:] == records.rank[:-1]))
    fine = run.precedes(file[twice], file[twice + 1]) | _taken_over(part, twice)
    wrong = twice[~fine]
    violations.add_many(
        "A1",
        "two-simulators",
        wrong,
        lambda i: say.at(
            "A1",
            "two-simulators",
            int(records.key[i]),
            int(run.ticks[records.rank[i]]),
            (int(file[i]), int(file[i + 1])),
            f"simulated twice, under versions {records.version[i]} and {records.version[i + 1]}",
        ),
    )
    seen = np.zeros(len(part.entity), bool)
    seen[records.key[wrong]] = True
    _check_tenures_apart(part, violations, seen)
    _check_switches(part, violations)
    _check_away(part, violations)
    return len(wrong), int(np.count_nonzero(fine))


def takes_over(part: Slice) -> Mask:
    """Which tenures began with what the shard before had stored, because that one had died."""
    tenures, events = part.tenures, part.events
    taken = np.flatnonzero((events.kind == ADOPT) & (events.origin == TAKEOVER))
    tenure = tenures.find(part.event_key[taken], events.version[taken], events.file[taken])
    result = np.zeros(len(tenures), bool)
    result[tenure[tenure >= 0]] = True
    return result


def _taken_over(part: Slice, first: I64) -> Mask:
    """Of records that follow one another at one tick: whether the one of the higher version repeats, after a takeover,
    what the other one's shard had simulated before all of that."""
    tenures, records, file = part.tenures, part.records, part.file
    if not len(first):
        return np.zeros(0, bool)
    key = records.key[first]
    one, other = (
        tenures.find(key, records.version[index].astype(np.int64), file[index]) for index in (first, first + 1)
    )
    swapped = records.version[first] > records.version[first + 1]
    older, newer = np.where(swapped, other, one), np.where(swapped, one, other)
    return takes_over(part)[newer] & _over_before(part, older, newer)


def _over_before(part: Slice, older: I64, newer: I64) -> Mask:
    """Whether the last record of tenure ``older`` was made before the first one of ``newer``, by their clocks."""
    tenures = part.tenures
    return tenures.unix_us(tenures.end[older] - 1) < tenures.unix_us(tenures.start[newer])


def _check_tenures_apart(part: Slice, violations: Violations, reported: Mask) -> None:
    """A tenure that begins before its predecessor's last tick repeats it: only after the old file had ended."""
    tenures, say = part.tenures, Say(part=part)
    later = tenures.follows
    early = tenures.first_tick[later] <= tenures.last_tick[later - 1]
    wrong = later[early & ~part.run.precedes(tenures.file[later - 1], tenures.file[later])]
    wrong = wrong[~(takes_over(part)[wrong] & _over_before(part, wrong - 1, wrong))]
    wrong = wrong[~reported[tenures.key[wrong]]]
    fell = tenures.last_tick[wrong] < tenures.first_tick[wrong - 1]
    violations.add_many(
        "A5",
        "version-fell",
        wrong[fell],
        say.tenures(
            "A5", "version-fell", lambda i: f"version {tenures.version[i]} comes before {tenures.version[i - 1]}"
        ),
    )
    violations.add_many(
        "A1",
        "interleaved",
        wrong[~fell],
        say.tenures(
            "A1",
            "interleaved",
            lambda i: f"began while the other went on until tick {tenures.last_tick[i - 1]}",
        ),
    )
    inside = np.flatnonzero(tenures.number[1:] == tenures.number[:-1])
    back = inside[tenures.records.run[inside + 1] < tenures.records.run[inside]]
    violations.add_many(
        "trace",
        "tick-order",
        back,
        lambda i: say.at(
            "trace",
            "tick-order",
            int(tenures.records.key[i]),
            int(part.run.ticks[tenures.records.rank[i + 1]]),
            (int(part.run.run_file[tenures.records.run[i]]),),
            f"stands in the file before tick {part.run.ticks[tenures.records.rank[i]]}",
        ),
    )


def _check_switches(part: Slice, violations: Violations) -> None:
    """The source simulates ticks below the switch tick, the target the switch tick and those after it."""
    tenures, events, say = part.tenures, part.events, Say(part=part)
    adopted = np.flatnonzero((events.kind == ADOPT) & (events.switch_tick >= 0))
    tenure = tenures.find(part.event_key[adopted], events.version[adopted], events.file[adopted])
    adopted, tenure = adopted[tenure >= 0], tenure[tenure >= 0]
    early = tenures.first_tick[tenure] < events.switch_tick[adopted]
    violations.add_many(
        "A1",
        "before-switch",
        tenure[early],
        say.tenures("A1", "before-switch", lambda _: "the target simulated it before the switch tick"),
    )
    before = np.maximum(tenure - 1, 0)
    handed = (
        (tenure > 0)
        & (tenures.key[before] == tenures.key[tenure])
        & (tenures.version[before] < tenures.version[tenure])
    )
    late = handed & (tenures.last_tick[before] >= events.switch_tick[adopted])
    violations.add_many(
        "A1",
        "late-release",
        before[late],
        lambda i: say.at(
            "A1",
            "late-release",
            int(tenures.key[i]),
            int(tenures.last_tick[i]),
            (int(tenures.file[i]),),
            "the source simulated it at or after the switch tick",
        ),
    )


def _check_away(part: Slice, violations: Violations) -> None:
    """A shard that released, froze or despawned a row does not simulate it."""
    run, tenures, events, say = part.run, part.tenures, part.events, Say(part=part)
    released = np.flatnonzero(events.kind == RELEASE)
    tenure = tenures.find(part.event_key[released], events.version[released], events.file[released])
    late = tenure >= 0
    late[late] = tenures.last_tick[tenure[late]] >= events.tick[released[late]]
    violations.add_many(
        "A1", "late-release", released[late], say.events("A1", "late-release", lambda _: "simulated after its release")
    )
    frozen, until = freezes(part)
    tenure = tenures.find(part.event_key[frozen], events.version[frozen], events.file[frozen])
    frozen, until, tenure = frozen[tenure >= 0], until[tenure >= 0], tenure[tenure >= 0]
    last = tenures.last_at_most(tenure, until - 1)
    moved = (last >= tenures.start[tenure]) & (run.ticks[tenures.records.rank[last]] >= events.tick[frozen])
    violations.add_many(
        "A1", "while-frozen", frozen[moved], say.events("A1", "while-frozen", lambda _: "simulated while it was frozen")
    )
    gone = np.flatnonzero(events.kind == DESPAWN)
    first = np.searchsorted(part.by_tick, part.place(part.event_key[gone], run.rank_at_least(events.tick[gone])))
    suspects = np.flatnonzero(first < part.start[part.event_key[gone] + 1])
    wrong = []
    for index in suspects.tolist():
        after = part.file[first[index] : part.start[part.event_key[gone[index]] + 1]]
        of = events.file[gone[index]]
        if ((after == of) | ~run.precedes(after, np.full(len(after), of))).any():
            wrong.append(gone[index])
    violations.add_many(
        "A2",
        "after-despawn",
        np.array(wrong, np.int64),
        say.events("A2", "after-despawn", lambda _: "despawned, and simulated at or after that tick"),
    )


def freezes(part: Slice) -> tuple[I64, I64]:
    """Each freeze, and the tick at which the same shard said something else of the row (a far one: never)."""
    events = part.events
    about = np.flatnonzero((events.kind != SPAWN) & (events.kind != ADOPT))
    about = about[np.lexsort((events.line[about], events.file[about], part.event_key[about]))]
    until = np.full(len(about), 1 << 60, np.int64)
    if len(about) > 1:
        after, before = about[1:], about[:-1]
        same = (part.event_key[after] == part.event_key[before]) & (events.file[after] == events.file[before])
        until[:-1] = np.where(same & (events.kind[after] == UNFREEZE), events.tick[after], 1 << 60)
    frozen = events.kind[about] == FREEZE
    return about[frozen], until[frozen]


def check_order(part: Slice, violations: Violations) -> None:
    """A5, over everything that says which shard had the entity under which version."""
    tenures, events, run, say = part.tenures, part.events, part.run, Say(part=part)
    _check_falls(part, violations)
    said = np.flatnonzero((events.kind == ADOPT) | (events.kind == SPAWN))
    key = np.concatenate([tenures.key, part.event_key[said]])
    version = np.concatenate([tenures.version, events.version[said]])
    file = np.concatenate([tenures.file, events.file[said]])
    tick = np.concatenate([tenures.first_tick, events.tick[said]])
    order = np.lexsort((tick, run.shard[file], version, key))
    key, version, file, tick = key[order], version[order], file[order], tick[order]
    taken = set(_taken_versions(part))
    once = np.ones(len(key), bool)
    once[1:] = (key[1:] != key[:-1]) | (version[1:] != version[:-1]) | (run.shard[file[1:]] != run.shard[file[:-1]])
    key, version, file, tick = key[once], version[once], file[once], tick[once]
    shard = run.shard[file]
    same_key = key[1:] == key[:-1]
    step = version[1:] - version[:-1]

    def report(kind: str, which: Mask, text: Callable[[int], str]) -> None:
        violations.add_many(
            "A5",
            kind,
            np.flatnonzero(which),
            lambda i: say.at("A5", kind, int(key[i]), int(tick[i + 1]), (int(file[i]), int(file[i + 1])), text(i)),
        )

    report("same-version", same_key & (step == 0), lambda i: f"both had it under version {version[i]}")
    report(
        "raised-in-place",
        same_key & (step == 1) & (shard[1:] == shard[:-1]),
        lambda i: f"version {version[i]} became {version[i + 1]} without a change of shard",
    )
    jump = same_key & (step > 1)
    where = np.flatnonzero(jump)
    jump[where] = [
        (int(key[i]), int(version[i + 1])) not in taken
        and not _bridged(part, int(key[i]), int(version[i]), int(shard[i]), int(version[i + 1]), int(shard[i + 1]))
        for i in where
    ]
    report("version-jump", jump, lambda i: f"version {version[i]} became {version[i + 1]}")


def _taken_versions(part: Slice) -> Iterable[tuple[int, int]]:
    """(key, version) of rows that came by a takeover: of a shard that had not simulated them yet, the version before
    may be nowhere."""
    events = part.events
    taken = (events.kind == ADOPT) & (events.origin == TAKEOVER)
    return zip(part.event_key[taken].tolist(), events.version[taken].tolist(), strict=True)


def _check_falls(part: Slice, violations: Violations) -> None:
    """Within one file a version never falls from one tick to the next."""
    run, records, file, say = part.run, part.records, part.file, Say(part=part)
    same = (records.key[1:] == records.key[:-1]) & (file[1:] == file[:-1])
    violations.add_many(
        "A5",
        "version-fell",
        np.flatnonzero(same & (records.version[1:] < records.version[:-1])),
        lambda i: say.at(
            "A5",
            "version-fell",
            int(records.key[i]),
            int(run.ticks[records.rank[i + 1]]),
            (int(file[i]),),
            f"version {records.version[i]} became {records.version[i + 1]}",
        ),
    )


def _bridged(part: Slice, key: int, low: int, shard: int, high: int, end_shard: int) -> bool:
    """Whether releases name a shard for each version between: one that died before it could write anything."""
    events = part.events
    here = np.flatnonzero((part.event_key == key) & (events.kind == RELEASE) & (events.target >= 0))
    target = dict(zip((events.version[here] + 1).tolist(), events.target[here].tolist(), strict=True))
    for version in range(low + 1, min(high, low + 8)):
        if target.get(version, shard) == shard:
            return False
        shard = target[version]
    return high <= low + 8 and shard != end_shard
