"""The report of a run: what the shards, Redis, the watchdog and the census say, in one object, and what broke.

Pure: ``Run`` holds everything that was gathered, ``build`` makes the object that ``--report json`` prints,
``faults`` says which invariants it shows broken. Handoffs are counted in entities; 'completed' means that the
transfer's record was cleared, so that the target alone holds the entity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.histogram import Histogram
from shardfleet_shard.core.stats import ShardStats

from ..watchdog import CONVERGENCE_US

Process = tuple[str, int]
"""(shard, epoch): one shard process' life; its figures count from its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that a report is made from. Counters are Redis' own, before and after the run."""

    config: FleetConfig
    shards: int
    exact: bool
    """The simulation promises the same bits for the same row, so a continuity error is a fault."""
    seconds: float
    """From the moment at which the fleet ran to the beginning of settling."""
    stats: Mapping[Process, ShardStats]
    """The last that was seen of every process of this run."""
    counters_before: Mapping[str, int]
    counters_after: Mapping[str, int]
    commands: int
    """Commands that Redis executed during the run, by INFO commandstats: those inside scripts count too."""
    entities: Mapping[str, int]
    """The last census: expected, owned, passing, frozen, missing, doubled."""
    transfers_left: int
    verdicts: Sequence[Mapping[str, Any]]
    """The watchdog's findings, resolved ones too, as ``Watchdog.report`` gives them."""
    troubles: Sequence[str] = field(default=())
    """What went wrong with processes: one that had to be killed, one whose invariant broke."""

    def counted(self, counter: str) -> int:
        return self.counters_after.get(counter, 0) - self.counters_before.get(counter, 0)


def build(run: Run) -> dict[str, Any]:
    """The report as plain values; milliseconds to three places, None where there was nothing to measure."""
    stats = list(run.stats.values())
    completed = run.counted("completed_entities")

    def per_handoff(value: int) -> float | None:
        return round(value / completed, 4) if completed else None

    return {
        "shards": run.shards,
        "seconds": round(run.seconds, 3),
        "settings": settings_of(run.config),
        "entities": dict(run.entities),
        "handoffs": {
            "started": run.counted("started_entities"),
            "completed": completed,
            "canceled": run.counted("canceled_entities"),
            "rejected": run.counted("rejected_entities"),
            "repaired": run.counted("repaired_entities"),
            "per_second": round(completed / run.seconds, 1) if run.seconds > 0 else 0.0,
        },
        "gap_ms": _quantiles(merged(s.gap_us for s in stats), ("min", "p50", "p99", "max")),
        "overlap_ticks": sum(s.overlap_ticks for s in stats),
        "continuity_error_max": max((s.continuity_error_max for s in stats), default=0.0),
        "final_state_used": sum(s.final_state_used for s in stats),
        "fast_forwarded": sum(s.fast_forwarded for s in stats),
        "redis": {
            "client_requests_per_handoff": per_handoff(sum(s.redis_requests for s in stats)),
            "commands_per_handoff": per_handoff(run.commands),
        },
        "tick_ms": _quantiles(merged(s.tick_us for s in stats), ("p50", "p99", "max")),
        "ticks_skipped": sum(s.ticks_skipped for s in stats),
        "transfers_left": run.transfers_left,
        "verdicts": [dict(verdict) for verdict in run.verdicts],
    }


def settings_of(config: FleetConfig) -> dict[str, Any]:
    """Every knob with its value, as ``shardfleet config`` names them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value, _ in config.rows()}


def merged(histograms: Iterable[Histogram]) -> Histogram:
    total = Histogram()
    for histogram in histograms:
        total.merge(histogram)
    return total


def faults(run: Run, report: Mapping[str, Any]) -> list[str]:
    """One line for each invariant that the report shows broken; empty means exit code 0."""
    found = []
    entities = report["entities"]
    expected = run.counters_after.get("spawned", 0) - run.counters_after.get("despawned", 0)
    if entities["missing"]:
        found.append(f"{entities['missing']} of {entities['expected']} entities are missing")
    if entities["doubled"]:
        found.append(f"{entities['doubled']} entities have two owners")
    if entities["expected"] != expected:
        found.append(f"{expected} entities were spawned and not despawned, but Redis lists {entities['expected']}")
    if report["overlap_ticks"]:
        found.append(f"{report['overlap_ticks']} ticks were simulated by both sides of a handoff")
    if run.exact and report["continuity_error_max"] > 0:
        found.append(f"a handoff changed an entity's state by {report['continuity_error_max']:g}")
    if report["transfers_left"]:
        found.append(f"{report['transfers_left']} transfers are left")
    kinds = Counter(verdict["kind"] for verdict in report["verdicts"] if not ended_in_time(verdict, run.config))
    found += [f"the watchdog's {kind} stood too long, {count} times" for kind, count in sorted(kinds.items())]
    if report["gap_ms"]["p99"] is None and why_no_handoffs(run) is None:
        found.append("no handoff was measured")
    failures = sorted(
        {stats.last_error for stats in run.stats.values() if stats.simulation_errors and stats.last_error}
    )
    if found or run.troubles:  # a simulation that healed is no fault, but one that did not explains the others
        found = [*(f"the simulation failed: {failure}" for failure in failures), *found]
    return [*found, *run.troubles]


def ended_in_time(verdict: Mapping[str, Any], config: FleetConfig) -> bool:
    """Whether a finding was over within the bound of convergence: then a fault explains it.

    A transfer may outlive its switch while one of its shards is started again; every record must be gone
    ``CONVERGENCE_US`` after the threshold. Where Redis was silent, or a shard was stopped and woke up, both count from
    the end of that: ``counted_ms``.
    """
    bound_ms = (config.discrepancy_threshold_us + CONVERGENCE_US) // 1000
    return verdict["resolved_us"] is not None and int(verdict["counted_ms"]) <= bound_ms


def why_no_handoffs(run: Run) -> str | None:
    """Why a run without a single handoff is right, or None where some were to be expected."""
    if run.shards == 1:
        return "a fleet of one shard hands nothing over"
    if not run.counters_after.get("spawned", 0):
        return "no entity was ever spawned"
    return None


def _quantiles(histogram: Histogram, names: Sequence[str]) -> dict[str, float | None]:
    """Of microseconds, in milliseconds."""
    quantiles = {"p50": 0.5, "p99": 0.99}

    def value(name: str) -> int | None:
        if not histogram.count:
            return None
        exact = {"min": histogram.lowest, "max": histogram.highest}
        return exact[name] if name in exact else histogram.quantile(quantiles[name])

    return {name: None if (us := value(name)) is None else us / 1000 for name in names}
