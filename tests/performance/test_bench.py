"""The benchmark's own arithmetic, and its view of a process tree. The figures themselves need a fleet."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shardfleet_shard.core.histogram import Histogram

from tests.performance.bench import figures, processes, scenarios
from tests.performance.bench.figures import BOUNDS, UNITS, Figures
from tests.performance.bench.fleet import BenchmarkError


def test_a_figure_sums_up_its_runs() -> None:
    results = Figures()
    for value in (3.0, 1.0, 2.0):
        results.add({"owner_again_s": value})
    assert results.to_dict() == {"owner_again_s": {"unit": "s", "min": 1.0, "median": 2.0, "max": 3.0, "runs": 3}}


def test_an_unknown_figure_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="tick_ms_p98"):
        Figures().add({"tick_ms_p98": 1.0})


@pytest.mark.parametrize(
    ("name", "value", "missed"),
    [
        ("handoffs_per_second", 200_000.0, False),
        ("handoffs_per_second", 199_999.0, True),
        ("lost", 0.0, False),
        ("lost", 1.0, True),
    ],
)
def test_a_bound_is_missed_on_its_wrong_side(name: str, value: float, missed: bool) -> None:
    results = Figures()
    results.add({name: value})
    assert results.missed() == ([name] if missed else [])
    assert any("(!)" in line for line in results.table()) is missed


def test_every_bound_has_a_figure() -> None:
    assert set(BOUNDS) <= set(UNITS)


def test_quantiles_are_of_the_window_alone() -> None:
    first, last = Histogram(), Histogram()
    for histogram in (first, last):
        histogram.add(900_000, weight=100)  # before the window: a slow start
    last.add(2_000, weight=100)
    assert scenarios.quantile_ms(first, last, 0.99) == pytest.approx(2.0, rel=1 / 16)
    with pytest.raises(BenchmarkError, match="no sample"):
        scenarios.quantile_ms(first, first, 0.5)


def test_the_file_holds_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.json"
    results = Figures()
    results.add({"lost": 0.0})
    figures.write(path, machine=processes.machine(), settings={}, figures=results.to_dict())
    written = json.loads(path.read_text())
    assert written["machine"]["cores"] >= 1
    assert written["machine"]["memory_mb"] > 0
    assert written["figures"]["lost"]["runs"] == 1


@pytest.mark.parametrize("table", ["_from_proc", "_from_ps"])
def test_a_child_and_its_cpu_time_are_seen(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if table == "_from_proc" and sys.platform != "linux":
        pytest.skip("no /proc here")
    if table == "_from_ps" and shutil.which("ps") is None:
        pytest.skip("no ps here; /proc serves")
    monkeypatch.setattr(processes, "table", getattr(processes, table))
    program = "while True:\n    if sum(range(10**6)) and __import__('os').times().user > 0.2:\n        break\n"
    program += "print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        child.stdout.readline()  # it has used what it had to
        family = {process.pid: process for process in processes.descendants(os.getpid())}
        assert family[child.pid].parent == os.getpid()
        assert family[child.pid].memory_mb > 1
        assert "times().user" in family[child.pid].command
        if table == "_from_proc":  # Linux' ps shows whole seconds
            assert 0.1 < family[child.pid].cpu_s < 10
    finally:
        child.communicate("\n")
