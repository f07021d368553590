"""A run's verdict: what is lost or late is named, and what is neither is not."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shardfleet_shard.core.columns import U32, U64

from tests.chaos import __main__ as main_module
from tests.chaos.crossings import Crossings
from tests.chaos.driver import Measured
from tests.chaos.faults import kill_steps
from tests.chaos.points import POINTS
from tests.chaos.snapshot import Holding, Snapshot
from tests.chaos.summary import Result
from tests.traced import Fallback

FAULT = Measured(
    kind="pause",
    shards=("chaos-1",),
    at="step-before",
    open=True,
    beside="",
    lasted_s=3.5,
    detected_s=3.0,
    owned_s=0.2,
    cleared_s=1.2,
    full_rate_s=1.0,
    lost=0,
    doubled=0,
)
GOOD = Result(
    settings={},
    machine={},
    rate=20_000.0,
    measured=[FAULT, replace(FAULT, kind="link-cut", at="", detected_s=None, owned_s=0.4, open=False)],
    looks=100,
    remarks=[],
    crossings=Crossings(by_versions=5, counted=5, traced=5, two_shards=0, overlaps=0, unknown=0),
    check={"counts": {}, "handoffs": 5},
    report={"entities": {"missing": 0, "doubled": 0}},
    report_faults=[],
    fallbacks=[],
    intervals_us={("chaos-1", 7): 50_000},
)
BACK = Fallback(shard="chaos-1", epoch=7, ticks=2)
KILLED = replace(FAULT, kind="kill-source", epoch=7)


def test_a_good_run() -> None:
    assert (GOOD.wrong(), GOOD.late()) == ([], [])
    assert GOOD.steps == {"step-before": 1}
    assert GOOD.by_kind()["pause"]["owned_s"] == {"p50": 0.2, "max": 0.2}
    assert GOOD.by_kind()["link-cut"]["detected_s"] == {"p50": None, "max": None}
    assert [line.split()[:3] for line in GOOD.table()][1:] == [
        ["link-cut", "1", "0"],
        ["pause", "1", "1"],
        ["all", "2", "1"],
    ]


@pytest.mark.parametrize(
    ("change", "wrong", "late"),
    [
        ({"remarks": ["1 entities lost"]}, 1, 0),
        ({"check": {"counts": {"A1 two-simulators": 3}}}, 1, 0),
        ({"report": {"entities": {"missing": 2, "doubled": 1}}}, 2, 0),
        ({"report_faults": ["chaos-1 broke", "the watchdog's LIMBO stood too long, 1 times"]}, 1, 1),
        ({"measured": [replace(FAULT, owned_s=5.1)]}, 0, 1),
        ({"measured": [replace(FAULT, cleared_s=3.6)]}, 0, 1),
        ({"measured": [replace(FAULT, cleared_s=3.6, beside="redis-restart")]}, 0, 0),
        ({"measured": [replace(FAULT, owned_s=None, full_rate_s=None)]}, 0, 1),
        ({"measured": [KILLED], "fallbacks": [BACK]}, 0, 0),
        ({"measured": [KILLED], "fallbacks": [replace(BACK, ticks=3)]}, 0, 1),
        ({"measured": [replace(KILLED, beside="redis-wipe")], "fallbacks": [replace(BACK, ticks=3)]}, 0, 0),
    ],
)
def test_what_breaks_a_run(change: dict[str, Any], wrong: int, late: int) -> None:
    result = replace(GOOD, **change)
    assert (len(result.wrong()), len(result.late())) == (wrong, late)


def test_a_step_at_which_no_shard_was_killed_is_named() -> None:
    required = kill_steps(["kill-source", "pause"])
    assert {"begin-sent", "step-before"} < required and "accept-sent" not in required
    assert kill_steps(["kill-source", "kill-target"]) == {point.name for point in POINTS}
    killed = [replace(FAULT, kind="kill-source", at=step) for step in required]
    assert replace(GOOD, measured=killed, required_steps=required).missed() == []
    # The pause of ``FAULT`` was at step-before: it killed nobody.
    some = [FAULT, *(one for one in killed if one.at not in ("begin-sent", "step-before"))]
    result = replace(GOOD, measured=some, required_steps=required)
    assert result.missed() == ["no shard was killed at begin-sent", "no shard was killed at step-before"]
    assert replace(result, required_steps=frozenset()).missed() == []


@pytest.mark.parametrize(("missed", "code"), [([], 0), (["begin-sent"], 1)])
def test_a_run_is_red_for_what_it_missed(missed: list[str], code: int, tmp_path: Path) -> None:
    options = argparse.Namespace(out=tmp_path / "chaos.json", folder=tmp_path / "left")
    options.folder.mkdir()
    report = {"counts": {}, "handoffs": 5}
    result = replace(GOOD, check=report, required_steps=frozenset(missed))
    assert main_module._conclude(result, options) == code
    assert options.folder.exists() == bool(code)
    assert len(json.loads(options.out.read_text())["missed"]) == len(missed)


@pytest.mark.parametrize(
    ("arguments", "full"),
    [([], True), (["--quick"], False), (["--minutes", "2"], False), (["--minutes", "20", "--at-least", "25"], True)],
)
def test_only_a_full_run_must_hit_every_step(arguments: list[str], full: bool) -> None:
    assert bool(main_module._required(main_module._options(arguments), ["kill-source"])) is full


def _holding(
    shard: str, ids: list[int], *, version: int = 1, unix_us: int = 10, still: tuple[int, ...] = ()
) -> Holding:
    held: U64 = np.array(ids, np.uint64)
    versions: U32 = np.full(len(ids), version, np.uint32)
    moving = held[~np.isin(held, still)]
    return Holding(
        shard=shard, epoch=1, unix_us=unix_us, state="active", ids=held, versions=versions, moving=moving
    )  # fmt: skip


def test_a_census_of_one_moment() -> None:
    expected: U64 = np.array([1, 2, 3, 4], np.uint64)
    both = (_holding("a-0", [1, 2], still=(2,)), _holding("a-1", [2, 3, 9], version=2))
    snapshot = Snapshot(holdings=both, living=frozenset({"a-0", "a-1"}))
    assert snapshot.lost(expected).tolist() == [4]
    assert snapshot.doubled().tolist() == [2]
    assert snapshot.strays(expected).tolist() == [9]
    assert snapshot.owned_since(9) == 4  # 1, and 2, 3, 9 with the other
    assert snapshot.owned_since(10) == 0
    assert replace(snapshot, living=frozenset({"a-0"})).owned_since(9) == 1
    ids, versions = snapshot.versions()
    assert dict(zip(ids.tolist(), versions.tolist(), strict=True)) == {1: 1, 2: 2, 3: 2, 9: 2}
