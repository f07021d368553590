"""The project's own image, built from its Dockerfile on whichever Docker the cluster uses."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import node_image
from tests.cluster.docker import Docker
from tests.cluster.paths import Layout
from tests.cluster.progress import ClusterError, step

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """What to build and where to put it."""

    dockerfile: Path
    context: Path
    tag: str
    out: Path
    """The archive, as ``docker save`` writes it."""

    arguments: Mapping[str, str] = field(default_factory=dict)
    """Build arguments; without BASE among them, a Docker that reaches no hub gets one made here."""


def build(request: ImageRequest, layout: Layout, docker: Docker) -> None:
    """Build the image and save it as an archive.

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
        request.out.parent.mkdir(parents=True, exist_ok=True)
        docker.command("save", "--output", request.out, request.tag)
