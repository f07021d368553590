"""The project's own image, and others that start from it, built on whichever Docker the cluster uses."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import node_image
from tests.cluster.docker import Docker
from tests.cluster.paths import Layout
from tests.cluster.progress import ClusterError, step

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """What to build."""

    dockerfile: Path
    context: Path
    tag: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Build arguments; without BASE among them, a Docker that reaches no hub gets one made here."""


def build(request: ImageRequest, layout: Layout, docker: Docker) -> None:
    """Build the image.

    With a Docker of our own the Dockerfile must do without BuildKit (no ``# syntax`` line, no ``RUN --mount``), and its
    first stage starts with ``ARG BASE=python:3.11-slim`` and ``FROM ${BASE}``. Its commands reach the network of this
    machine.

    Raises:
        ClusterError: There is no Dockerfile, or the build failed; with the end of its output.
    """
    if not request.dockerfile.is_file():
        raise ClusterError(f"{request.dockerfile}: no such file; name another one with --file")
    arguments = dict(request.arguments)
    network: list[str] = []
    if docker.own:
        arguments.setdefault("BASE", node_image.ensure_python_image(layout, docker))
        arguments |= {name: os.environ[name] for name in PROXY_VARIABLES if name in os.environ}
        network = ["--network", "host"]  # its only other network leads nowhere
    options = [
        *network,
        *node_image.build_arguments(arguments),
        "--file",
        str(request.dockerfile),
        "--tag",
        request.tag,
    ]
    with step(f"image {request.tag}"):
        docker.command("build", *options, request.context, log=layout.logs / "image.log")


def save(tags: Sequence[str], out: Path, docker: Docker) -> None:
    """Write one archive of several images, as ``docker save`` does: what they share is in it once.

    Raises:
        ClusterError: there is no such image, or no room for the archive.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    docker.command("save", "--output", out, *tags)
