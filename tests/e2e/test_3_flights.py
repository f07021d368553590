"""Recorded aircraft over Switzerland through six pods: ``make flights`` on a cluster, by the same proof."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from shardfleet_operator.trace_report import PAGE_NAME, read_story, render, write_page

from examples.flights import prepare, verify

from .kubectl import REPOSITORY, say
from .release import Release
from .traces import Traces
from .worlds import proved, traced

DATA = REPOSITORY / "build" / "flights-e2e"
"""What prepare.py wrote, also for the image."""


@pytest.fixture
def image() -> str:
    """The project's image with the tracks in it."""
    found = os.environ.get("SHARDFLEET_FLIGHTS_IMAGE", "")
    if not found or not (DATA / "tracks.csv").exists():
        pytest.skip(
            f"no image with flights: run examples/flights/prepare.py --out {DATA.relative_to(REPOSITORY)} --hours 5-9, "
            "build and push the Dockerfile that it writes there, then make e2e ... FLIGHTS_IMAGE=that-image"
        )
    return found


def span_s(tracks: Path) -> float:
    """Seconds of the fleet's time that the tracks take."""
    with tracks.open(newline="") as stream:
        times = [int(row["time"]) for row in csv.DictReader(stream)]
    return (max(times) - min(times)) / 1000 / prepare.SPEEDUP


class AllBehind:
    """Flights came, went from pod to pod, and none is in the air any more; asked of a status, again and again.

    A census is older than the counters beside it: the one of before the first flight says nothing of the end.
    """

    def __init__(self) -> None:
        self._came = False

    def __call__(self, status: dict[str, Any]) -> bool:
        in_the_air = (status.get("entities") or {}).get("expected")
        self._came |= bool(in_the_air)
        return self._came and in_the_air == 0 and bool((status.get("transfers") or {}).get("completed", 0))


@pytest.mark.timeout(900)
def test_every_flight_has_one_owner_and_is_on_its_track(
    release: Release, traces: Traces, image: str, tmp_path: Path
) -> None:
    spec = yaml.safe_load((DATA / "flights.yaml").read_text())["spec"]
    spec["simulation"]["parameters"]["tracks"] = f"{prepare.IMAGE_FOLDER}/tracks.csv"
    assert spec["replicas"] == 6
    # As in worlds.py; a flight makes 3 km a tick, and must not be far beyond a border when it is handed over.
    handoff = {"delay": "300ms"}
    with traced(release, "flights", image=image, handoff=handoff, **spec) as fleet:
        fleet.wait("has all flights behind it", AllBehind(), timeout_s=span_s(DATA / "tracks.csv") + 120)
    try:
        report = proved(traces, fleet, tmp_path)
    finally:  # a proof that fails is what one wants to look at
        write_page(DATA / PAGE_NAME, render(read_story(tmp_path)))
    assert len({one.shard for one in report.epochs}) == 6
    tracks = verify.read_tracks([DATA / "tracks.csv"], time_unit="ms")
    result = verify.verify(verify.read_trace(tmp_path), tracks, speedup=prepare.SPEEDUP)
    say(verify.show(result))
    assert result.ok and result.counts["flights"] == len(tracks)
