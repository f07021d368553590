"""A fleet of a user's own image, with the simulation that this image brings: examples/simulation-plugin."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .fleets import condition
from .release import Release
from .traces import Traces
from .worlds import proved, traced


@pytest.fixture
def image() -> str:
    """The project's image with the plugin in it."""
    found = os.environ.get("SHARDFLEET_RAIN_IMAGE", "")
    if not found:
        pytest.skip(
            "no image with a plugin: build and push examples/simulation-plugin, then make e2e ... RAIN_IMAGE=that-image"
        )
    return found


def test_drops_fall_from_pod_to_pod(release: Release, traces: Traces, image: str, tmp_path: Path) -> None:
    simulation = {"name": "rain", "seedEntities": 200, "parameters": {"dropsPerTick": 2}}
    with traced(release, "wet", replicas=4, image=image, simulation=simulation) as fleet:
        fleet.wait("is Available", lambda status: condition(status, "Available")["status"] == "True", timeout_s=120)
        assert {pod["spec"]["containers"][0]["image"] for pod in fleet.pods().values()} == {image}
        fleet.wait_handoffs(200, timeout_s=60)
    report = proved(traces, fleet, tmp_path)
    assert report.handoffs >= 200
