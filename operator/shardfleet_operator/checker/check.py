"""Puts the parts together: files, then the entities slice by slice, then the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from shardfleet_shard.errors import UsageError

from .continuity import Continuity, check_continuity
from .events import EventTable
from .files import Run, TraceFile, find_files
from .presence import Presence, check_presence
from .report import CheckReport, EpochFigures, Violation, Violations, gap_figures
from .rules import check_one_simulator, check_order
from .slices import Slice, load

DEFAULT_BOUND_S = 5
"""A2's bound on one machine."""
RECORDS_PER_SLICE = 6_000_000
"""About 1 GB while a slice is checked."""


class Observer(Protocol):
    """Whoever wants to see what is checked while it is in memory; nothing of a verdict depends on it."""

    def begin(self, run: Run, *, slices: int) -> None: ...

    def slice_checked(self, part: Slice, continuity: Continuity) -> None:
        """Once for each of ``slices``, in order."""


def check_directory(
    path: Path | str,
    *,
    bound_s: float = DEFAULT_BOUND_S,
    bound_ticks: int | None = None,
    records_per_slice: int = RECORDS_PER_SLICE,
    observer: Observer | None = None,
) -> CheckReport:
    """Proves A1, A2, A4 and A5 from the traces in ``path``, or says where they do not hold.

    Args:
        bound_s: how long an entity may go unsimulated, seconds of ticks.
        bound_ticks: the same in ticks, instead of ``bound_s``.
        records_per_slice: entities are taken in slices of about so many records, to bound the memory.
    Raises:
        UsageError: no such directory, no trace in it, or a bound that is not above 0.
    """
    directory = Path(path)
    if not bound_s > 0:
        raise UsageError(f"bound of {bound_s:g} s: must be above 0")
    if bound_ticks is not None and bound_ticks < 1:
        raise UsageError(f"bound of {bound_ticks} ticks: must be at least 1")
    violations = Violations()
    files = find_files(directory, violations)
    run = _run(files, bound_s, bound_ticks, violations)
    _check_epochs(run, violations)
    events = _all_events(run)
    records = sum(len(file) for file in run.files)
    slices = max(1, -(-records // max(1, records_per_slice)))
    if observer is not None:
        observer.begin(run, slices=slices)
    overlaps = repeats = 0
    presences: list[Presence] = []
    continuities: list[Continuity] = []
    for bucket in range(slices):
        part = load(run, events, bucket=bucket, buckets=slices)
        overlap, repeated = check_one_simulator(part, violations)
        overlaps, repeats = overlaps + overlap, repeats + repeated
        presences.append(check_presence(part, violations))
        continuities.append(check_continuity(part, violations))
        check_order(part, violations)
        if observer is not None:
            observer.slice_checked(part, continuities[-1])
    worst = max(presences, key=lambda presence: presence.longest_hole_ticks)
    return CheckReport(
        directory=str(directory),
        bound_ticks=run.bound_ticks,
        records=records,
        ticks=len(run.ticks),
        epochs=tuple(_figures(run)),
        entities_expected=sum(p.expected for p in presences),
        entities_seen=sum(p.seen for p in presences),
        entities_lost=sum(p.lost for p in presences),
        spawned=sum(p.spawned for p in presences),
        despawned=sum(p.despawned for p in presences),
        frozen_at_end=sum(p.frozen_at_end for p in presences),
        passing_at_end=sum(p.passing_at_end for p in presences),
        handoffs=sum(len(c.handed) for c in continuities),
        overlap_ticks=overlaps,
        repeated_ticks=repeats,
        frozen_ticks=sum(p.frozen_ticks for p in presences),
        longest_hole_ticks=worst.longest_hole_ticks,
        longest_hole_entity=worst.longest_hole_entity,
        continuity_failures=sum(c.failures for c in continuities),
        continuity_unproven=sum(c.unproven for c in continuities),
        gap_ms=gap_figures(np.concatenate([c.gaps_us for c in continuities])),
        counts=dict(sorted(violations.counts.items())),
        violations=tuple(sorted(violations.kept, key=lambda v: (v.rule, v.kind))),
    )


def _run(files: Sequence[TraceFile], bound_s: float, bound_ticks: int | None, violations: Violations) -> Run:
    """Orders the files by when they began and finds what all rules need of them."""
    began: dict[str, int] = {}
    times: dict[int, tuple[int, int]] = {}
    for number, file in sorted(enumerate(files), key=lambda pair: (pair[1].shard, pair[1].epoch)):
        before = began.get(file.shard, 0)
        times[number] = (before + 1, before + 1)
        if len(file.run_unix_us):
            times[number] = (int(file.run_unix_us[0]), int(file.run_unix_us[-1]))
        began[file.shard] = times[number][1]
    order = sorted(range(len(files)), key=lambda n: (times[n][0], files[n].epoch, files[n].shard))
    files = [files[number] for number in order]
    run_ticks = np.concatenate([file.run_tick for file in files] or [np.zeros(0, np.int64)])
    ticks = np.unique(run_ticks)
    shards = tuple(sorted({file.shard for file in files}))
    ended = [file.events.end_tick for file in files]
    starts = [t for t in (file.events.start_tick for file in files) if t is not None]
    tick_us = {float(file.header["dt_us"]) for file in files}
    if len(tick_us) > 1:
        violations.add(Violation(rule="trace", kind="header", message=f"files with different dt_us: {sorted(tick_us)}"))
    step_us = min(tick_us, default=50_000.0)
    return Run(
        files=files,
        tick_us=step_us,
        bound_ticks=bound_ticks or max(1, round(bound_s * 1_000_000 / step_us)),
        ticks=ticks,
        end_tick=max([*(t for t in ended if t is not None), *starts, *ticks[-1:].tolist()], default=0),
        shards=shards,
        shard=np.array([shards.index(file.shard) for file in files], np.int64),
        first_unix_us=np.array([times[number][0] for number in order], np.int64),
        last_unix_us=np.array([times[number][1] for number in order], np.int64),
        first_tick=np.array([_first_tick(file) for file in files], np.int64),
        alive_tick=np.array([_alive_tick(file) for file in files], np.int64),
        ended=np.array([tick is not None for tick in ended], bool),
        ended_tick=np.array([-1 if tick is None else tick for tick in ended], np.int64),
        run_file=np.repeat(np.arange(len(files)), [len(file.run_tick) for file in files]),
        run_rank=np.searchsorted(ticks, run_ticks),
        run_unix_us=np.concatenate([file.run_unix_us for file in files] or [np.zeros(0, np.int64)]),
    )


def _first_tick(file: TraceFile) -> int:
    known = [int(file.run_tick.min())] if len(file.run_tick) else []
    return min([*known, *([] if file.events.start_tick is None else [file.events.start_tick])], default=0)


def _alive_tick(file: TraceFile) -> int:
    return max(
        int(column.max()) for column in (file.run_tick, file.events.table.tick, np.zeros(1, np.int64)) if len(column)
    )


def _check_epochs(run: Run, violations: Violations) -> None:
    """Every epoch that any file names must be there, in order, and all of one world."""
    present = {(file.shard, file.epoch) for file in run.files}
    named: dict[tuple[str, int], str] = {}
    for file in run.files:
        for epoch in (file.events.previous_epoch, int(file.header.get("previous_epoch") or 0)):
            if epoch:
                named.setdefault((file.shard, epoch), f"{file.stem} succeeds it")
        for source in sorted(file.events.sources):
            named.setdefault(source, f"{file.stem} names a transfer of it")
    for (shard, epoch), why in sorted(named.items()):
        if (shard, epoch) not in present:
            message = f"the trace of {shard}, epoch {epoch}, is missing: {why}"
            violations.add(Violation(rule="trace", kind="missing-epoch", message=message, shards=(shard,)))
    newest: dict[str, TraceFile] = {}
    for file in run.files:
        before = newest.get(file.shard)
        if before is not None and before.epoch > file.epoch:
            message = f"{file.stem} begins after {before.stem}, by the times in them"
            violations.add(Violation(rule="trace", kind="epoch-order", message=message, shards=(file.shard,)))
        newest[file.shard] = file
    targets = sorted({target for file in run.files for target in file.events.targets} - set(run.shards))
    for target in targets:
        message = f"the trace of {target} is missing: entities were released to it"
        violations.add(Violation(rule="trace", kind="missing-epoch", message=message, shards=(target,)))
    _check_worlds(run, violations)


def _check_worlds(run: Run, violations: Violations) -> None:
    """One world a folder. Where it rested its tick 0 moved up, and by then every process of before had ended."""
    numbers = [number for number, file in enumerate(run.files) if len(file) and file.header.get("origin_tick")]
    origin = {number: int(run.files[number].header["origin_tick"]) for number in numbers}
    for later in sorted(set(origin.values()))[1:]:
        last = max((n for n in numbers if origin[n] < later), key=lambda n: int(run.last_unix_us[n]))
        first = min((n for n in numbers if origin[n] == later), key=lambda n: int(run.first_unix_us[n]))
        if run.last_unix_us[last] >= run.first_unix_us[first]:
            message = (
                f"files of different worlds: {run.files[last].stem} (origin_tick {origin[last]}) went on when "
                f"{run.files[first].stem} (origin_tick {later}) had begun; use one folder a world"
            )
            violations.add(Violation(rule="trace", kind="worlds", message=message))


def _all_events(run: Run) -> EventTable:
    tables = []
    for number, file in enumerate(run.files):
        table = file.events.table
        table.file[:] = number
        shard_of = [run.shards.index(name) if name in run.shards else -1 for name in file.events.targets]
        if shard_of:
            table.target = np.where(table.target >= 0, np.array(shard_of, np.int64)[table.target], -1)
        tables.append(table)
    return EventTable.concat([EventTable.from_rows([]), *tables])


def _figures(run: Run) -> list[EpochFigures]:
    figures = [
        EpochFigures(
            shard=file.shard,
            epoch=file.epoch,
            records=len(file),
            first_tick=int(file.run_tick.min()) if len(file.run_tick) else -1,
            last_tick=int(file.run_tick.max()) if len(file.run_tick) else -1,
            ended=file.events.end_tick is not None,
        )
        for file in run.files
    ]
    return sorted(figures, key=lambda f: (f.shard, f.epoch))
