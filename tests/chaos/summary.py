"""What a run came to: the table, the JSON file, and what is wrong with it."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.traced import Fallback

from .crossings import Crossings
from .driver import Measured
from .faults import KILLS, LEASE_S, OF_REDIS

OWNED_BOUND_S = 5.0
"""Every entity simulated again, after a fault's end, on one machine."""
CLEARED_BOUND_S = 3.5
"""Every transfer ended that should have switched before: the watchdog's threshold, and 2 s."""
TICK_US = 50_000
UNDER_WAY_TICKS = 1
"""A manifest that was under way when its shard was killed."""
_STOOD = "stood too long"
"""What the supervisor's report says of a transfer that took longer than its bound; its other faults are no matter of
time."""
TIMES = {"detected_s": "noticed", "owned_s": "owned again", "cleared_s": "cleared", "full_rate_s": "full rate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Everything that a run gave."""

    settings: dict[str, Any]
    machine: dict[str, Any]
    rate: float
    """Entities handed over a second in the calm before the first fault."""
    measured: Sequence[Measured]
    looks: int
    """Censuses of one moment, during the faults as well."""
    remarks: Sequence[str]
    """What one of them found lost or doubled."""
    crossings: Crossings
    check: dict[str, Any]
    """The checker's report on the traces."""
    report: dict[str, Any]
    """The supervisor's."""
    report_faults: Sequence[str]
    fallbacks: Sequence[Fallback]
    """How far motion fell back with each process that was replaced."""
    intervals_us: Mapping[tuple[str, int], int]
    """From one manifest to the next, of each process by shard and epoch."""
    required_steps: frozenset[str] = frozenset()
    """At each of these a shard must have been killed; a short run promises none."""

    def wrong(self) -> list[str]:
        """One line for each thing that may never be, however slow the machine is."""
        found = [*self.remarks, *self.crossings.faults]
        found += [fault for fault in self.report_faults if _STOOD not in fault]
        found += [f"trace: {kind}: {count}" for kind, count in self.check["counts"].items()]
        entities = self.report["entities"]
        found += [f"{entities[name]} entities {name} at rest" for name in ("missing", "doubled") if entities[name]]
        return found

    def late(self) -> list[str]:
        """One line for each fault that took longer than is allowed. For the rate of handoffs nothing is promised."""
        found = [fault for fault in self.report_faults if _STOOD in fault]
        for one in self.measured:
            where = f"{one.kind} {' '.join(one.shards)}{f' at {one.at}' if one.at else ''}".strip()
            # Once Redis is another, nothing is handed over for a lease.
            lease_s = LEASE_S if {one.kind, one.beside} & OF_REDIS else 0.0
            for seconds, bound_s, what in (
                (one.owned_s, OWNED_BOUND_S, "all were owned again"),
                (one.cleared_s, CLEARED_BOUND_S + lease_s, "all transfers had ended"),
            ):
                if seconds is None or seconds > bound_s:
                    found.append(f"{where}: {_seconds(seconds)} s until {what}, {bound_s:g} s are allowed")
        for back, allowed_ticks in self.motion_back():
            if back.ticks > allowed_ticks:
                where = f"{back.shard}, epoch {back.epoch}"
                found.append(f"{where}: motion fell back by {back.ticks} ticks, {allowed_ticks} are allowed")
        return found

    def missed(self) -> list[str]:
        """One line for each named step of a transfer at which a shard was to be killed and was not: of it the run
        proves nothing."""
        killed_at = {one.at for one in self.measured if one.kind in KILLS}
        return [f"no shard was killed at {step}" for step in sorted(self.required_steps - killed_at)]

    def motion_back(self) -> Iterator[tuple[Fallback, int]]:
        """(one, ticks that are allowed) for each kill; but nothing is published while Redis is away."""
        kills = {
            (one.shards[0], one.epoch)
            for one in self.measured
            if one.kind.startswith("kill") and one.beside not in OF_REDIS
        }
        for back in self.fallbacks:
            if (back.shard, back.epoch) in kills:
                interval_us = self.intervals_us[back.shard, back.epoch]
                yield back, -(-interval_us // TICK_US) + UNDER_WAY_TICKS

    @property
    def steps(self) -> dict[str, int]:
        """How often a shard was struck at each named step."""
        return dict(sorted(Counter(one.at for one in self.measured if one.at).items()))

    def by_kind(self) -> dict[str, dict[str, Any]]:
        kinds = dict.fromkeys(one.kind for one in self.measured)
        return {kind: _summed([one for one in self.measured if one.kind == kind]) for kind in sorted(kinds)}

    def table(self) -> Iterator[str]:
        """Times in seconds: median and longest. ``slow``: after so many the full rate was not back in time."""
        titles = " ".join(f"{title:>14}" for title in TIMES.values())
        yield f"{'':<14} {'count':>6} {'open':>6} {titles} {'slow':>6} {'lost':>6} doubled"
        rows = {**self.by_kind(), "all": _summed(self.measured)}
        for kind, row in rows.items():
            times = " ".join(f"{_seconds(row[name]['p50']):>7} {_seconds(row[name]['max']):>6}" for name in TIMES)
            counts = f"{row['slow']:>6} {row['lost']:>6} {row['doubled']:>7}"
            yield f"{kind:<14} {row['count']:>6} {row['open']:>6} {times} {counts}"

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        check = {name: value for name, value in self.check.items() if name not in ("violations", "epochs")}
        content = {
            "machine": self.machine,
            "settings": self.settings,
            "handoffs_per_second": round(self.rate),
            "kinds": self.by_kind(),
            "steps": self.steps,
            "motion_back_ticks": Counter(back.ticks for back, _ in self.motion_back()),
            "censuses": self.looks,
            "crossings": asdict(self.crossings),
            "check": check,
            "report": {name: value for name, value in self.report.items() if name != "verdicts"},
            "wrong": self.wrong(),
            "late": self.late(),
            "missed": self.missed(),
            "faults": [asdict(one) for one in self.measured],
        }
        path.write_text(json.dumps(content, indent=1) + "\n")


def _summed(some: Sequence[Measured]) -> dict[str, Any]:
    def times(name: str) -> dict[str, float | None]:
        values = [value for one in some if (value := getattr(one, name)) is not None]
        return {"p50": statistics.median(values) if values else None, "max": max(values, default=None)}

    return {
        "count": len(some),
        "open": sum(one.open for one in some),
        "slow": sum(one.full_rate_s is None for one in some),
        **{name: times(name) for name in TIMES},
        "lost": sum(one.lost for one in some),
        "doubled": sum(one.doubled for one in some),
    }


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
