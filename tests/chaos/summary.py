"""What a run came to: the table, the JSON file, and what is wrong with it."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .crossings import Crossings
from .driver import Measured

OWNED_BOUND_S = 5.0
"""Every entity simulated again, after a fault's end, on one machine: the table at the end of the protocol's page."""
_STOOD = "stood too long"
"""What the supervisor's report says of a transfer that took longer than its bound; its other faults are no matter of
time."""
TIMES = ("detected_s", "owned_s", "full_rate_s")


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
            where = f"{one.kind} {' '.join(one.shards)}{f' at {one.at}' if one.at else ''}"
            if one.owned_s is None or one.owned_s > OWNED_BOUND_S:
                found.append(
                    f"{where}: {_seconds(one.owned_s)} until all were owned again, {OWNED_BOUND_S:g} s are allowed"
                )
        return found

    @property
    def steps(self) -> dict[str, int]:
        """How often a shard was struck at each named step."""
        return dict(sorted(Counter(one.at for one in self.measured if one.at).items()))

    def by_kind(self) -> dict[str, dict[str, Any]]:
        kinds = dict.fromkeys(one.kind for one in self.measured)
        return {kind: _summed([one for one in self.measured if one.kind == kind]) for kind in sorted(kinds)}

    def table(self) -> Iterator[str]:
        """``slow``: after so many the full rate was not back within ``driver.RATE_PATIENCE_S``."""
        titles = ("noticed", "owned again", "full rate")
        yield (
            f"{'':<14} {'count':>6} {'open':>6} "
            + " ".join(f"{f'{t} p50':>15} {'max':>6}" for t in titles)
            + "   slow   lost doubled"
        )
        rows = {**self.by_kind(), "all": _summed(self.measured)}
        for kind, row in rows.items():
            times = " ".join(f"{_seconds(row[t]['p50']):>15} {_seconds(row[t]['max']):>6}" for t in TIMES)
            times += f" {row['slow']:>6}"
            yield f"{kind:<14} {row['count']:>6} {row['open']:>6} {times} {row['lost']:>6} {row['doubled']:>7}"

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        check = {name: value for name, value in self.check.items() if name not in ("violations", "epochs")}
        content = {
            "machine": self.machine,
            "settings": self.settings,
            "handoffs_per_second": round(self.rate),
            "kinds": self.by_kind(),
            "steps": self.steps,
            "censuses": self.looks,
            "crossings": asdict(self.crossings),
            "check": check,
            "report": {name: value for name, value in self.report.items() if name != "verdicts"},
            "wrong": self.wrong(),
            "late": self.late(),
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
    return "-" if value is None else f"{value:.2f} s"
