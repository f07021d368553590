"""The comparison: ``kill -9`` of one of two shards under load; what is owned, ownerless and doubled 5 s later."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .faults import now_us, send
from .fleet import WORLD_WIDTH, Fleet

ENTITIES = 1_000
AFTER_S = 5.0
WARM_UP_S = 30.0
ONE_EACH = WORLD_WIDTH * math.pi / 2
"""World units a second at which entities in random directions cross the one border once a second each."""
FULL_SPEED = 4_800.0
"""The most that the simulation takes: through the whole world in a tick, so that all of them cross all the time."""
LOADS = {"one crossing a second each": ONE_EACH, "full speed": FULL_SPEED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """Of ``ENTITIES``, ``AFTER_S`` seconds after the kill."""

    load: str
    handoffs_per_second: int
    owned: int
    ownerless: int
    doubled: int
    shards_alive: int


def once(folder: Path, load: str) -> Aftermath:
    """One run: a fleet of two, its load, the kill, and a census of one moment."""
    with Fleet(folder, shards=2, entities=ENTITIES, speed=LOADS[load]) as fleet:
        fleet.wait("handoffs at full rate", WARM_UP_S, lambda: fleet.reader.completed() >= 2 * ENTITIES)
        before, before_s = fleet.reader.completed(), time.monotonic()
        time.sleep(3.0)
        rate = (fleet.reader.completed() - before) / (time.monotonic() - before_s)
        struck_us = now_us()
        send(fleet.pid(fleet.shards[0]) or os.getpid(), signal.SIGKILL, fleet.shards[0])
        time.sleep(max(0.0, AFTER_S - (now_us() - struck_us) / 1e6))
        snapshot = fleet.reader.snapshot()
        owned = snapshot.owned_since(struck_us)
        return Aftermath(
            load=load,
            handoffs_per_second=round(rate),
            owned=owned,
            ownerless=len(fleet.expected) - owned,
            doubled=len(snapshot.doubled()),
            shards_alive=len(snapshot.living),
        )


def compare(folder: Path, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """``runs`` runs of each load; the lowest and the highest of every figure."""
    results: dict[str, Any] = {}
    for load in LOADS:
        found = []
        for run in range(runs):
            found.append(once(folder / f"{load.replace(' ', '-')}-{run}", load))
            say(f"{load}: {found[-1].owned} owned, {found[-1].ownerless} ownerless, {found[-1].doubled} doubled")
        names = ("handoffs_per_second", "owned", "ownerless", "doubled", "shards_alive")
        results[load] = {
            "runs": [asdict(one) for one in found],
            **{name: [min(values), max(values)] for name in names if (values := [getattr(one, name) for one in found])},
        }
    return results
