"""Figures: a value a run, summed up as minimum, median and maximum; the table and the JSON file."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNITS = {
    "handoffs_per_second": "entities/s",
    "handoffs_per_second_lowest": "entities/s",
    "lost": "entities",
    "doubled": "entities",
    "false_verdicts": "verdicts",
    "ticks_skipped": "ticks",
    "redis_requests_per_handoff": "requests",
    "redis_commands_per_handoff": "commands",
    "bytes_per_handoff": "bytes",
    "cpu_us_per_handoff": "us",
    "shard_cpu_percent_at_load": "% of a core",
    "redis_cpu_percent_at_load": "% of a core",
    "canceled_percent": "%",
    "gap_ms_p99": "ms",
    "gap_ms_p99_at_load": "ms",
    "continuity_error_max": "world units",
    "overlap_ticks": "ticks",
    "first_handoff_s": "s",
    "tick_ms_p50_1k": "ms",
    "tick_ms_p99_1k": "ms",
    "tick_ms_p50_10k": "ms",
    "tick_ms_p99_10k": "ms",
    "tick_ms_p50_100k": "ms",
    "tick_ms_p99_100k": "ms",
    "owner_again_s": "s",
    "idle_shard_memory_mb": "MB",
    "idle_shard_cpu_percent": "% of a core",
}
"""Every figure there is; its unit."""

BOUNDS = {
    "handoffs_per_second": (">=", 200_000.0),
    "lost": ("<=", 0.0),
    "doubled": ("<=", 0.0),
    "false_verdicts": ("<=", 0.0),
    "ticks_skipped": ("<=", 0.0),
    "redis_requests_per_handoff": ("<=", 0.05),
    "canceled_percent": ("<=", 1.0),
    "gap_ms_p99": ("<=", 10.0),
    "continuity_error_max": ("<=", 0.0),
    "overlap_ticks": ("<=", 0.0),
    "first_handoff_s": ("<=", 10.0),
    "tick_ms_p99_10k": ("<=", 10.0),
    "tick_ms_p50_100k": ("<=", 40.0),
    "owner_again_s": ("<=", 5.0),
    "idle_shard_memory_mb": ("<=", 80.0),
    "idle_shard_cpu_percent": ("<=", 3.0),
}
"""What the project wants to reach on two cores, for the median; shown beside the figures."""


@dataclass
class Figures:
    """Values by figure, in the order of ``units``."""

    values: dict[str, list[float]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=lambda: UNITS)
    bounds: Mapping[str, tuple[str, float]] = field(default_factory=lambda: BOUNDS)

    def add(self, run: Mapping[str, float]) -> None:
        """One run's values. Raises ``KeyError`` for a figure that is not in ``units``."""
        for name, value in run.items():
            self.units[name]
            self.values.setdefault(name, []).append(value)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "unit": unit,
                "min": min(values),
                "median": statistics.median(values),
                "max": max(values),
                "runs": len(values),
            }
            for name, unit in self.units.items()
            if (values := self.values.get(name))
        }

    def missed(self) -> list[str]:
        """Figures whose median is outside its bound."""
        figures = self.to_dict()
        return [
            name
            for name, (comparison, bound) in self.bounds.items()
            if name in figures and not _holds(figures[name]["median"], comparison, bound)
        ]

    def table(self) -> Iterator[str]:
        """Lines for people."""
        yield f"{'figure':<28} {'min':>12} {'median':>12} {'max':>12}  {'unit':<12} {'wanted':<12} runs"
        missed = set(self.missed())
        for name, figure in self.to_dict().items():
            numbers = " ".join(f"{short(figure[key]):>12}" for key in ("min", "median", "max"))
            comparison, bound = self.bounds.get(name, ("", None))
            wanted = "" if bound is None else f"{comparison} {short(bound)}" + (" (!)" if name in missed else "")
            yield f"{name:<28} {numbers}  {figure['unit']:<12} {wanted:<12} {figure['runs']}"


def write(path: Path, **content: Any) -> None:
    """``content``, and of which commit it was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"commit": _commit(), **content}, indent=1) + "\n")


def _commit() -> str:
    """Short; with a + where something was changed since; "" outside a repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _holds(value: float, comparison: str, bound: float) -> bool:
    return value >= bound if comparison == ">=" else value <= bound


def short(value: float) -> str:
    if value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
