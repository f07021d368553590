"""Worlds that are traced from their first tick to their end, and the proof from their traces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shardfleet_operator.checker import check_directory
from shardfleet_operator.checker.report import CheckReport

from .fleets import LiveFleet, fleet
from .kubectl import say
from .release import Release
from .traces import CLAIM, Traces

PLANNED_HOLE_TICKS = 3
"""No planned move may leave an entity unsimulated for longer."""


@contextmanager
def world(release: Release, name: str, *, shards: int, entities: int, **spec: Any) -> Iterator[LiveFleet]:
    """A settled fleet; at the end it is deleted, whatever happened, so that every trace has its end."""
    live = LiveFleet(kubectl=release.worlds, name=name)
    simulation = {"name": "orbit", "seedEntities": entities}
    trace = {"claimName": CLAIM}
    # Small shares: all pods of a test have to fit on what one small machine has.
    container = {"name": "shard", "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}}}
    template = {"spec": {"containers": [container]}}
    # On a small machine a new pod's start keeps the disk busy, and Redis, which syncs every write, waits for up to a
    # second. Entities whose answer is not there at their switch are frozen, which is safe, and here not what is tested:
    # a hole would measure the disk. With a delay that is longer than that, holes come from the moves themselves.
    handoff = {"delay": "1s"} if entities > 500 else {}
    release.worlds.apply(
        fleet(
            name,
            replicas=shards,
            simulation=simulation,
            trace=trace,
            template=template,
            handoff=handoff,
            **spec,
        )
    )
    try:
        live.wait_settled(shards, entities=entities, timeout_s=120)
        yield live
        live.wait("has nothing missing", _is_whole, timeout_s=60)
    except BaseException:
        say(live.tell())
        say(release.worlds("get", "pods", "-o", "wide"))
        raise
    finally:
        live.delete(timeout_s=240)


def _is_whole(status: dict[str, Any]) -> bool:
    census = status["entities"]
    return bool(census["expected"] == census["owned"] and not census["missing"] and not census["doubled"])


def proved(traces: Traces, live: LiveFleet, folder: Path, *, bound_s: float = 5.0, planned: bool = True) -> CheckReport:
    """The checker's report on all pods that a fleet ever had; fails where a rule was broken.

    Args:
        planned: nothing happened to the fleet but what was planned, so holes must be short.
    """
    traces.collect(folder, live.name)
    report = check_directory(folder, bound_s=bound_s)
    say(report.to_text())
    assert report.ok, report.to_text()
    assert report.entities_lost == report.overlap_ticks == 0
    assert report.handoffs > 0
    if planned:
        assert report.longest_hole_ticks <= PLANNED_HOLE_TICKS, report.to_text()
    return report
