"""The report for people: one aligned line a subject, and a verdict as the last line. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

LABEL_WIDTH = 13


def to_text(report: Mapping[str, Any], *, fleet: str, faults: Sequence[str], note: str | None = None) -> str:
    """Several lines, without colours.

    Args:
        report: what ``report.build`` made.
        faults: what ``report.faults`` found.
        note: why the run had no handoffs, where that is right.
    """
    settings, redis = report["settings"], report["redis"]
    shards = _plural(report["shards"], "shard")
    lines = [
        (
            "fleet",
            f"{fleet}: {shards}, {report['seconds']:.1f} s, {settings['simulation']}, {settings['tick_rate']} Hz",
        ),
        ("entities", _pairs(report["entities"])),
        ("handoffs", _pairs(report["handoffs"], last="/s")),
        ("gap", _times(report["gap_ms"]) or note or "no handoff was measured"),
        ("tick", _times(report["tick_ms"]) or "no tick was measured"),
        ("", f"{report['ticks_skipped']:,} skipped, {report['overlap_ticks']:,} simulated by both sides"),
        (
            "state",
            f"continuity error {report['continuity_error_max']:g}, final state used {report['final_state_used']:,}, "
            f"moved forward {report['fast_forwarded']:,}",
        ),
        (
            "redis",
            f"{_number(redis['client_requests_per_handoff'])} requests and "
            f"{_number(redis['commands_per_handoff'])} commands a handoff",
        ),
        ("left", _plural(report["transfers_left"], "transfer")),
        ("watchdog", _verdicts(report["verdicts"])),
    ]
    if faults:
        lines += [("FAILED" if number == 0 else "", fault) for number, fault in enumerate(faults)]
    else:
        lines.append(("OK", "nothing lost, nothing doubled, nothing left behind"))
    return "\n".join(f"{label:<{LABEL_WIDTH}}{text}" for label, text in lines)


def _pairs(values: Mapping[str, Any], *, last: str = "") -> str:
    """'owned 50  missing 0 ...'; the key per_second goes last, as '13.5/s'."""
    words = [f"{name} {value:,}" for name, value in values.items() if name != "per_second"]
    if "per_second" in values:
        words.append(f"{values['per_second']:,}{last}")
    return "  ".join(words)


def _times(values: Mapping[str, float | None]) -> str:
    """'p50 1.2  max 3.4 ms', or '' where nothing was measured."""
    if any(value is None for value in values.values()):
        return ""
    return "  ".join(f"{name} {value:z.1f}" for name, value in values.items()) + " ms"


def _verdicts(verdicts: Sequence[Mapping[str, Any]]) -> str:
    kinds = Counter(verdict["kind"] for verdict in verdicts)
    return "  ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())) or "no verdict"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
