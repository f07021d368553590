"""Each alert in Prometheus' own hands: it fires in the cases of alert_cases.yaml, and not in the near ones."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.patience import PATIENCE_S

from .helm import CHART, Object
from .promql import answer, known, parsed
from .test_metrics import ALERTS

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="no program promtool on the PATH (Debian: apt-get install prometheus)"
)
RULES = CHART / "files" / "alerts.yaml"
"""What is rendered is this: a test of the chart's metrics says so."""
CASES: dict[str, dict[str, list[Object]]] = yaml.load(
    Path(__file__).with_name("alert_cases.yaml").read_text(), yaml.BaseLoader
)
"""All texts are taken as they stand: 0x12 is no number."""
STEP_S = 15
"""Between two scrapes, as in the chart's values, and between two evaluations."""
IDENTITY = {"k8s_namespace_name": "play", "shardfleet_fleet": "arena", "shardfleet_shard": "arena-0"}
"""What a process says of itself."""
OPERATOR = {"job": "shardfleet-metrics", "namespace": "system", "pod": "shardfleet-a", "endpoint": "metrics"}
SHARD = {"job": "play/shardfleet-shards", "namespace": "play", "pod": "arena-0", "endpoint": "metrics"}
"""What the ServiceMonitor and the PodMonitor add to it."""


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def target(labels: Mapping[str, Any] | frozenset[str]) -> dict[str, str]:
    """Of the process that has series with these labels."""
    return SHARD if "shardfleet_shard" in labels else OPERATOR


def completed(series: str) -> str:
    """With the labels that tell fleet, shard and pod. Fails where no process has such a series."""
    selector: Any = promql_parser.parse(series)
    row, named = known()[selector.name], {one.name: one.value for one in selector.matchers.matchers}
    for label, attribute in row.labels.items():
        value = named.get(label, IDENTITY.get(label))
        assert value is not None, f"{series} has no {label}"
        assert attribute is None or not attribute.values or value in attribute.values, f"{label} is never {value}"
    own = {label: value for label, value in IDENTITY.items() if label in row.labels}
    labels = {**target(row.labels), **own, **named}
    assert labels.keys() == row.labels.keys() | target(row.labels).keys(), f"no process has {series}"
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{selector.name}{{{inside}}}"


def is_of_one_process(expression: str) -> bool:
    """Whether what it finds keeps the labels of the process that it is scraped from."""
    found = False

    def visit(node: Any) -> None:
        nonlocal found
        found = found or isinstance(node, promql_parser.AggregateExpr)

    promql_parser.walk(parsed(expression), pre_visit=visit)
    return not found


def expected(rule: Object, case: Object) -> Object:
    """The alert, with all its labels: those that the expression is known to yield, and no others."""
    labels = {**IDENTITY, **case.get("labels", {})}
    found = {label: labels[label] for label in answer(rule["expr"]).labels}
    assert case.get("labels", {}).keys() <= found.keys()
    if is_of_one_process(rule["expr"]):
        found |= target(found)
    return {
        "exp_labels": {**rule["labels"], **found},
        "exp_annotations": {**rule["annotations"], "summary": case["summary"]},
    }


def group(rule: Object, case: Object) -> Object:
    """The case as promtool has it."""
    if "at" in case:
        times, alerts = [case["at"]], [expected(rule, case)]
    else:
        first_s, last_s = (int(text.removesuffix("m")) * 60 for text in (case.get("from", "0m"), case["until"]))
        times, alerts = [f"{time_s}s" for time_s in range(first_s, last_s + 1, STEP_S)], []
    return {
        "name": case["why"],
        "interval": f"{STEP_S}s",
        "input_series": [{"series": completed(one), "values": values} for one, values in case["series"].items()],
        "alert_rule_test": [{"eval_time": time, "alertname": rule["alert"], "exp_alerts": alerts} for time in times],
    }


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    checked = promtool("check", "rules", "--lint-fatal", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(ALERTS)} rules found" in checked.stdout


def test_every_alert_has_cases_in_which_it_fires_and_near_ones_in_which_it_is_silent() -> None:
    assert list(CASES) == [rule["alert"] for rule in ALERTS]
    for name, cases in CASES.items():
        assert cases.keys() == {"fires", "silent"} and cases["fires"] and cases["silent"], name
        assert all("at" in case for case in cases["fires"]), name
        assert all("until" in case for case in cases["silent"]), name


@needs_promtool
@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_fires_where_it_must_and_nowhere_near(rule: Object, tmp_path: Path) -> None:
    cases = [case for kind in ("fires", "silent") for case in CASES[rule["alert"]][kind]]
    rules = {"groups": [{"name": "alone", "rules": [rule]}]}  # all of them would take ten times as long
    tests = [group(rule, case) for case in cases]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    (tmp_path / "cases.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": f"{STEP_S}s", "tests": tests})
    )
    tested = promtool("test", "rules", str(tmp_path / "cases.yaml"))
    assert tested.returncode == 0, tested.stdout + tested.stderr
