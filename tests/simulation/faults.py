"""Kinds of faults: what each draws for itself, and how it strikes a fleet.

To add one: give it a row in ``KINDS`` and a branch in ``strike``; README.md says what else.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from . import world

if TYPE_CHECKING:
    from .fleet import Fleet
    from .process import Process

MAX_DRIFT_PPM = 100
"""As the product assumes of an oscillator (``OSCILLATOR_PPM``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault of a plan. What a field means is its kind's business; times in microseconds of the run."""

    kind: str
    at_us: int
    number: int = 0
    """Seeds what the fault draws while it lasts."""
    shard: int = 0
    length_us: int = 0
    chance: float = 0.0
    amount: int = 0
    aim: str = ""
    """Strikes when a transfer comes into this state, at that transfer's shard; '': at ``at_us``."""
    patience_us: int = 0
    """How long after ``at_us`` it waits for that state; then it strikes all the same."""


Draw = Callable[[random.Random, int], dict[str, Any]]


class Kind(NamedTuple):
    """``weight``: how often it is drawn, beside the others. ``draw``: its fields, from a generator and the lease."""

    weight: float
    draw: Draw


def _window(low: float, high: float, *, longest_us: int = 1_200_000) -> Draw:
    return lambda r, lease_us: {"chance": r.uniform(low, high), "length_us": r.randint(200_000, longest_us)}


def _length(low_us: int, high_us: int) -> Draw:
    return lambda r, lease_us: {"length_us": r.randint(low_us, high_us), "amount": r.randint(0, 1)}


def _past_lease(r: random.Random, lease_us: int) -> dict[str, Any]:
    return {"length_us": lease_us + r.randint(50_000, 500_000)}


def _inside(r: random.Random, lease_us: int) -> dict[str, Any]:
    lengths = [60_000, 400_000, lease_us + 100_000, lease_us + 700_000]
    return {"length_us": r.choice(lengths), "amount": r.randint(0, 12)}


def _clock(r: random.Random, lease_us: int) -> dict[str, Any]:
    return {"amount": r.choice([-1, 1]) * r.choice([8_000, 14_000, 60_000, 400_000, 1_500_000])}


KINDS: dict[str, Kind] = {
    "frame lost": Kind(1.2, _window(0.1, 0.9)),
    "frame doubled": Kind(0.8, _window(0.2, 1.0)),
    "frame late": Kind(1.0, _window(0.1, 0.8)),
    "frame reordered": Kind(0.8, _window(0.3, 1.0)),
    "link cut": Kind(1.0, _length(20_000, 1_500_000)),
    "link cut one way": Kind(1.0, _length(20_000, 1_500_000)),
    "request lost": Kind(1.0, _window(0.05, 0.5, longest_us=600_000)),
    "reply lost": Kind(1.0, _window(0.05, 0.5, longest_us=600_000)),
    "request doubled": Kind(0.8, _window(0.2, 1.0)),
    "request very late": Kind(0.8, _window(0.03, 0.2, longest_us=600_000)),
    "redis slow": Kind(0.7, _window(0.1, 0.6, longest_us=800_000)),
    "redis gone": Kind(0.6, _length(20_000, 1_500_000)),
    "redis restarted": Kind(0.7, _length(20_000, 500_000)),
    "redis cut from a shard": Kind(0.8, _length(50_000, 2_500_000)),
    "crash": Kind(2.5, lambda r, lease_us: {"amount": r.randint(0, 6)}),
    "stopped": Kind(0.8, _length(50_000, 900_000)),
    "stopped past its lease": Kind(0.8, _past_lease),
    "stopped inside a tick": Kind(1.2, _inside),
    "replaced, old one cut off": Kind(0.6, lambda r, lease_us: {}),
    "replaced, old one connected": Kind(0.6, lambda r, lease_us: {}),
    "clock set": Kind(0.7, _clock),
    "clock drifts": Kind(0.6, lambda r, lease_us: {"amount": r.choice([-1, 1]) * r.randint(20, MAX_DRIFT_PPM)}),
    "slow ticks": Kind(0.5, _length(100_000, 800_000)),
    "step fails": Kind(0.5, lambda r, lease_us: {"amount": r.randint(1, 3)}),
    "cells swapped": Kind(0.6, lambda r, lease_us: {}),
    "scaled up": Kind(0.5, lambda r, lease_us: {}),
    "drained": Kind(0.5, lambda r, lease_us: {}),
    "settled": Kind(0.4, lambda r, lease_us: {}),
}
LOSSES: dict[str, Kind] = {
    "redis without its last second": Kind(
        1.0, lambda r, _: {"length_us": 50_000, "amount": r.randint(50_000, 1_000_000)}
    ),
    "redis without any data": Kind(1.0, lambda r, _: {"length_us": 50_000}),
}
"""What a roll-call makes good as long as every shard lives: not drawn with the others, see plan.py."""
ENDINGS: dict[str, Kind] = {
    "never comes back": Kind(
        1.0, lambda r, _: {"length_us": r.choice([0, r.randint(50_000, 1_500_000)]), "amount": r.randint(0, 6)}
    ),
}
"""One at most in a plan: who is left must be able to go on. ``length_us``: from the lease's end to the takeover."""
HARMLESS = (
    "frame lost", "frame doubled", "frame late", "frame reordered", "link cut", "link cut one way", "request doubled",
    "request very late", "request lost", "reply lost", "redis slow", "clock drifts",
)  # fmt: skip
"""Kinds that stop no shard, and keep none from Redis for as long as its lease."""
LOAD = ("spawn", "despawn")
"""In plans among the faults, though nothing is wrong with them."""


def strike(fleet: Fleet, fault: Fault, shard: str) -> None:
    """``shard``: whom it strikes, where it strikes one."""
    process, now_us = fleet.processes[shard], fleet.now_us
    draws = random.Random(f"{fleet.seed} {fault.number}")
    opened = {"length_us": fault.length_us, "chance": fault.chance, "seed": f"{fleet.seed} {fault.number}"}
    struck: tuple[str, ...] = (shard,)
    fleet.fault_until(now_us)
    match fault.kind:
        case "frame lost" | "frame doubled" | "frame late" | "frame reordered":
            fleet.network.windows.open(fault.kind, **opened)
            return  # each message that it strikes counts
        case "request lost" | "reply lost" | "request doubled" | "request very late" | "redis slow":
            fleet.redis.windows.open(fault.kind, **opened)
            return
        case "link cut" | "link cut one way":
            struck = (shard, _peer(fleet, process, draws))
            both = fault.kind == "link cut"
            one, other = struck if draws.random() < 0.5 else struck[::-1]
            fleet.network.cut(one, other, length_us=fault.length_us, both_ways=both, seen=both and bool(fault.amount))
        case "redis gone":
            struck, fleet.redis.gone_until_us = (), max(fleet.redis.gone_until_us, now_us + fault.length_us)
            fleet.fault_until(fleet.redis.gone_until_us)
        case "redis restarted":
            struck = ()
            fleet.redis.restart(away_us=fault.length_us)
            fleet.fault_until(fleet.redis.gone_until_us)
        case "redis without its last second" | "redis without any data":
            struck = ()
            if all(_works(fleet, name) for name in fleet.layout.shards):
                fleet.redis.restart(away_us=fault.length_us, back_us=fault.amount, wiped=not fault.amount)
            else:  # what only a shard that is down could say would be lost
                fleet.redis.restart(away_us=fault.length_us)
            fleet.fault_until(fleet.redis.gone_until_us)
        case "redis cut from a shard":
            process.redis_cut_until_us = now_us + fault.length_us
            fleet.fault_until(process.redis_cut_until_us)
        case "crash":
            process.crash_after = fault.amount
            return  # counts when it comes
        case "never comes back":
            process.crash_after, process.taken_after_us = fault.amount, fault.length_us
            return
        case "stopped" | "stopped past its lease":
            process.stopped_until_us = max(process.stopped_until_us, now_us + fault.length_us)
            fleet.fault_until(process.stopped_until_us)
        case "stopped inside a tick":
            process.clock.stop_inside(after_readings=fault.amount, for_us=fault.length_us)
        case "replaced, old one cut off" | "replaced, old one connected":
            fleet.hits.strike(fault.kind, struck)  # before the shard's name is the successor's
            fleet.platform.replace(shard, cut_off=fault.kind.endswith("cut off"))
            return
        case "clock set":
            fleet.host(shard).wall_offset_us = fault.amount
        case "clock drifts":
            fleet.host(shard).drift(fault.amount, now_us)
        case "slow ticks":
            process.simulation.slow_until_us = now_us + fault.length_us
            fleet.fault_until(now_us + fault.length_us)
        case "step fails":
            process.simulation.failures = fault.amount
            fleet.fault_until(now_us + 1_000_000 * fault.amount)
        case "cells swapped":
            world.swap_cells(fleet, draws)
        case "scaled up":
            world.scale_up(fleet, draws)
        case "drained":
            world.drain(fleet, shard, draws)
        case "settled":
            process.runtime.settle()
        case "spawn":
            world.spawn(fleet, shard, draws)
            return
        case "despawn":
            world.despawn(fleet, shard)
            return
        case _:
            raise AssertionError(f"no fault {fault.kind!r}")
    fleet.hits.strike(fault.kind, struck)


def _works(fleet: Fleet, shard: str) -> bool:
    process = fleet.processes.get(shard)
    return process is not None and not process.dead and process.runtime.state == "active"


def _peer(fleet: Fleet, process: Process, draws: random.Random) -> str:
    """One with whom it has a transfer open, or any."""
    mailbox = process.runtime.mailbox
    open_with = {out.target for out in mailbox.outgoing.open.values()}
    open_with |= {inc.id.source for inc in mailbox.incoming.open.values()}
    others = sorted((open_with or set(fleet.processes)) - {process.shard})
    return draws.choice(others or [process.shard])
