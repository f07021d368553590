"""Collected only where it is asked for by name: ``pytest tests/e2e``, never by ``pytest tests``.

The cluster is the one of ``KUBECONFIG``; see the Makefile's target ``e2e``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .kubectl import Kubectl, Tools
from .release import Release, installed
from .traces import COLLECTORS, Traces

HERE = Path(__file__).parent
PATIENCE_S = 600


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whoever runs all tests has no cluster to spare."""
    named = (config.invocation_params.dir / word.partition("::")[0] for word in config.args)
    asked = any(path.resolve().is_relative_to(HERE) for path in named)
    return None if asked else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A cluster takes its time."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(PATIENCE_S))


@pytest.fixture(scope="session")
def tools() -> Tools:
    if not os.environ.get("KUBECONFIG"):
        pytest.exit("KUBECONFIG names no cluster: run 'make e2e', or 'make e2e KUBECONFIG=FILE'", returncode=2)
    return Tools.from_environment()


@pytest.fixture(scope="session")
def release(tools: Tools) -> Iterator[Release]:
    with installed(Release.of(tools)) as release:
        yield release


@pytest.fixture(scope="session")
def traces(release: Release) -> Iterator[Traces]:
    traces = Traces(kubectl=Kubectl(tools=release.tools, namespace=COLLECTORS))
    traces.open()
    yield traces
    traces.close()
