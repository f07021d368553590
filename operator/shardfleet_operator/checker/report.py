"""What the checker found: figures, and violations that are all counted but not all kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

VIOLATIONS_KEPT_PER_KIND = 20
"""One bug breaks a rule for every entity; the first few say as much as all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken rule. ``entity`` and ``tick`` are None where it is about a file."""

    rule: str
    """A1, A2, A4, A5, or 'trace' for a file that can't prove anything."""
    kind: str
    message: str
    entity: int | None = None
    tick: int | None = None
    shards: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.rule} {self.kind}: {self.message}"


class Violations:
    """Collects them: counts all, keeps the first few of each kind."""

    def __init__(self, kept_per_kind: int = VIOLATIONS_KEPT_PER_KIND) -> None:
        self._kept_per_kind = kept_per_kind
        self.kept: list[Violation] = []
        self.counts: Counter[str] = Counter()

    def add(self, violation: Violation) -> None:
        self.add_many(violation.rule, violation.kind, np.zeros(1, np.int64), lambda _: violation)

    def add_many(self, rule: str, kind: str, where: NDArray[np.int64], describe: Callable[[int], Violation]) -> None:
        """Counts all of ``where``, describes those that are kept."""
        name = f"{rule} {kind}"
        room = max(0, self._kept_per_kind - self.counts[name])
        self.kept.extend(describe(index) for index in where[:room].tolist())
        if len(where):
            self.counts[name] += len(where)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochFigures:
    """One shard process. Ticks are -1 where it simulated nothing."""

    shard: str
    epoch: int
    records: int
    first_tick: int
    last_tick: int
    ended: bool
    """It ended in order; False: killed, failed, or still running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The verdict on a directory of traces."""

    directory: str
    bound_ticks: int
    records: int = 0
    ticks: int = 0
    """Different tick numbers that were simulated anywhere."""
    epochs: tuple[EpochFigures, ...] = ()
    entities_expected: int = 0
    """Spawned (or there when tracing began) and not despawned."""
    entities_seen: int = 0
    """With at least one record."""
    entities_lost: int = 0
    spawned: int = 0
    despawned: int = 0
    frozen_at_end: int = 0
    passing_at_end: int = 0
    """Released by their source and not yet adopted."""
    handoffs: int = 0
    overlap_ticks: int = 0
    """(entity, tick) pairs that two shards simulated: breaks of A1."""
    repeated_ticks: int = 0
    """(entity, tick) pairs that a successor rightly simulated again."""
    frozen_ticks: int = 0
    """Entity ticks that were not simulated from a freeze on."""
    longest_hole_ticks: int = 0
    longest_hole_entity: int | None = None
    continuity_failures: int = 0
    continuity_unproven: int = 0
    """Handoffs that started from an offer whose source did not simulate up to the switch: nothing to compare with."""
    gap_ms: dict[str, float | int | None] = field(default_factory=dict)
    """Signed: target's first tick minus source's last, beyond one tick: samples, min, p50, p99, max."""
    counts: dict[str, int] = field(default_factory=dict)
    """Violations by 'rule kind', all of them."""
    violations: tuple[Violation, ...] = ()
    """The first few of each kind."""

    @property
    def ok(self) -> bool:
        return not self.counts

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``ok`` first."""
        return {"ok": self.ok, **asdict(self)}

    def to_text(self) -> str:
        """For people: figures, then what is broken."""
        gap = self.gap_ms
        gap_text = "no samples"
        if gap.get("samples"):
            gap_text = "  ".join(f"{name} {gap[name]:.3f}" for name in ("min", "p50", "p99", "max")) + " ms"
        lines = [
            f"{self.directory}: {self.records:,} records of {len(self.epochs)} shard epochs, {self.ticks:,} ticks",
            f"  entities    {self.entities_expected:,} expected, {self.entities_seen:,} seen, {self.entities_lost:,} "
            f"lost, {self.despawned:,} despawned, {self.frozen_at_end:,} frozen and {self.passing_at_end:,} passing "
            "at the end",
            f"  handoffs    {self.handoffs:,}, {self.overlap_ticks:,} overlap ticks, {self.repeated_ticks:,} ticks "
            "repeated after a restart",
            f"  gap         {gap_text}",
            f"  continuity  {self.continuity_failures:,} failures, {self.continuity_unproven:,} without proof",
            f"  holes       longest {self.longest_hole_ticks:,} ticks"
            + ("" if self.longest_hole_entity is None else f" (entity {self.longest_hole_entity})")
            + f", bound {self.bound_ticks:,}; {self.frozen_ticks:,} entity ticks frozen",
        ]
        for name, count in self.counts.items():
            lines.append(f"  BROKEN      {name}: {count:,}")
            lines.extend(f"    {violation.message}" for violation in self.violations if str(violation).startswith(name))
        lines.append(
            "  ok: A1, A2, A4 and A5 hold" if self.ok else f"  failed: {sum(self.counts.values()):,} violations"
        )
        return "\n".join(lines)


def gap_figures(gaps_us: NDArray[np.float64]) -> dict[str, float | int | None]:
    """``gaps_us``: (n,) signed microseconds."""
    if not len(gaps_us):
        return {"samples": 0, "min": None, "p50": None, "p99": None, "max": None}
    low, middle, high, most = (float(v) / 1000 for v in np.quantile(gaps_us, [0, 0.5, 0.99, 1], method="nearest"))
    return {"samples": len(gaps_us), "min": low, "p50": middle, "p99": high, "max": most}
