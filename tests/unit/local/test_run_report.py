"""The report's arithmetic, from made-up figures, and what makes a run fail."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from shardfleet_operator.local.report import Run, build, faults, why_no_handoffs
from shardfleet_operator.local.report_text import to_text
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.stats import ShardStats

ENTITIES = {"expected": 50, "owned": 50, "passing": 0, "frozen": 0, "missing": 0, "doubled": 0}


def _stats(*, gaps_us: list[int], ticks_us: list[int], **values: Any) -> ShardStats:
    stats = ShardStats(**values)
    for value in gaps_us:
        stats.gap_us.add(value)
    for value in ticks_us:
        stats.tick_us.add(value)
    return stats


def _finding(
    kind: str, *, age_ms: int = 2_000, counted_ms: int | None = None, resolved_us: int | None = 1
) -> dict[str, Any]:
    counted_ms = age_ms if counted_ms is None else counted_ms
    return {"kind": kind, "age_ms": age_ms, "counted_ms": counted_ms, "since_us": 0, "resolved_us": resolved_us}


def _run(**changes: Any) -> Run:
    run = Run(
        config=FleetConfig(name="arena"),
        shards=4,
        exact=True,
        seconds=10.0,
        stats={
            ("arena-0", 7): _stats(
                gaps_us=[-4_000, 1_000], ticks_us=[1_000], redis_requests=30, final_state_used=60, ticks_skipped=1
            ),
            # The same shard, restarted: both lives count.
            ("arena-0", 8): _stats(gaps_us=[2_000], ticks_us=[3_000], redis_requests=10, fast_forwarded=40),
            ("arena-1", 5): _stats(gaps_us=[9_000], ticks_us=[2_000], redis_requests=10, ticks_skipped=2),
        },
        counters_before={"completed_entities": 100, "started_entities": 100, "spawned": 50},
        counters_after={
            "completed_entities": 200,
            "started_entities": 210,
            "canceled_entities": 8,
            "rejected_entities": 2,
            "repaired_entities": 3,
            "spawned": 60,
            "despawned": 10,
        },
        commands=1_000,
        entities=ENTITIES,
        transfers_left=0,
        verdicts=[],
    )
    return dataclasses.replace(run, **changes)


def test_figures() -> None:
    report = build(_run())
    assert list(report) == [
        "shards", "seconds", "settings", "entities", "handoffs", "gap_ms", "overlap_ticks", "continuity_error_max",
        "final_state_used", "fast_forwarded", "redis", "tick_ms", "ticks_skipped", "transfers_left", "verdicts",
    ]  # fmt: skip
    assert report["handoffs"] == {
        "started": 110, "completed": 100, "canceled": 8, "rejected": 2, "repaired": 3, "per_second": 10.0
    }  # fmt: skip
    assert report["redis"] == {"client_requests_per_handoff": 0.5, "commands_per_handoff": 10.0}
    assert report["gap_ms"]["min"] == -4.0
    assert report["gap_ms"]["max"] == 9.0
    assert report["gap_ms"]["p50"] == pytest.approx(1.0, rel=1 / 16)
    assert report["tick_ms"]["max"] == 3.0
    assert (report["ticks_skipped"], report["final_state_used"], report["fast_forwarded"]) == (3, 60, 40)
    assert report["settings"]["world_low"] == [-120.0, -120.0]
    assert json.loads(json.dumps(report)) == report
    assert faults(_run(), report) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"entities": {**ENTITIES, "missing": 2}}, "2 of 50 entities are missing"),
        ({"entities": {**ENTITIES, "doubled": 1}}, "1 entities have two owners"),
        ({"entities": {**ENTITIES, "expected": 49}}, "50 entities were spawned and not despawned"),
        ({"transfers_left": 3}, "3 transfers are left"),
        ({"verdicts": [_finding("LIMBO", resolved_us=None)]}, "LIMBO stood too long, 1 times"),
        ({"verdicts": [_finding("STALLED_TRANSFER", age_ms=3_501)]}, "STALLED_TRANSFER stood too long, 1 times"),
        ({"verdicts": [_finding("LIMBO", age_ms=9_999, counted_ms=3_501)]}, "LIMBO stood too long, 1 times"),
        ({"verdicts": [_finding("LIMBO", counted_ms=0, resolved_us=None)]}, "LIMBO stood too long, 1 times"),
        ({"verdicts": [_finding("DUAL_AUTHORITY", age_ms=9_999)] * 4}, "DUAL_AUTHORITY stood too long, 4 times"),
        ({"stats": {}}, "no handoff was measured"),
        ({"troubles": ("arena-2 had to be killed",)}, "arena-2 had to be killed"),
    ],
)
def test_what_breaks_a_run(changes: dict[str, Any], said: str) -> None:
    run = _run(**changes)
    found = faults(run, build(run))
    assert len(found) == 1
    assert said in found[0]
    assert to_text(build(run), fleet="arena", faults=found).splitlines()[-1].startswith("FAILED")


@pytest.mark.parametrize(("field", "value"), [("overlap_ticks", 1), ("continuity_error_max", 1e-9)])
def test_what_the_shards_saw_breaks_a_run(field: str, value: float) -> None:
    run = _run(stats={("arena-0", 7): _stats(gaps_us=[1], ticks_us=[1], **{field: value})})
    assert len(faults(run, build(run))) == 1


def test_a_finding_that_ended_in_time_is_told_and_breaks_nothing() -> None:
    """``counted_ms`` leaves out what a fault excuses."""
    run = _run(verdicts=[_finding("STALLED_TRANSFER"), _finding("LIMBO", age_ms=60_000, counted_ms=3_500)])
    report = build(run)
    assert [verdict["kind"] for verdict in report["verdicts"]] == ["STALLED_TRANSFER", "LIMBO"]
    assert faults(run, report) == []
    assert "watchdog     LIMBO 1  STALLED_TRANSFER 1" in to_text(report, fleet="arena", faults=[])


def test_a_simulation_that_failed_is_named_where_the_run_failed() -> None:
    failed = _stats(gaps_us=[1], ticks_us=[1], simulation_errors=3, last_error="orbit.step: boom")
    well = _run(stats={("arena-0", 1): failed})
    assert faults(well, build(well)) == [], "it works again"
    stuck = dataclasses.replace(well, transfers_left=2)
    assert faults(stuck, build(stuck)) == ["the simulation failed: orbit.step: boom", "2 transfers are left"]


def test_an_inexact_simulation_may_differ() -> None:
    stats = {("arena-0", 7): _stats(gaps_us=[1], ticks_us=[1], continuity_error_max=0.5)}
    run = _run(exact=False, stats=stats)
    assert build(run)["continuity_error_max"] == 0.5
    assert faults(run, build(run)) == []


def test_no_handoffs_is_right_where_there_is_nothing_to_hand_over() -> None:
    alone = _run(shards=1, stats={("arena-0", 7): _stats(gaps_us=[], ticks_us=[5])}, counters_before={}, commands=3)
    report = build(dataclasses.replace(alone, counters_after={"spawned": 50}))
    assert report["gap_ms"] == {"min": None, "p50": None, "p99": None, "max": None}
    assert report["redis"]["client_requests_per_handoff"] is None
    assert faults(dataclasses.replace(alone, counters_after={"spawned": 50}), report) == []
    empty = _run(counters_after={}, entities=dict.fromkeys(ENTITIES, 0), stats={})
    assert why_no_handoffs(empty) == "no entity was ever spawned"
    assert why_no_handoffs(_run()) is None


def test_text_is_one_short_line_a_subject() -> None:
    text = to_text(build(_run()), fleet="arena", faults=[])
    assert "entities     expected 50  owned 50  passing 0" in text
    assert "gap          min -4.0" in text
    assert text.splitlines()[-1].startswith("OK")
    assert max(len(line) for line in text.splitlines()) <= 100
    alone = to_text(build(_run(stats={})), fleet="arena", faults=[], note="a fleet of one shard hands nothing over")
    assert "gap          a fleet of one shard" in alone
