"""Entities, time, and the processes of the shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from shardfleet_shard.config import parse_duration_us
from shardfleet_shard.core.ticks import WorldTime

from .. import words
from ..world import World
from .registry import command

if TYPE_CHECKING:
    from ..interpreter import Interpreter


@command
def do_shards(i: Interpreter, names: list[str]) -> None:
    """shards a-0 a-1: starts them, each with its claim; the world has no entities."""
    i.world = World(names)


@command
def do_spawn(i: Interpreter, a: list[str]) -> None:
    """spawn 1 at 9.8,5 moving 4,0 [turning at 12]: simulated from the tick after the next one on."""
    rows = i.world.rows(int(a[0]), _point(a[2]), _point(a[4]), float(a[7]) if len(a) > 7 else 0.0)
    i.say(i.world.spawn(rows))


@command
def do_arrival(i: Interpreter, a: list[str]) -> None:
    """arrival 101 at 5,5 moving 0,0 at tick 12: what the plugin will say of that tick."""
    origin = i.world.processes[0].runtime.context.origin_tick
    i.world.arrivals[int(a[7]) + i.world.zero_tick - origin] = i.world.rows(int(a[0]), _point(a[2]), _point(a[4]))


@command
def do_despawn(i: Interpreter, a: list[str]) -> None:
    """despawn a-0 1"""
    process = i.world.find(a[0])
    asked = process.runtime.despawn(np.array([int(a[1])], np.uint64))
    i.say(f"{process.name} asks for {' '.join(map(str, asked.tolist())) or 'nobody'}")
    i.world.carry(process)


def _point(text: str) -> tuple[float, float]:
    x, y = text.split(",")
    return float(x), float(y)


@command
def do_tick(i: Interpreter, names: list[str]) -> None:
    """tick [a-0 ...]: the next tick, of these shards or of all; nothing is delivered."""
    i.world.tick(i.named(names))


@command
def do_run(i: Interpreter, a: list[str]) -> None:
    """run 3: ticks, and after each all requests and frames are carried out."""
    for _ in range(int(a[0])):
        i.say(f"-- tick {i.world.now_tick + 1}")
        i.world.tick(list(i.world.living))
        i.world.settle_queues()


@command
def do_quiet(i: Interpreter, a: list[str]) -> None:
    """quiet 40: as run, journals are read and manifests stored as well; says only what comes of it."""
    i.world.quiet = True
    for _ in range(int(a[0])):
        i.world.tick(list(i.world.living))
        i.world.settle_queues(held=True)
    i.world.quiet = False
    i.say(f"now at tick {i.world.now_tick}")


@command
def do_wait(i: Interpreter, a: list[str]) -> None:
    """wait 3100ms: time passes and nobody ticks."""
    i.world.wait_until(i.world.clock.now_us + parse_duration_us(a[0]))
    i.say(f"now at tick {i.world.now_tick}")


@command
def do_slow(i: Interpreter, a: list[str]) -> None:
    """slow a-0 3100ms: so long does its next step take."""
    clock, duration_us = i.world.clock, parse_duration_us(a[1])

    def pass_time() -> None:
        clock.now_us += duration_us

    i.world.find(a[0]).plugin.on_step = pass_time


@command
def do_crash(i: Interpreter, a: list[str]) -> None:
    i.world.crash(i.world.find(a[0]))


@command
def do_ended(i: Interpreter, a: list[str]) -> None:
    """ended a-0: the platform has seen its process end."""
    i.world.confirm_end(a[0])


@command
def do_takeover(i: Interpreter, a: list[str]) -> None:
    """takeover a-1 by a-0 [stale]: the operator asks for it; stale: by an older epoch of a-1."""
    reply = i.world.take_over(i.world.find(a[2]), a[0], stale=a[3:] == ["stale"])
    i.say(f"Redis says: {words.of_reply(i.world, reply)}")


@command
def do_layout(i: Interpreter, a: list[str]) -> None:
    """layout a-0 a-0 a-2: the cells are for these shards now."""
    i.world.write_layout(a)


@command
def do_start(i: Interpreter, a: list[str]) -> None:
    i.world.start(a[0])


@command
def do_go_on(i: Interpreter, a: list[str]) -> None:
    """As the supervisor does before it starts a world that rested: the origin moves up by the time of the rest."""
    state, now_tick = i.world.store.state, i.world.grid.at(i.world.clock.now_us)
    time = WorldTime(state.origin_tick, state.rests)
    pause = time.pause([manifest.tick for manifest in state.manifests.values()], now_tick)
    state.rests = (*state.rests, (now_tick, state.origin_tick))
    state.origin_tick += pause
    i.say(f"the world's clock is set back by {pause} ticks")


@command
def do_settle(i: Interpreter, a: list[str]) -> None:
    i.world.find(a[0]).runtime.settle()


@command
def do_break(i: Interpreter, a: list[str]) -> None:
    i.world.find(a[0]).plugin.broken = True


@command
def do_mend(i: Interpreter, a: list[str]) -> None:
    i.world.find(a[0]).plugin.broken = False
