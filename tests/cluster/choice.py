"""Which Docker the cluster runs on and where its node image comes from.

``docker``: the machine's Docker, the image from the hub. ``registries``: a Docker of our own and an image built from
Debian's packages and Go's modules. ``auto`` takes the first where it can be had, else the second.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from tests.cluster import debian, golang, node_image, versions
from tests.cluster.docker import Docker, running_docker
from tests.cluster.own_docker import OwnDocker
from tests.cluster.paths import Layout
from tests.cluster.progress import ClusterError, say, step

MODES = ("auto", "docker", "registries")
PULL_TIMEOUT_S = 900.0
FREE_SPACE_GB = 12
"""The cache of a cold build: 3 GB of Go's, 2 of Debian's and Docker's; and three nodes of 2 GB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A Docker that answers; the node image is made when it is asked for."""

    docker: Docker
    node_image: str


def mode_from(environment: Mapping[str, str]) -> str:
    """The mode that SHARDFLEET_CLUSTER names; ``auto`` when it is not set.

    Raises:
        ClusterError: There is no such mode.
    """
    mode = environment.get("SHARDFLEET_CLUSTER") or "auto"
    if mode not in MODES:
        raise ClusterError(f"SHARDFLEET_CLUSTER is '{mode}'; it can be one of {', '.join(MODES)}")
    return mode


def choose(layout: Layout, *, mode: str, install: bool) -> Choice:
    """Find or start a Docker and get a node image into it.

    Args:
        layout: The folders.
        mode: One of ``MODES``.
        install: Whether missing Debian packages may be installed.

    Raises:
        ClusterError: Something is missing; all of it is named at once.
    """
    reason = "the mode 'registries' was asked for"
    if mode != "registries":
        docker = running_docker()
        if docker is not None:
            image = os.environ.get("SHARDFLEET_NODE_IMAGE") or versions.HUB_NODE_IMAGE
            reason = _pull(docker, image)
            if not reason:
                return Choice(docker=docker, node_image=image)
        else:
            reason = "no Docker answers here (is it started? 'docker info' says more)"
        if mode == "docker":
            raise ClusterError(f"no cluster on this machine's Docker: {reason}")
    return _own(layout, reason=reason, install=install)


def _pull(docker: Docker, image: str) -> str:
    """Get the image; why that failed, or ''."""
    if docker.has_image(image):
        return ""
    try:
        with step(f"{image.partition('@')[0]}, from the hub"):
            docker.command("pull", image, timeout_s=PULL_TIMEOUT_S)
    except ClusterError as error:
        return f"the hub gave no node image: {str(error).strip().splitlines()[-1].strip()}"
    return ""


def _own(layout: Layout, *, reason: str, install: bool) -> Choice:
    packages = debian.missing_packages() if sys.platform == "linux" and shutil.which("apt-get") else []
    if install and packages and os.geteuid() == 0:
        debian.install(packages, layout)
        packages = debian.missing_packages()
    if missing := missing_for_own(layout, packages=packages):
        listed = "\n".join(f"  - {each}" for each in missing)
        raise ClusterError(
            f"{reason}.\nA cluster can also be built without a Docker and a hub; for that, this machine lacks\n{listed}"
        )
    say(f"  note   {reason}; so: a Docker of our own, and a node image built from packages and modules")
    docker = OwnDocker(layout).start()
    return Choice(docker=docker, node_image=node_image.ensure_node_image(layout, docker))


def missing_for_own(layout: Layout, *, packages: list[str]) -> list[str]:
    """Everything that a cluster without a hub lacks here, with what to do about each."""
    if sys.platform != "linux":
        return ["Linux: containers need its kernel"]
    missing = []
    if os.geteuid() != 0:
        missing.append("root: namespaces, mounts and a bridge are made")
    if not shutil.which("apt-get"):
        missing.append("Debian's or Ubuntu's apt-get: the node image is made of their packages")
    if packages:
        missing.append(f"packages: apt-get install --no-install-recommends {' '.join(packages)}")
    if go := golang.missing_go():
        missing.append(go)
    layout.cache.mkdir(parents=True, exist_ok=True)
    free_gb = shutil.disk_usage(layout.cache).free / 1e9
    if free_gb < FREE_SPACE_GB and not (layout.cache / "docker").exists():
        missing.append(f"{FREE_SPACE_GB} GB of disk under {layout.cache}; there are {free_gb:.0f}")
    return missing
