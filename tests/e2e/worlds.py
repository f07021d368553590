"""Worlds that are traced from their first tick to their end, and the proof from their traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shardfleet_operator.checker import check_directory
from shardfleet_operator.checker.report import CheckReport

from tests.fault_costs import CLUSTER, note
from tests.traced import fallbacks, longest_wait

from .fleets import LiveFleet, fleet
from .kubectl import say
from .release import Release
from .traces import CLAIM, Traces

CROWD = 2_000
"""Entities of a world that is changed."""
PATIENCE_S = 240.0
"""For a change to be done."""

TICK_RATE = 20
"""The default: tick k begins at k / 20 s of Unix time."""
TAKEN_OVER_S = 30.0
"""After a fault that nobody announced every entity is simulated again by then."""
PLANNED_HOLE_TICKS = 3
"""No planned move may leave an entity unsimulated for longer, where shards keep time."""


def template(cpu: str) -> dict[str, Any]:
    """A pod template that asks for so much of a processor."""
    container = {"name": "shard", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}
    return {"spec": {"containers": [container]}}


SMALL = template("20m")
"""For fleets that only have to be there."""
BUSY = template("150m")
"""For shards that must keep time beside the cluster's own programs, and of which eight must fit on one small node."""


@contextmanager
def traced(
    release: Release, name: str, *, while_it_ends: Callable[[LiveFleet], None] | None = None, **spec: Any
) -> Iterator[LiveFleet]:
    """A fleet from its first moment on; deleted at the end, whatever happened, so that every trace has one."""
    live = LiveFleet(kubectl=release.worlds, name=name)
    release.worlds.apply(fleet(name, **{"trace": {"claimName": CLAIM}, "template": BUSY, **spec}))
    try:
        yield live
        live.wait("has nothing missing", _is_whole, timeout_s=60)
    except BaseException:
        say(live.tell())
        say(release.worlds("get", "pods", "-o", "wide"))
        raise
    finally:
        try:
            if while_it_ends is not None:
                live.kubectl("delete", "sf", live.name, "--wait=false")
                while_it_ends(live)
        finally:
            live.delete(timeout_s=240)


@contextmanager
def world(release: Release, name: str, *, shards: int, entities: int, **spec: Any) -> Iterator[LiveFleet]:
    """A settled fleet of ``orbit``."""
    # Where the answer is not there at a switch, entities stand still until it is. That is safe, and not what is tested
    # here: three nodes with all their programs have two cores, and while pods start on them an answer was seen half a
    # second late (5 ticks with a delay of 200 ms). With a longer delay, holes come from the moves themselves.
    handoff = {"delay": "500ms"} if entities > 500 else {}
    simulation = {"name": "orbit", "seedEntities": entities}
    with traced(release, name, replicas=shards, simulation=simulation, handoff=handoff, **spec) as live:
        live.wait_settled(shards, entities=entities, timeout_s=120)
        yield live


def _is_whole(status: dict[str, Any]) -> bool:
    census = status.get("entities")  # none yet, where the watchdog has only just begun anew
    return census is not None and not census["missing"] and not census["doubled"]


def proved(
    traces: Traces, live: LiveFleet, folder: Path, *, bound_s: float = 5.0, planned: bool = True, row: str = ""
) -> CheckReport:
    """The checker's report on all pods that a fleet ever had; fails where a rule was broken.

    Args:
        planned: nothing happened to the fleet but what was planned, so holes must be short.
        row: of the table of faults, under which the cost is noted.
    """
    traces.collect(folder, live.name)
    report = check_directory(folder, bound_s=bound_s)
    say(report.to_text())
    assert report.ok, report.to_text()
    assert report.entities_lost == report.overlap_ticks == 0
    assert report.handoffs > 0
    if row:
        wait = longest_wait(folder)
        figures = {"hole_ticks": report.longest_hole_ticks, "unsimulated_ticks": wait.ticks}
        if motion := fallbacks(folder):
            figures["motion_back_ticks"] = max(one.ticks for one in motion)
        say(f"{live.name}: {figures}")
        note(row, CLUSTER, live.name, **figures)
        # A successor catches ticks up, so that no hole stays; the time has passed all the same.
        assert planned or wait.ticks <= bound_s * TICK_RATE
    if planned:
        assert report.longest_hole_ticks <= PLANNED_HOLE_TICKS + _ticks_behind(report), report.to_text()
    return report


def _ticks_behind(report: CheckReport) -> int:
    """So far behind the others was a shard at worst: no protocol makes a gap negative, only a source whose machine lets
    it tick late. Two cores under three nodes do so for some tenths of a second where pods start."""
    return int(max(0.0, -(report.gap_ms["min"] or 0.0)) / 1000 * TICK_RATE)
