"""The simulated network between shards: frames are lost, doubled, late or out of order, and links are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardfleet_shard.core.frames import Frame

from .windows import Windows

if TYPE_CHECKING:
    from .fleet import Fleet
    from .process import Process


class Network:
    """Every frame takes 0.1 to 2 ms where no fault strikes it; the order to one peer is not kept for certain."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.windows = Windows(fleet)
        self._cuts: dict[tuple[str, str], int] = {}
        """(from, to) -> until when nothing gets through."""
        self._seen_cuts: dict[tuple[str, str], int] = {}

    def cut(self, one: str, other: str, *, length_us: int, both_ways: bool, seen: bool) -> None:
        """``seen``: both sides know at once, as of a connection that was reset; else frames vanish in silence."""
        until_us = self.fleet.now_us + length_us
        self.fleet.fault_until(until_us)
        for pair in ((one, other), (other, one)) if both_ways else ((one, other),):
            self._cuts[pair] = max(until_us, self._cuts.get(pair, 0))
            if seen:
                self._seen_cuts[pair] = self._cuts[pair]

    def is_cut(self, one: str, other: str) -> bool:
        return bool(self._cuts) and max(self._cuts.get((one, other), 0), self._cuts.get((other, one), 0)) > (
            self.fleet.now_us
        )

    def is_seen_cut(self, one: str, other: str) -> bool:
        return self._seen_cuts.get((one, other), 0) > self.fleet.now_us

    def send(self, process: Process, peer: str, frame: Frame) -> None:
        fleet, windows, shards = self.fleet, self.windows, (process.shard, peer)
        cut = process.cut_off or self._cuts.get(shards, 0) > fleet.now_us
        if cut or windows.strikes("frame lost", shards):
            fleet.note("lost", process, peer, frame)
            return
        generation = process.runtime.context.generation
        for _ in range(1 + windows.strikes("frame doubled", shards)):
            delay_us = process.random.randint(100, 2_000)
            if windows.strikes("frame late", shards):
                delay_us += process.random.randint(40_000, 400_000)
            elif windows.strikes("frame reordered", shards):
                delay_us += process.random.randint(2_000, 25_000)
            fleet.at(fleet.now_us + delay_us, lambda: self._deliver(process, generation, peer, frame))

    def _deliver(self, process: Process, generation: str, peer: str, frame: Frame) -> None:
        """Hello says the generation: a link between two of them is closed by either side."""
        receiver = self.fleet.processes[peer]
        if receiver.runtime.context.generation == generation:
            self.fleet.note("frame", process, peer, frame)
            receiver.frame(process, frame)
