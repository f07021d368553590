from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest
from shardfleet_shard.core.simulation import ENTRY_POINT_GROUP
from shardfleet_shard.simulations import registry

PLUGINS = "tests.unit.simulations.plugins"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes classes of plugins.py look installed, beside what is: ``install(swirl="Mean")``."""

    def add(**classes: str) -> None:
        real = tuple(registry.entry_points(group=ENTRY_POINT_GROUP))
        fake = tuple(
            EntryPoint(name, where if ":" in where else f"{PLUGINS}:{where}", ENTRY_POINT_GROUP)
            for name, where in classes.items()
        )
        monkeypatch.setattr(registry, "entry_points", lambda *, group: real + fake)

    return add
