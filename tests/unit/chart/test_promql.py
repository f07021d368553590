"""Each question of the alerts and of the dashboard is PromQL, and asks for what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .promql import WrongQuestion, answer, known, names, parsed
from .test_metrics import ALERTS, DASHBOARD

VARIABLES = [one["name"] for one in DASHBOARD["templating"]["list"]]
PANELS = [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
OF_VALUES = re.compile(r"label_values\((.+), (\w+)\)")


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is_and_says_what_it_is_told(rule: dict[str, str]) -> None:
    result = answer(rule["expr"])
    for text in rule["annotations"].values():
        for label in re.findall(r"\$labels\.(\w+)", text):
            assert label in result.labels, f"what {rule['alert']} finds has no label {label}"


@pytest.mark.parametrize(("title", "target"), PANELS, ids=[f"{title}: {one['legendFormat']}" for title, one in PANELS])
def test_a_panel_asks_for_what_there_is_and_names_its_lines(title: str, target: dict[str, str]) -> None:
    result = answer(target["expr"], VARIABLES)
    told_apart = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert told_apart <= result.labels, f"lines of {title} have no label {told_apart - result.labels}"


def choices() -> Iterator[tuple[str, str]]:
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


@pytest.mark.parametrize(("name", "query"), list(choices()))
def test_a_choice_of_the_dashboard_offers_a_labels_values(name: str, query: str) -> None:
    match = OF_VALUES.fullmatch(query)
    assert match is not None
    assert match[2] == {"namespace": "k8s_namespace_name", "fleet": "shardfleet_fleet"}[name]
    assert match[2] in answer(match[1], VARIABLES).labels


def test_every_selector_of_the_dashboards_fleets_obeys_its_choices() -> None:
    for title, target in PANELS:
        of_fleets = [name for name in names(target["expr"], VARIABLES) if "shardfleet_fleet" in known()[name].labels]
        chosen = [target["expr"].count(f'{label}=~"${name}"') for name, label in
                  (("fleet", "shardfleet_fleet"), ("namespace", "k8s_namespace_name"))]  # fmt: skip
        assert chosen == [len(of_fleets)] * 2, f"{title}: {target['expr']}"


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("shardfleet_nothing == 1", "no metric is called"),
        ('shardfleet_operator_leader{shardfleet_fleet="x"}', "has no label shardfleet_fleet"),
        ('shardfleet_shard_state{shardfleet_shard_state="frozen"}', "is never frozen"),
        ('shardfleet_shard_state{shardfleet_shard_state=~"fenced|froz.*"}', "is never froz"),
        ("sum by (shardfleet_peer) (shardfleet_entities)", "by ['shardfleet_peer']"),
        ("rate(shardfleet_entities[5m])", "no counter"),
        ("shardfleet_ticks_total > 0", "take its rate"),
        ("sum(shardfleet_ticks_total)", "first their rates"),
        ("shardfleet_ticks_total unless shardfleet_ticks_total offset 5m", "take its rate"),
        ("max_over_time(shardfleet_ticks_total[5m]) unless shardfleet_entities", "no series of the left"),
        ("shardfleet_ticks_total", "take its rate"),
        ("histogram_quantile(0.5, sum(rate(shardfleet_handoff_gap_seconds_bucket[5m])))", "buckets by le"),
        ("histogram_quantile(0.5, rate(shardfleet_handoff_gap_seconds_sum[5m]))", "buckets by le"),
        ("histogram_quantile(0.5, shardfleet_handoff_gap_seconds_bucket)", "buckets by le"),
        ("sum by (shardfleet_fleet) (shardfleet_entities) / sum(shardfleet_entities)", "no series of the left"),
        ("sum by (k8s_namespace_name) (shardfleet_entities) > $limit", "no variable is called"),
        ("deriv(shardfleet_entities[5m])", "know no deriv"),
    ],
)
def test_a_wrong_question_is_found(question: str, said: str) -> None:
    with pytest.raises(WrongQuestion, match=re.escape(said)):
        answer(question)


@pytest.mark.parametrize("question", ["sum by (a (x)", "rate(x)", 'x{a="b"', "x[5q]", 'x{a=~"("}', "nothing(x)"])
def test_what_is_no_promql_is_not_read(question: str) -> None:
    with pytest.raises(ValueError):
        parsed(question)
