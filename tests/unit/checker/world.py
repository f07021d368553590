"""A naive world that writes traces: plain Python, one entity at a time, with no code of the writer's or checker's."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TICK_US = 50_000
DTYPE = [
    ["tick", "<i8"],
    ["entity", "<u8"],
    ["version", "<u4"],
    ["unix_us", "<i8"],
    ["state_in", "<u8"],
    ["state_out", "<u8"],
    ["position", "<f8", [2]],
]


@dataclass
class Record:
    tick: int
    entity: int
    version: int
    unix_us: int
    state_in: int
    state_out: int


@dataclass
class File:
    shard: str
    epoch: int
    records: list[Record] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    header: dict[str, Any] = field(default_factory=dict)
    alive: bool = True
    late_us: int = 0

    def event(self, kind: str, tick: int, entity: int | None = None, version: int | None = None, **more: Any) -> None:
        named = {} if entity is None else {"entity": entity, "version": version}
        ended = bool(self.events) and self.events[-1]["kind"] == "epoch_end"
        self.events.insert(len(self.events) - ended, {"kind": kind, "tick": tick, **named, **more})

    def named(self, kind: str, entity: int | None = None) -> list[dict[str, Any]]:
        return [e for e in self.events if e["kind"] == kind and entity in (None, e.get("entity"))]


@dataclass
class Entity:
    id: int
    state: int
    version: int
    owner: File
    frozen: bool = False
    switching: tuple[int, File, str, int] | None = None
    """switch tick, target, origin, offer tick"""
    history: list[tuple[int, int]] = field(default_factory=list)


def moved(entity: int, state: int, tick: int) -> int:
    return (state * 6364136223846793005 + tick * 1442695040888963407 + entity) % (1 << 64)


class World:
    """Operations keep the protocol; tests then break the files by hand."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, int], File] = {}
        self.entities: dict[int, Entity] = {}
        self.sequence = 0

    def start(self, shard: str, epoch: int, tick: int, *, previous: int = 0, late_us: int = 0) -> File:
        file = self.files[shard, epoch] = File(shard, epoch, late_us=late_us)
        file.header = {"dtype": DTYPE, "dt_us": TICK_US, "shard": shard, "epoch": epoch, "origin_tick": 100}
        file.event("epoch_start", tick, previous_epoch=previous)
        return file

    def spawn(self, entity: int, file: File, tick: int) -> None:
        file.event("spawn", tick, entity, 1)
        self.entities[entity] = Entity(entity, entity * 1000 + 7, 1, file)

    def despawn(self, entity: int, tick: int) -> None:
        gone = self.entities.pop(entity)
        gone.owner.event("despawn", tick, entity, gone.version)

    def hand_over(self, entity: int, target: File, switch_tick: int, *, origin: str = "final") -> None:
        self.entities[entity].switching = (switch_tick, target, origin, switch_tick - 3)

    def freeze(self, entity: int, tick: int) -> None:
        e = self.entities[entity]
        e.frozen = True
        e.owner.event("freeze", tick, entity, e.version, transfer=f"{e.owner.shard}/{e.owner.epoch}/99")

    def unfreeze(self, entity: int, tick: int) -> None:
        e = self.entities[entity]
        e.frozen = False
        e.owner.event("unfreeze", tick, entity, e.version)

    def step(self, tick: int) -> None:
        for e in self.entities.values():
            if e.switching is not None and e.switching[0] <= tick:
                self._switch(e, *e.switching)
        for e in self.entities.values():
            if e.owner.alive and not e.frozen:
                self._simulate(e, tick, tick)

    def _simulate(self, e: Entity, tick: int, wall_tick: int) -> None:
        after = moved(e.id, e.state, tick)
        unix_us = wall_tick * TICK_US + 7_000 + e.owner.late_us
        e.owner.records.append(Record(tick, e.id, e.version, unix_us, e.state, after))
        e.history.append((tick, after))
        e.state = after

    def _switch(self, e: Entity, switch_tick: int, target: File, origin: str, offer_tick: int) -> None:
        self.sequence += 1
        name = f"{e.owner.shard}/{e.owner.epoch}/{self.sequence}"
        e.owner.event("release", switch_tick, e.id, e.version, transfer=name, target=target.shard)
        e.owner, e.version, e.switching, e.frozen = target, e.version + 1, None, False
        more = {"transfer": name, "from": origin, "switch_tick": switch_tick, "offer_tick": offer_tick}
        more["state_tick"] = switch_tick - 1
        target.event("adopt", switch_tick, e.id, e.version, **more)

    def crash(self, shard: str) -> File:
        file = next(file for file in self.files.values() if file.shard == shard and file.alive)
        file.alive = False
        return file

    def recover(self, old: File, epoch: int, tick: int, *, manifest_tick: int) -> File:
        """From the states as of ``manifest_tick``; catches up to before ``tick``."""
        file = self.start(old.shard, epoch, manifest_tick + 1, previous=old.epoch, late_us=old.late_us)
        for e in self.entities.values():
            if e.owner is not old:
                continue
            kept = [(t, state) for t, state in e.history if t <= manifest_tick]
            if e.history:
                e.state = kept[-1][1] if kept else next(r.state_in for r in old.records if r.entity == e.id)
            e.history, e.owner, e.frozen = kept, file, False
            file.event("adopt", tick, e.id, e.version, **{"from": "manifest", "state_tick": manifest_tick})
        for missed in range(manifest_tick + 1, tick):
            for e in self.entities.values():
                if e.owner is file and (e.history or self._born(e.id) <= missed):
                    self._simulate(e, missed, tick)
        return file

    def take_over(self, gone: File, taker: File, tick: int, *, manifest_tick: int) -> None:
        """``taker`` goes on with the states as of ``manifest_tick`` under the next version; catches up to before
        ``tick``."""
        for e in self.entities.values():
            if e.owner is not gone:
                continue
            kept = [(t, state) for t, state in e.history if t <= manifest_tick]
            e.state, e.history, e.owner, e.version, e.frozen = kept[-1][1], kept, taker, e.version + 1, False
            taker.event("adopt", tick, e.id, e.version, **{"from": "takeover", "state_tick": manifest_tick})
            for missed in range(manifest_tick + 1, tick):
                self._simulate(e, missed, tick)

    def _born(self, entity: int) -> int:
        return min(e["tick"] for file in self.files.values() for e in file.named("spawn", entity))

    def end(self, tick: int) -> None:
        for file in self.files.values():
            if file.alive:
                file.event("epoch_end", tick)

    def records(self) -> Iterator[tuple[File, Record]]:
        return ((file, record) for file in self.files.values() for record in file.records)

    def write(
        self, directory: Path, place: Callable[[Record], tuple[float, float]] = lambda _record: (0.0, 0.0)
    ) -> Path:
        for file in self.files.values():
            stem = f"{file.shard}.{file.epoch}"
            packed = (
                struct.pack("<qQLqQQdd", r.tick, r.entity, r.version, r.unix_us, r.state_in, r.state_out, *place(r))
                for r in sorted(file.records, key=lambda r: r.unix_us)
            )
            (directory / f"{stem}.trace").write_bytes(b"".join(packed))
            (directory / f"{stem}.json").write_text(json.dumps(file.header))
            lines = "".join(json.dumps(event) + "\n" for event in file.events)
            (directory / f"{stem}.events.jsonl").write_text(lines)
        return directory


