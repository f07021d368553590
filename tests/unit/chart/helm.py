"""helm, where this machine has one: on the PATH, or built for the cluster's tests before. Nothing is built here."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import golang
from tests.cluster.paths import Layout
from tests.cluster.tools import TOOLS
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "shardfleet"
RELEASE, NAMESPACE = "shardfleet", "system"

Object = dict[str, Any]


def _find() -> Path | None:
    built = golang.binary_path(TOOLS["helm"].program, Layout.from_environment())
    if built.exists():
        return built
    on_path = shutil.which("helm")
    return Path(on_path) if on_path else None


HELM = _find()
needs_helm = pytest.mark.skipif(
    HELM is None, reason="no helm here: install one, or build it with 'python -m tests.cluster tool helm'"
)


def helm(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Never asks the machine's own cluster: KUBECONFIG names nothing unless ``environ`` does."""
    assert HELM is not None
    environment = {**os.environ, "KUBECONFIG": os.devnull, **(environ or {})}
    return subprocess.run(
        [str(HELM), *arguments], env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


def options(values: Mapping[str, Any]) -> Sequence[str]:
    """{'redis.enabled': False} as helm takes it, types kept."""
    return [word for name, value in values.items() for word in ("--set-json", f"{name}={json.dumps(value)}")]


def template(
    values: Mapping[str, Any], *arguments: str, release: str = RELEASE, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return helm("template", release, str(CHART), "-n", NAMESPACE, *options(values), *arguments, environ=environ)


def render(values: Mapping[str, Any] | None = None, *, release: str = RELEASE) -> list[Object]:
    """Every object of the chart, hooks included."""
    result = template(values or {}, release=release)
    assert result.returncode == 0, result.stderr
    return [one for one in yaml.safe_load_all(result.stdout) if one]


def of_kind(objects: Sequence[Object], kind: str) -> dict[str, Object]:
    """By name."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def pods(objects: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    """(where, a pod's metadata and spec) of everything that makes one."""
    for one in objects:
        where = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield where, one
        elif "template" in one.get("spec", {}):
            yield where, one["spec"]["template"]


def decoded(secret: Object) -> dict[str, str]:
    """A Secret's data."""
    return {name: base64.b64decode(text).decode() for name, text in secret["data"].items()}


def notes(values: Mapping[str, Any], kubeconfig: str) -> str:
    """What an install tells who did it."""
    result = helm(
        "install", "shardfleet", str(CHART), "-n", NAMESPACE, "--dry-run=client",
        "--disable-openapi-validation", *options(values),
        environ={"KUBECONFIG": kubeconfig},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout.partition("NOTES:")[2]
