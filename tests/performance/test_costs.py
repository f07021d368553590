"""The costs' own arithmetic, their sections of the page, and the flame graphs. The figures themselves need a fleet."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from shardfleet_operator.local.certificate import checked_folder
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.transfer_spans import Part

from tests.integration.local.collector import SentSpan
from tests.integration.plugin_versions import install_package
from tests.performance import flamegraph, map_bench, page, page_costs
from tests.performance.bench import cost_scenarios, costs, wide_rows
from tests.performance.bench.figures import Figures
from tests.performance.bench.fleet import BenchmarkError
from tests.performance.bench.throughput import FLEET, PLAIN, Variant
from tests.tls_files import NEEDS_OPENSSL


def span(part: str, ms: int) -> SentSpan:
    return SentSpan("costs-0", b"trace", b"span", b"", part, 5_000_000, 5_000_000 + ms * 1_000_000, {})


def test_a_part_is_summed_up_by_its_own_spans() -> None:
    others = [span(part, 1000) for part in Part if part is not Part.BEGIN]
    found = cost_scenarios.phase_figures([*others, *(span(Part.BEGIN, ms) for ms in range(101))])
    assert found["begin_ms_p50"] == pytest.approx(50)
    assert found["begin_ms_p99"] == pytest.approx(99)
    assert (found["adopt_ms_p50"], found["transfers"]) == (1000, 1)
    assert set(found) <= set(costs.UNITS)


def test_a_part_without_a_span_gives_no_figures() -> None:
    with pytest.raises(BenchmarkError, match="no span of clear"):
        cost_scenarios.phase_figures([span(part, 1) for part in Part if part is not Part.CLEAR])


def test_a_feature_is_compared_with_the_plain_fleets_around_it() -> None:
    plain = [{"cpu_us_per_handoff": 2.0}, {"cpu_us_per_handoff": 4.0}]
    assert cost_scenarios.cpu_ratio({"cpu_us_per_handoff": 6.0}, plain) == 2.0


@NEEDS_OPENSSL
def test_each_feature_has_its_words_and_runs_between_plain_fleets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[Variant] = []

    def loaded(folder: Path, scale: object, load: object, variant: Variant = PLAIN) -> cost_scenarios.Values:
        started.append(variant)
        return dict.fromkeys((*cost_scenarios.OF_A_HANDOFF, *cost_scenarios.CHECKED), 1.0)

    monkeypatch.setattr(cost_scenarios, "_loaded", loaded)
    names = [name for name, _ in cost_scenarios.features(tmp_path, cost_scenarios.QUICK)]
    assert list(dict.fromkeys(names)) == list(page_costs.FEATURES)
    assert names[::2] == [cost_scenarios.PLAIN_NAME] * len(page_costs.FEATURES)
    assert started[names.index("tls")].options == ("--tls", str(tmp_path / "tls"))
    assert checked_folder(tmp_path / "tls", FleetConfig(name=FLEET, replicas=4))


@pytest.mark.parametrize("size", cost_scenarios.EXTRA_BYTES)
def test_wide_rows_are_as_much_wider_as_they_say(size: int, tmp_path: Path) -> None:
    plugin = getattr(wide_rows, f"Wide{size}")
    assert Schema(2, plugin.dtype).row_size_bytes == page_costs.ROW_BYTES + size
    site = install_package(tmp_path / "site", "wide_rows", "", {f"wide{size}": plugin.__name__})
    assert f"wide{size} = wide_rows:Wide{size}\n" in (site / "wide_rows-1.dist-info" / "entry_points.txt").read_text()


def test_what_failed_is_said_and_what_came_before_it_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def scenario(folder: Path, scale: cost_scenarios.CostScale) -> cost_scenarios.Rows:
        yield "first", {"cpu_us_per_handoff": 3.0}
        raise BenchmarkError("no second")

    monkeypatch.setattr(costs, "SCENARIOS", {"batch": scenario})
    rows, failures = costs.run("batch", tmp_path, runs=2, quick=True)
    assert rows["first"].to_dict()["cpu_us_per_handoff"]["runs"] == 2
    assert failures == ["batch, run 1: no second", "batch, run 2: no second"]
    [_, line] = costs.table({"batch": costs.to_list(rows)})
    assert line.split() == ["first", "cpu_us_per_handoff", "3", "3", "3", "us", "2"]


# --- the page -------------------------------------------------------------------------------------------------------


def row(name: str, **values: tuple[float, ...]) -> dict[str, object]:
    figures = Figures(units=costs.UNITS, bounds={})
    for figure, each in values.items():
        for value in each:
            figures.add({figure: value})
    return {"name": name, "figures": figures.to_dict()}


def made_up() -> dict[str, list[dict[str, object]]]:
    cost = {"cpu_us_per_handoff": (3.0, 2.0, 4.0), "handoffs_per_second": (100_000.0,)}
    parts = {f"{part}_ms_{quantile}": (1.5,) for part in Part for quantile in ("p50", "p99")}
    return {
        "features": [
            row("plain", **cost),
            row("trace", cpu_ratio=(1.25,), **cost),
            row("tls", cpu_ratio=(1.5,), **cost),
        ],
        "state": [row("built-in", bytes_per_handoff=(250.0,), manifest_bytes_per_handoff=(30.0,), **cost)],
        "batch": [row("500 entities", entities_per_transfer=(7.5,), **cost)],
        "phases": [row("light", **parts), row("heavy", **parts)],
        "recovery": [row("2,000 entities", owner_again_s=(0.5, 0.75, 1.0))],
        "memory": [row("200,000 entities", shards_bytes_per_entity=(300.0,), redis_bytes_per_entity=(200.0,))],
    }


def lines_of(scenarios: dict[str, list[dict[str, object]]]) -> list[str]:
    return [line for _, section in page_costs.sections(scenarios) for line in section]


def test_every_scenario_has_a_section_with_its_figures() -> None:
    assert list(page_costs.SECTIONS) == list(cost_scenarios.SCENARIOS) == list(made_up())
    lines = lines_of(made_up())
    assert len([line for line in lines if line.startswith("## ")]) == len(made_up())
    assert "| nothing beside the defaults |  | 3 us (2–4) | 100,000 | 3 |" in lines
    assert "| a per-tick trace, `--trace` | 1.25 | 3 us (2–4) | 100,000 | 3 |" in lines
    assert "| TLS on the links | 1.5 | 3 us (2–4) | 100,000 | 3 |" in lines
    assert "| built-in | 100,000 | 3 us (2–4) | 250 bytes | 30 bytes | 3 |" in lines
    assert "| 500 entities | 7.5 | 100,000 | 3 us (2–4) | 3 |" in lines
    assert "| | light: p50 | p99 | heavy: p50 | p99 |" in lines
    assert "| `clear`, the last: until Redis has cleared the record |" + " 1.5 ms |" * 4 in lines
    assert "| 2,000 entities | 0.75 s (0.5–1) | 3 |" in lines
    assert "| 200,000 entities | 300 bytes | 200 bytes | 1 |" in lines


def test_tables_have_as_many_cells_in_every_line() -> None:
    lines = lines_of(made_up())
    for before, after in pairwise(lines):
        if before.startswith("|") and after.startswith("|"):
            assert before.count("|") == after.count("|"), after


def test_a_scenario_that_was_not_run_has_no_section() -> None:
    lines = lines_of({"batch": made_up()["batch"], "memory": []})
    assert [line for line in lines if line.startswith("## ")] == ["## Entities in one transfer"]


def test_the_page_does_without_costs() -> None:
    figure = {"min": 0.0, "median": 0.0, "max": 0.0, "runs": 3, "unit": ""}
    machine = {"cores": 2, "memory_mb": 4096, "system": "Linux x86_64", "python": "3.11.2"}
    checked = ("lost", "doubled", "overlap_ticks", "false_verdicts")
    bench = {"machine": machine, "commit": "abc1234", "figures": dict.fromkeys(checked, figure)}
    of_a_row = ("handoffs_per_second", "lowest_second", "cpu_us_per_handoff", "bytes_per_handoff", "gap_ms_p50")
    of_a_row += ("gap_ms_p99", "tick_ms_p50", "tick_ms_p99", "ticks_skipped", "lost", "doubled")
    of_a_row += (
        "publish_percent_of_tick",
        "manifest_bytes_per_handoff",
        "redis_requests_per_handoff",
        "entities_per_transfer",
    )
    about = {"name": "", "shards": 4, "entities": 1, "fsync": "always", "cap_per_second": 1, "offered_per_second": 1}
    about["window_s"] = 20.0
    throughput = {"rows": [{**about, "runs": 3, "figures": dict.fromkeys(of_a_row, figure)}]}
    without = page.text(bench, throughput)
    assert "## Memory" not in without and "abc1234" in without
    costs = {"commit": "abc1234", "scenarios": made_up()}
    assert page.text(bench, throughput, [{**costs, "scenarios": {}}]) == without
    assert page.text(bench, throughput, [costs]).startswith(without.rstrip("\n"))
    assert "Of another day" not in page.text(bench, throughput, [costs])
    later = {"commit": "def5678", "machine": {"python_loop_ns": 41.6}}
    later["scenarios"] = {"recovery": [row("3,000 entities", owner_again_s=(2.0,))], "memory": []}
    both = page.text(bench, throughput, [costs, later])
    assert "| 3,000 entities | 2 s | 1 |" in both and "2,000 entities | 0.75" not in both
    words = "commit def5678 was measured, on cores on which a pass of an adding Python loop takes 42 ns"
    assert both.count("Of another day") == both.count(f"differ](benchmark.md#throughput)): {words}.") == 1
    assert "## The live map" not in without
    found = {name: {**figure, "median": 60.0, "max": 61.5, "unit": unit} for name, unit in map_bench.UNITS.items()}
    with_map = page.text(bench, throughput, live_map={"entities": 50_000, "figures": found}).splitlines()
    assert "| pictures the page draws |  | 60 1/s | 0–61.5 | 3 |" in with_map
    assert {name for _, parts in page.MAP_FIGURES for _, name in parts} <= set(map_bench.UNITS)


# --- flame graphs ---------------------------------------------------------------------------------------------------

RAW = """\
main (run.py:1);_on_tick (shardfleet_shard/authority_manager.py:9);step <of> (numpy/core.py:3) 60
main (run.py:1);_on_tick (shardfleet_shard/authority_manager.py:9) 20
main (run.py:1);_on_tick (elsewhere.py:9);sleep (time.py:2) 15
main (run.py:1);_on_tick (shardfleet_shard/authority_manager.py:9);rare (a.py:1) 0
main (run.py:1) 5
"""
ROOTS = [("_on_tick", "shardfleet_shard/authority_manager.py")]


def test_stacks_are_cut_where_the_function_of_that_file_begins() -> None:
    found = list(flamegraph.cut(flamegraph.parse(RAW), ROOTS))
    assert [samples for _, samples in found] == [60, 20, 0]
    assert {stack[0] for stack, _ in found} == {"_on_tick (shardfleet_shard/authority_manager.py:9)"}


def test_a_box_is_as_wide_as_its_share_and_says_it() -> None:
    text = flamegraph.svg("Ticks & more", flamegraph.cut(flamegraph.parse(RAW), ROOTS), all_samples=100)
    root = ElementTree.fromstring(text)
    boxes = [element for element in root if element.tag.endswith("}g")]
    said = {box[0].text: float(box[1].attrib["width"]) for box in boxes}
    assert {title: round(width / flamegraph.WIDTH, 2) for title, width in said.items()} == {
        "_on_tick (shardfleet_shard/authority_manager.py): 80.0%": 1.0,
        "step <of> (numpy/core.py): 60.0%": 0.75,
    }
    assert [box[1].attrib["class"] for box in boxes] == ["own", "library"]
    assert "Ticks &amp; more: 80% of its samples" in text


def test_a_name_is_cut_to_its_box() -> None:
    frames = {
        "Wide.one (a.py:1)": 90,
        "ARatherLongName.half (a.py:1)": 6,
        "a_rather_long_name (a.py:1)": 4,
        "x (a.py:1)": 0,
    }
    text = flamegraph.svg("Names", [((frame,), samples) for frame, samples in frames.items()], all_samples=100)
    assert re.findall(r"<text x[^>]*>([^<]*)</text>", text) == ["Wide.one", "half", "a_rat…"]


def test_a_graph_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no stack for 'Ticks'"):
        flamegraph.svg("Ticks", [], all_samples=1)