def small_world() -> World:
    """Two shards, three entities, ticks 100..159: entity 1 goes a -> b at 120 and back at 140; 2 and 3 stay."""
    world = World()
    a, b = world.start("a", 11, 100), world.start("b", 12, 100, late_us=900)
    for entity, file in ((1, a), (2, a), (3, b)):
        world.spawn(entity, file, 100)
    for tick in range(100, 160):
        if tick == 115:
            world.hand_over(1, b, 120)
        if tick == 135:
            world.hand_over(1, a, 140, origin="offer")
        world.step(tick)
    world.end(159)
    return world


def random_world(seed: int) -> World:
    """Two or three shards, handoffs, freezes, despawns, late spawns, crashes; everything by the rules."""
    rng = random.Random(seed)
    world, first = World(), 1000
    files = {
        s: world.start(s, 1 + n, first, late_us=rng.randrange(9_000)) for n, s in enumerate("abc"[: rng.choice((2, 3))])
    }
    for entity in range(1, rng.randint(3, 7)):
        world.spawn(entity, files[rng.choice(list(files))], first)
    next_id, epoch, down = 100, 10, {}
    for tick in range(first, last := first + rng.randint(40, 90)):
        for shard in [shard for shard, (_, since) in down.items() if tick - since >= 4]:
            old, since = down.pop(shard)
            epoch += 1
            files[shard] = world.recover(old, epoch, tick, manifest_tick=since - rng.randint(1, 4))
        for e in list(world.entities.values()):
            if not e.owner.alive or e.switching is not None:
                continue
            roll = rng.random()
            if e.frozen:
                if roll < 0.5:
                    world.unfreeze(e.id, tick)
            elif roll < 0.03 and len(e.history) > 4:
                target = files[rng.choice([shard for shard in files if files[shard] is not e.owner])]
                if target.alive:
                    world.hand_over(e.id, target, tick + 3, origin=rng.choice(("final", "offer")))
            elif roll < 0.05:
                world.freeze(e.id, tick)
            elif roll < 0.055 and len(e.history) > 2:
                world.despawn(e.id, tick)
        if rng.random() < 0.05:
            alive = [file for file in files.values() if file.alive]
            next_id += 1
            world.spawn(next_id, rng.choice(alive), tick)
        world.step(tick)
        shard = rng.choice(list(files))
        busy = any(e.switching and shard in (e.owner.shard, e.switching[1].shard) for e in world.entities.values())
        recent = any(
            files[shard] is e.owner and tick - e.history[-1][0] > 3 for e in world.entities.values() if e.history
        )
        young = len(files[shard].records) == 0 or tick - files[shard].events[0]["tick"] < 12
        moved_lately = any(e["tick"] > tick - 6 for e in files[shard].events)
        if rng.random() < 0.08 and not (down or busy or recent or young or moved_lately) and tick < last - 10:
            down[shard] = (world.crash(shard), tick + 1)
    if rng.random() < 0.5:
        world.end(last - 1)
    return world
