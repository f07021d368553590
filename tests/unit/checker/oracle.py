"""The checker's rules once more, for one entity at a time, by looking at everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from .world import File, Record, World

Row = tuple[File, Record]


@dataclass
class Verdict:
    broken: set[str] = field(default_factory=set)
    overlap_ticks: int = 0
    repeated_ticks: int = 0
    handoffs: int = 0
    longest_hole: int = 0
    frozen_ticks: int = 0
    lost: int = 0


def judge(world: World, bound: int) -> Verdict:
    verdict = Verdict()
    events = [(file, event) for file in world.files.values() for event in file.events]
    names = {record.entity for _, record in world.records()} | {e["entity"] for _, e in events if "entity" in e}
    end = max(
        [r.tick for _, r in world.records()]
        + [e["tick"] for _, e in events if e["kind"] in ("epoch_start", "epoch_end")]
    )
    for entity in sorted(names):
        rows = [(file, record) for file, record in world.records() if record.entity == entity]
        said = [(file, event) for file, event in events if event.get("entity") == entity]
        _one_simulator(rows, said, verdict)
        _presence(rows, said, end, bound, verdict)
        _history(rows, said, verdict)
    return verdict


def precedes(old: File, new: File) -> bool:
    return max(r.unix_us for r in old.records) < min(r.unix_us for r in new.records)


def began(file: File) -> int:
    return min(r.unix_us for r in file.records)


def _one_simulator(rows: list[Row], said: list[tuple[File, dict[str, Any]]], verdict: Verdict) -> None:
    for tick in {record.tick for _, record in rows}:
        here = sorted((row for row in rows if row[1].tick == tick), key=lambda row: began(row[0]))
        for (old, _), (new, _) in pairwise(here):
            if old is not new and precedes(old, new):
                verdict.repeated_ticks += 1
            else:
                verdict.overlap_ticks += 1
                verdict.broken.add("A1")
    for file, event in said:
        kind, tick = event["kind"], event["tick"]
        mine = [r for f, r in rows if f is file and r.version == event["version"]]
        if kind == "release" and any(r.tick >= tick for r in mine):
            verdict.broken.add("A1")
        if kind == "adopt" and "switch_tick" in event:
            if mine and any(r.tick < event["switch_tick"] for r in mine):
                verdict.broken.add("A1")
            if mine and any(r.tick >= event["switch_tick"] for _, r in rows if r.version < event["version"]):
                verdict.broken.add("A1")
        if kind == "freeze":
            after = file.events[file.events.index(event) + 1 :]
            thaw = next((e for e in after if e.get("entity") == event["entity"] and e["kind"] == "unfreeze"), None)
            until = thaw["tick"] if thaw else 1 << 60
            if any(tick <= r.tick < until for r in mine):
                verdict.broken.add("A1")


def _presence(rows: list[Row], said: list[tuple[File, dict[str, Any]]], end: int, bound: int, verdict: Verdict) -> None:
    born = [e["tick"] for _, e in said if e["kind"] == "spawn"]
    gone = [(f, e["tick"]) for f, e in said if e["kind"] == "despawn"]
    if rows and not born and not any(e.get("from") == "manifest" for _, e in said):
        verdict.broken.add("A2")
    for file, tick in gone:
        if any(r.tick >= tick and (f is file or not precedes(f, file)) for f, r in rows):
            verdict.broken.add("A2")
    ticks = sorted({r.tick for _, r in rows})
    if born and ticks and ticks[0] < min(born):
        verdict.broken.add("A2")
    for _, event in said:
        if event["kind"] == "freeze":
            later = [tick for tick in ticks if tick >= event["tick"]]
            verdict.frozen_ticks += (later[0] if later else end + 1) - event["tick"]
    holes = [b - a - 1 for a, b in pairwise(ticks)] + ([ticks[0] - min(born)] if born and ticks else [])
    verdict.longest_hole = max(verdict.longest_hole, *holes, 0) if holes else verdict.longest_hole
    if any(hole > bound for hole in holes):
        verdict.broken.add("A2")
    if born and not gone:
        signs = ticks + [e["tick"] for _, e in said if e["kind"] in ("spawn", "adopt", "unfreeze", "release")]
        last_said = max((e for _, e in said), key=lambda e: e["tick"])
        if end - max(signs) > bound and last_said["kind"] != "freeze":
            verdict.broken.add("A2")
            verdict.lost += 1


def _history(rows: list[Row], said: list[tuple[File, dict[str, Any]]], verdict: Verdict) -> None:
    """In the order of (version, file): the entity's life, whatever the clocks say."""
    rows = sorted(rows, key=lambda row: (row[1].version, began(row[0]), row[1].tick))
    owners: dict[int, set[str]] = {}
    for file, record in rows:
        owners.setdefault(record.version, set()).add(file.shard)
    for file, event in said:
        if event["kind"] in ("spawn", "adopt"):
            owners.setdefault(event["version"], set()).add(file.shard)
    if any(len(shards) > 1 for shards in owners.values()):
        verdict.broken.add("A5")
    by_tick = sorted(rows, key=lambda row: (row[1].tick, began(row[0])))
    if any(a is b and later.version < former.version for (a, former), (b, later) in pairwise(by_tick)):
        verdict.broken.add("A5")
    for low, high in pairwise(sorted(owners)):
        if high - low != 1 or owners[low] == owners[high]:
            verdict.broken.add("A5")
    for (old_file, old), (new_file, new) in pairwise(rows):
        handed = old_file.shard != new_file.shard and new.version > old.version
        verdict.handoffs += handed
        if old_file is new_file and old.version == new.version:
            if old.state_out != new.state_in:
                verdict.broken.add("A4")
            continue
        how = [e for f, e in said if f is new_file and e["kind"] == "adopt" and e["version"] == new.version]
        limit = new.tick - 1
        if how and how[-1]["from"] == "manifest":
            limit = min(limit, how[-1]["state_tick"])
        elif how and "switch_tick" in how[-1]:
            limit = min(limit, how[-1]["switch_tick"] - 1)
        before = [r for f, r in rows if f is old_file and r.version == old.version]
        known = [r for r in before if r.tick <= limit]
        expected = known[-1].state_out if known else before[0].state_in
        if how and how[-1]["from"] == "offer":
            wanted = set(range(how[-1]["offer_tick"] + 1, how[-1]["switch_tick"]))
            if not wanted <= {r.tick for r in known}:
                continue
        if expected != new.state_in:
            verdict.broken.add("A4")
        if new.tick <= before[-1].tick and not precedes(old_file, new_file):
            verdict.broken.add("A5" if _last_tick(rows, new_file, new.version) < before[0].tick else "A1")


def _last_tick(rows: list[Row], file: File, version: int) -> int:
    return max(r.tick for f, r in rows if f is file and r.version == version)
