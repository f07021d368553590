"""How long one plan of a fleet takes, in the states that a fleet is in most."""

from __future__ import annotations

import statistics
import time

from shardfleet_operator.plan import (
    CellLoad,
    Desired,
    Observed,
    Process,
    ProcessState,
    Surroundings,
    first_layout,
    plan_elastic,
)
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.requests import Member

NOW_US = 1_800_000_000_000_000
REPEATS = 15


def plan_ms(shards: int) -> float:
    """Median of the slowest state: nothing runs yet, half of the shards live, all of them do, all pods are outdated."""
    names = [f"bench-{ordinal}" for ordinal in range(shards)]
    states = (
        _state(names, running=0, living=0),
        _state(names, running=shards, living=shards // 2),
        _state(names, running=shards, living=shards),
        _state(names, running=shards, living=shards, outdated=frozenset(names)),
    )
    desired = Desired(config=FleetConfig(name="bench", replicas=shards), gives_up=False)
    return max(_median_ms(desired, *state) for state in states)


def _median_ms(desired: Desired, observed: Observed, around: Surroundings) -> float:
    took_ms = []
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        plan_elastic(desired, observed, around, NOW_US)
        took_ms.append((time.perf_counter() - started_s) * 1_000)
    return statistics.median(took_ms)


def _state(
    names: list[str], *, running: int, living: int, outdated: frozenset[str] = frozenset()
) -> tuple[Observed, Surroundings]:
    layout = first_layout(FleetConfig(name="bench", replicas=len(names)))
    processes = tuple(
        Process(shard=name, ordinal=ordinal, state=ProcessState.RUNNING, epoch=NOW_US, started_us=NOW_US)
        for ordinal, name in enumerate(names[:running])
    )
    members = tuple(
        Member(shard=name, ordinal=ordinal, epoch=NOW_US, address="198.18.0.1:7000", living=True)
        for ordinal, name in enumerate(names[:living])
    )
    alive = set(names[:living])
    around = Surroundings(
        outdated=outdated,
        claims={cell.path: cell.shard for cell in layout.cells if cell.shard in alive},
        owned=dict.fromkeys(alive, 2),
        loads={cell.path: CellLoad(entities=2, tick_us=100.0) for cell in layout.cells},
    )
    return Observed(layout=layout, processes=processes, members=members), around
