"""What the chart makes of the metrics: monitors that find them, rules and a dashboard that name what there is."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from shardfleet_operator.cluster import names
from shardfleet_operator.cluster.objects import FleetObjects, RedisSecret
from shardfleet_operator.watchdog import VerdictKind
from shardfleet_shard.config import FleetConfig

from .helm import CHART, ROOT, Object, needs_helm, of_kind, pods, render

ON: dict[str, Any] = {
    f"metrics.{part}": {"enabled": True, "labels": {"release": "watch"}}
    for part in ("serviceMonitor", "podMonitor", "prometheusRule", "dashboard")
}
KINDS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
FLEET = FleetObjects(
    namespace="play", name="arena", uid="u", config=FleetConfig(name="arena", namespace="play"), image="i",
    redis=RedisSecret(name="r", url="redis://r"),
)  # fmt: skip
RULES = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
PAGE = (ROOT / "docs" / "operate-cluster.md").read_text()


# --- what is rendered --------------------------------------------------------------------------------------------


@needs_helm
def test_nothing_of_it_is_there_unless_it_is_asked_for() -> None:
    found = render()
    assert not [one for one in found if one["kind"] in KINDS or "dashboard" in one["metadata"]["name"]]
    assert sorted(of_kind(found, "Service")) == ["shardfleet-map", "shardfleet-redis"]


@needs_helm
def test_the_operators_monitor_finds_its_port() -> None:
    found = render(ON)
    service, monitor = of_kind(found, "Service")["shardfleet-metrics"], of_kind(found, "ServiceMonitor")["shardfleet"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    others = [one for name, one in of_kind(found, "Service").items() if name != "shardfleet-metrics"]
    assert others and not any(
        monitor["spec"]["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items() for one in others
    )
    [endpoint], [port] = monitor["spec"]["endpoints"], service["spec"]["ports"]
    assert endpoint["port"] == port["name"] and endpoint["path"] == "/metrics"
    pod = dict(pods(found))["Deployment/shardfleet"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    [container] = pod["spec"]["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert f"--metrics=0.0.0.0:{ports[port['targetPort']]}" in container["args"]
    [rule] = of_kind(found, "NetworkPolicy")["shardfleet"]["spec"]["ingress"]
    assert "from" not in rule and ports["metrics"] in [one["port"] for one in rule["ports"]]


@needs_helm
def test_the_shards_monitor_finds_their_pods() -> None:
    monitor = of_kind(render(ON), "PodMonitor")["shardfleet-shards"]["spec"]
    assert monitor["namespaceSelector"] == {"any": True}
    [expression] = monitor["selector"]["matchExpressions"]
    pod = FLEET.pod(0)
    assert expression["operator"] == "Exists" and expression["key"] in pod["metadata"]["labels"]
    assert not any(expression["key"] in one["metadata"].get("labels", {}) for _, one in pods(render(ON)))
    [endpoint] = monitor["podMetricsEndpoints"]
    [container] = pod["spec"]["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports[endpoint["port"]] == names.METRICS_PORT
    where = container["args"].index("--metrics")
    assert container["args"][where + 1] == f"0.0.0.0:{names.METRICS_PORT}"
    narrow = of_kind(render({**ON, "operator.namespaces": ["play"]}), "PodMonitor")["shardfleet-shards"]["spec"]
    assert narrow["namespaceSelector"] == {"matchNames": ["play"]}


def test_a_fleets_network_policy_lets_metrics_in_from_anywhere_and_links_from_its_own_alone() -> None:
    links, open_to_all = FLEET.network_policy()["spec"]["ingress"]
    assert "from" not in open_to_all
    assert [one["port"] for one in open_to_all["ports"]] == [names.HEALTH_PORT, names.METRICS_PORT]
    assert [one["port"] for one in links["ports"]] == [names.LINK_PORT] and len(links["from"]) == 2


@needs_helm
def test_labels_by_which_they_are_picked() -> None:
    found = render(ON)
    picked = [one for one in found if one["metadata"].get("labels", {}).get("release") == "watch"]
    assert sorted(one["kind"] for one in picked) == ["ConfigMap", "PodMonitor", "PrometheusRule", "ServiceMonitor"]
    [board] = [one for one in picked if one["kind"] == "ConfigMap"]
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1", "the sidecar's label stays"
    assert json.loads(board["data"]["shardfleet.json"]) == DASHBOARD
    assert of_kind(found, "PrometheusRule")["shardfleet"]["spec"] == RULES


# --- what is said of it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_the_page_says_what_to_do(rule: Object) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert f"`{rule['alert']}`" in PAGE, f"docs/operate-cluster.md says nothing of {rule['alert']}"


def test_the_page_knows_no_alert_that_is_not_there_and_every_verdict() -> None:
    alerts = {rule["alert"] for rule in ALERTS}
    assert set(re.findall(r"`(ShardFleet[A-Z]\w+)`", PAGE)) <= alerts
    assert all(f"`{kind}`" in PAGE for kind in VerdictKind)


def test_the_page_knows_every_reason_of_a_condition_that_asks_for_something() -> None:
    sources = (ROOT / "operator" / "shardfleet_operator" / "cluster").glob("*.py")
    reasons = {found for path in sources for found in re.findall(r'reason ?= ?"([A-Z]\w+)"', path.read_text())}
    fine = {"AsExpected", "AppendOnly", "AllCellsClaimed", "Settled", "NotAsked", "NotMeasured", "Error"}
    assert "ClockSkewed" in reasons and fine < reasons
    assert [reason for reason in sorted(reasons - fine) if f"`{reason}`" not in PAGE] == []


def test_the_dashboards_panels_are_drawable() -> None:
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers) > 20
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or all(target["legendFormat"] for target in panel["targets"])
