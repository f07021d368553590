from __future__ import annotations

import pytest
from shardfleet_operator.map.figures import ShardFigures, rate_of, since
from shardfleet_shard.core.histogram import Histogram

from .fleets import BEGAN, RATE, SECOND, manifest, member, snapshot, ticks


def test_the_tick_rate_is_that_of_the_grid() -> None:
    assert rate_of(snapshot([manifest("a-0", [], unix_us=BEGAN + 123_456)])) == RATE
    assert rate_of(snapshot([])) == 0


def test_tick_times_and_load_are_of_late_and_not_of_all_time() -> None:
    figures = ShardFigures()
    slow, quick = [40_000] * 1000, [1_000] * 100
    figures.lines(snapshot([manifest("a-0", [], tick_us=ticks(*slow))]))
    later = manifest("a-0", [], unix_us=BEGAN + 2 * SECOND, tick_us=ticks(*slow, *quick))
    line = figures.lines(snapshot([later], unix_us=BEGAN + 2 * SECOND))["a-0"]
    assert line["tick_p50_ms"] == pytest.approx(1.0, rel=1 / 16)
    assert line["load"] == pytest.approx(0.02, rel=0.1)


def test_a_new_process_begins_anew() -> None:
    figures = ShardFigures()
    figures.lines(snapshot([manifest("a-0", [], tick_us=ticks(*[40_000] * 10))]))
    again = manifest("a-0", [], unix_us=BEGAN + 2 * SECOND, epoch=2, tick_us=ticks(2_000))
    line = figures.lines(snapshot([again], members=[member("a-0", epoch=2)]))["a-0"]
    assert line["tick_p99_ms"] == pytest.approx(2.0, rel=1 / 16)


def test_a_shard_without_a_lease_is_away_and_one_without_a_manifest_starts() -> None:
    figures = ShardFigures()
    lines = figures.lines(
        snapshot([manifest("a-0", [])], members=[member("a-0", living=False), member("a-1")], leader="a-1")
    )
    assert (lines["a-0"]["state"], lines["a-0"]["living"]) == ("away", False)
    assert (lines["a-1"]["state"], lines["a-1"]["leader"], lines["a-1"]["tick_p50_ms"]) == ("starting", True, None)


def test_what_a_stopped_process_published_is_not_its_successors_state() -> None:
    lines = ShardFigures().lines(snapshot([manifest("a-0", [])], members=[member("a-0", epoch=2)]))
    assert lines["a-0"]["state"] == "starting"


def test_rows_are_as_of_their_ticks_end_not_of_when_they_were_published() -> None:
    late = manifest("a-0", [], unix_us=BEGAN + 30_000)
    assert ShardFigures().lines(snapshot([late]))["a-0"]["unix_us"] == BEGAN + SECOND // RATE


def test_the_difference_of_two_histograms() -> None:
    before, after = Histogram(), Histogram()
    for value in (10, 10, 500):
        before.add(value)
        after.add(value)
    after.add(70)
    difference = since(before, after)
    assert (difference.count, difference.total) == (1, 70)
    assert difference.quantile(0.5) == pytest.approx(70, rel=1 / 16)
    assert since(after, after).quantile(0.5) is None


def test_stats_of_another_version_are_no_figures_and_no_failure() -> None:
    line = ShardFigures().lines(snapshot([manifest("a-0", [], tick_us="?")]))["a-0"]
    assert (line["tick_p50_ms"], line["load"]) == (None, None)
