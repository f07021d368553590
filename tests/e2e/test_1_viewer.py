"""``kubectl shardfleet`` as somebody who has the rights of ClusterRole shardfleet-viewer and no others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .fleets import LiveFleet, fleet
from .kubectl import Refused, run
from .release import SYSTEM, WORLDS, Release

USER = "viewer@e2e.shardfleet.dev"


@pytest.fixture(scope="module")
def seen(release: Release) -> Iterator[LiveFleet]:
    """A fleet, and a user who may look at it."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "shardfleet-e2e-viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "shardfleet-viewer"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    }
    release.system.apply(binding)
    live = LiveFleet(kubectl=release.worlds, name="seen")
    release.worlds.apply(fleet("seen", replicas=2))
    try:
        live.wait_settled(2, entities=50, timeout_s=120)
        yield live
    finally:
        live.delete(timeout_s=120)
        release.system("delete", "clusterrolebinding", "shardfleet-e2e-viewer")


def look(*words: str, release: Release) -> str:
    """``kubectl shardfleet``, which kubectl finds on the PATH, beside the Python that runs this."""
    program = Path(sys.executable).with_name("kubectl-shardfleet")
    path = f"{Path(release.tools.kubectl).parent}{os.pathsep}{os.environ['PATH']}"
    user = ("-n", WORLDS, "--as", USER)
    return run(["env", f"PATH={path}", str(program), *words, *user], timeout_s=60)


def test_status(release: Release, seen: LiveFleet) -> None:
    said = look("status", "seen", release=release)
    assert "seen-0" in said and "seen-1" in said
    assert json.loads(look("status", "seen", "--json", release=release))


def test_transfers(release: Release, seen: LiveFleet) -> None:
    json.loads(look("transfers", "seen", "--json", release=release))


def test_entity(release: Release, seen: LiveFleet) -> None:
    said = look("entity", "17", "seen", release=release)
    assert "seen-0" in said or "seen-1" in said


def test_watch(release: Release, seen: LiveFleet) -> None:
    lines = look("watch", "seen", "--ids", "1,2,3", "--duration", "4s", "--json", release=release).splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["entity"] for row in rows if "entity" in row} == {1, 2, 3}


def test_logs(release: Release, seen: LiveFleet) -> None:
    said = look("logs", "seen", "--tail", "5", release=release)
    assert any(line.startswith("seen-0") for line in said.splitlines())


def test_logs_follow(release: Release, seen: LiveFleet) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            [Path(sys.executable).with_name("kubectl-shardfleet"), "logs", "seen", "-f", "-n", WORLDS, "--as", USER],
            timeout=5,
            capture_output=True,
            check=True,
        )


@pytest.mark.parametrize("words", [("get", "secrets"), ("delete", "sf", "seen"), ("get", "secrets", "-n", SYSTEM)])
def test_a_viewer_changes_nothing_and_reads_no_password(
    release: Release, seen: LiveFleet, words: tuple[str, ...]
) -> None:
    with pytest.raises(Refused, match="forbidden"):
        release.worlds(*words, "--as", USER)
