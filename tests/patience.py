"""How long tests wait for what must come: only one that fails waits so long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PATIENCE_S = 100.0
"""A busy machine takes half a minute to start four shards. pytest's own limit for a whole test is a multiple of it."""


def kept_up(report: Mapping[str, Any], *, skipped: int = 0) -> bool:
    """Whether the machine let the shards of a run do everything in time, by the run's report. What is promised in
    seconds can be asked for only then.

    Args:
        skipped: ticks that the test itself made shards skip.
    """
    return int(report["ticks_skipped"]) <= skipped


def beside_lateness(faults: Iterable[str]) -> list[str]:
    """Those of a run's faults that no busy machine explains."""
    return [fault for fault in faults if "stood too long" not in fault]
