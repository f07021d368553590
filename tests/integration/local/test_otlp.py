"""What real shards send by OTLP: one trace a transfer from both sides, and every metric."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shardfleet_shard.core.transfer_spans import Part
from shardfleet_shard.monitoring.shard import SHARD_METRICS
from shardfleet_shard.monitoring.table import Kind

from tests.patience import PATIENCE_S, beside_lateness

from .collector import SOURCE, TARGET, Collector, attributes_of

ORBIT = Path(__file__).parents[3] / "examples" / "orbit.yaml"


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Gets what a fleet sends, until all of it has ended in order."""
    with Collector() as collector:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
            "SHARDFLEET_LOG_FORMAT": "json",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        }
        command = [sys.executable, "-m", "shardfleet_operator.cli", "local", "up", "-f", str(ORBIT)]
        folder = tmp_path_factory.mktemp("data")
        with (folder.parent / "said").open("w") as said:
            process = subprocess.Popen(
                [*command, "--data", str(folder), "--no-map"], env=environment, stdout=said, stderr=subprocess.STDOUT
            )
        try:
            deadline = time.monotonic() + PATIENCE_S
            logs = [folder / "logs" / f"arena-{ordinal}.log" for ordinal in range(4)]
            while len(collector.whole_traces()) < 5 or not all('"link up"' in _read(log) for log in logs):
                assert time.monotonic() < deadline, [len(collector.spans()), (folder.parent / "said").read_text()]
                time.sleep(0.1)
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
        collector.logs = [_read(log) for log in logs]
        yield collector


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_transfer_is_one_trace_from_both_shards(collector: Collector) -> None:
    found = collector.whole_traces()
    assert len(found) >= 5
    for trace in found:
        root = trace[Part.TRANSFER]
        source, target = root.shard, root.attributes["shardfleet.transfer.target"]
        assert source != target and root.parent == b""
        assert root.attributes["shardfleet.transfer.entities"] >= 1
        assert root.attributes["shardfleet.transfer.outcome"] == "completed"
        assert root.attributes["shardfleet.transfer"].startswith(f"{source}/")
        for span in trace.values():
            assert span is root or span.parent == root.span
            assert span.attributes["shardfleet.transfer"] == root.attributes["shardfleet.transfer"]
            assert span.start_ns <= span.end_ns and span.start_ns >= root.start_ns - 1_000_000
        assert {part: trace[part].shard for part in SOURCE} == dict.fromkeys(SOURCE, source)
        assert {part: trace[part].shard for part in TARGET} == dict.fromkeys(TARGET, target)
        assert trace[Part.CLEAR].shard in (source, target)
        assert trace[Part.OFFER].attributes["shardfleet.transfer.outcome"] == "accepted"
        assert trace[Part.ACCEPT].end_ns <= trace[Part.ADOPT].start_ns + 1000
        # 60 ms lie between the plan and the switch tick, at which both sides move.
        assert trace[Part.ADOPT].end_ns - root.start_ns > 50_000_000


def test_nothing_but_transfers_is_traced(collector: Collector) -> None:
    assert {span.name for span in collector.spans()} == set(Part)


def test_log_lines_are_json_and_say_who_wrote_them(collector: Collector) -> None:
    assert len(collector.logs) == 4
    for ordinal, text in enumerate(collector.logs):
        lines = [json.loads(line) for line in text.splitlines()]
        assert lines and {(one["fleet"], one["shard"]) for one in lines} == {("arena", f"arena-{ordinal}")}
        [up, *_] = [one for one in lines if one["message"] == "link up"]
        assert up["peer_epoch"] > 1_000_000 and up["peer"].startswith("arena-")


def test_every_metric_is_sent_with_its_kind_unit_and_attributes(collector: Collector) -> None:
    processes = collector.metrics()
    assert sorted(sent[""]["shardfleet.shard"] for sent in processes.values()) == [f"arena-{n}" for n in range(4)]
    for instance, sent in processes.items():
        about = sent.pop("")
        assert about["service.name"] == "shardfleet-shard" and about["shardfleet.fleet"] == "arena"
        assert about["deployment.environment.name"] == "test" and instance.startswith(about["shardfleet.shard"])
        assert set(sent) == {row.metric.name for row in SHARD_METRICS}
        for metric in (row.metric for row in SHARD_METRICS):
            one = sent[metric.name]
            assert (one.unit, one.description) == (metric.unit, metric.description)
            data = getattr(one, one.WhichOneof("data"))
            assert one.WhichOneof("data") == {Kind.HISTOGRAM: "histogram", Kind.GAUGE: "gauge"}.get(metric.kind, "sum")
            assert metric.kind is not Kind.COUNTER or data.is_monotonic
            for point in data.data_points:
                assert set(attributes_of(point.attributes)) == {attribute.name for attribute in metric.attributes}
                assert metric.kind is Kind.GAUGE or point.time_unix_nano >= point.start_time_unix_nano > 0
        ticks = sent["shardfleet.tick.duration"].histogram.data_points[0]
        assert ticks.count == sum(ticks.bucket_counts) > 10 and ticks.sum > 0
        assert len(ticks.bucket_counts) == len(ticks.explicit_bounds) + 1


def test_a_collector_that_is_away_is_said_once_and_holds_nobody(tmp_path: Path) -> None:
    """Neither the ticks nor the end: the supervisor kills what does not settle in time."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{nobody.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
            "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
        }
        command = [sys.executable, "-m", "shardfleet_operator.cli", "local", "up", "-f", str(ORBIT), "--duration", "8"]
        done = subprocess.run(
            [*command, "--data", str(tmp_path / "data"), "--no-map"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    outcome = json.loads((tmp_path / "data" / "outcome.json").read_text())
    assert beside_lateness(outcome["faults"]) == [], done.stdout + done.stderr
    for path in sorted((tmp_path / "data" / "logs").glob("arena-*.log")):
        lines = [line for line in path.read_text().splitlines() if "otlp" in line or "opentelemetry" in line]
        said = [line for line in lines if " INFO " not in line]
        for what in ("metrics", "traces"):
            [line] = [one for one in said if f"the collector takes no {what}: " in one]
            assert "127.0.0.1" in line, "why"
        assert len(said) <= 4, "and what was not taken at the end, at most"
