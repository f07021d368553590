"""A Prometheus with the chart's rules, which scrapes what a test names every second."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import yaml

from tests.patience import PATIENCE_S
from tests.unit.chart.helm import CHART
from tests.unit.chart.test_promql import PANELS, VARIABLES

from ..servers import free_port

PROGRAM = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(
    PROGRAM is None, reason="no program prometheus on the PATH (Debian: apt-get install prometheus)"
)
INTERVAL_S = 1
EVALUATIONS = 5
"""So many in a row must be quiet."""
RATE_INTERVAL = "30s"
"""As Grafana has it for so short an interval, and a busy machine's longer ones."""
LATENESS = (
    'sum(shardfleet_ticks_total{shardfleet_tick_outcome!="simulated"}) + sum(shardfleet_redis_unanswered_total)'
    " + sum(shardfleet_transfers_answered_late_total)"
)
OF_LATENESS = frozenset(
    {"ShardFleetTicksSkipped", "ShardFleetAnswersLate", "ShardFleetRedisUnanswered", "ShardFleetShardFenced"}
)
"""Alerts that are right on a machine too busy for its fleet: they count for nothing where ``LATENESS`` is not 0."""


def pod_labels(namespace: str, pod: str) -> dict[str, str]:
    """What the PodMonitor and the ServiceMonitor add to what a pod says of itself."""
    return {"namespace": namespace, "pod": pod, "endpoint": "metrics"}


class Prometheus:
    """A context manager that starts and stops it.

    Args:
        folder: for its data, its log and its configuration.
        targets: the labels that each address gets.
    """

    def __init__(self, folder: Path, targets: Mapping[str, Mapping[str, str]]) -> None:
        self.folder = folder
        self.targets = targets
        self.address = f"127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert PROGRAM is not None
        scraped = [{"targets": [address], "labels": dict(labels)} for address, labels in self.targets.items()]
        config = {
            "global": {"scrape_interval": f"{INTERVAL_S}s", "evaluation_interval": f"{INTERVAL_S}s"},
            "rule_files": [str(CHART / "files" / "alerts.yaml")],
            "scrape_configs": [{"job_name": "shardfleet", "static_configs": scraped}],
        }
        (self.folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        command = [PROGRAM, f"--config.file={self.folder / 'prometheus.yaml'}", f"--web.listen-address={self.address}"]
        command += [f"--storage.tsdb.path={self.folder / 'data'}"]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            self.until("it is ready", self._is_ready)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        finally:
            self._process.kill()

    def _is_ready(self) -> bool:
        assert self._process is not None and self._process.poll() is None, (self.folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=PATIENCE_S) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def until(self, what: str, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
            time.sleep(0.1)

    def get(self, name: str, **parameters: str) -> Any:
        """The data of the API's answer. Fails with Prometheus' own words where that is an error."""
        url = f"http://{self.address}/api/v1/{name}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as error:
            said = json.load(error)
        assert said["status"] == "success" and not said.get("warnings"), (parameters, said)
        return said["data"]

    def query(self, question: str) -> list[float]:
        """The values of what it finds now, NaN left out."""
        found = [float(one["value"][1]) for one in self.get("query", query=question)["result"]]
        return [value for value in found if not math.isnan(value)]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def pending(self) -> dict[str, list[dict[str, str]]]:
        """The labels of what is pending or fires, by the alert's name."""
        found = {rule["name"]: [one["labels"] for one in rule["alerts"]] for rule in self.rules()}
        return {name: alerts for name, alerts in found.items() if alerts}

    def check_targets_and_rules(self) -> None:
        """All targets are there, and up sooner or later, as a busy one answers late; no rule has an error."""

        def all_are_up() -> bool:
            targets = self.get("targets", state="active")["activeTargets"]
            assert {one["discoveredLabels"]["__address__"] for one in targets} == self.targets.keys()
            return all(one["health"] == "up" for one in targets)

        self.until("all targets are up", all_are_up)
        assert [rule for rule in self.rules() if rule["health"] != "ok" or rule.get("lastError")] == []

    def until_quiet(self, *, but: frozenset[str] = frozenset()) -> None:
        """Until nothing but ``but`` is pending or fires in several evaluations in a row: on a busy machine a fleet that
        is well is not so at each moment."""
        seen: set[str] = set()
        loud: set[str] = set()

        def is_quiet() -> bool:
            rules = self.rules()
            loud.clear()
            loud.update({rule["name"] for rule in rules if rule["alerts"]} ^ but)
            if self.query(LATENESS) != [0.0]:
                loud.difference_update(OF_LATENESS)
            if loud:
                seen.clear()
            else:
                seen.add(min(rule["lastEvaluation"] for rule in rules))
            return len(seen) >= EVALUATIONS

        try:
            self.until("quiet", is_quiet)
        except AssertionError as error:
            raise AssertionError(f"not quiet: {sorted(loud)}: {self.pending()}") from error

    def until_panels_without_data_are(self, expected: Sequence[str]) -> None:
        """Asks all that the dashboard asks: each is answered, and sooner or later only ``expected`` with nothing.

        Args:
            expected: as "title: legend", in the dashboard's order.
        """
        empty: list[str] = []

        def is_so() -> bool:
            empty[:] = [f"{title}: {one['legendFormat']}" for title, one in PANELS if not self.query(_asked(one))]
            return empty == list(expected)

        try:
            self.until("data", is_so)
        except AssertionError as error:
            raise AssertionError(f"without data: {empty}") from error


def _asked(target: Mapping[str, str]) -> str:
    """As Grafana asks for all fleets of all namespaces."""
    question = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
    for name in VARIABLES:
        question = question.replace(f"${name}", ".*")
    return question
