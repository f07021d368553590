"""What OpenTelemetry's variables make of a process, and spans as the SDK has them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.core.transfer_spans import Part, TransferSpan
from shardfleet_shard.errors import UsageError
from shardfleet_shard.monitoring import otlp
from shardfleet_shard.monitoring.otlp import (
    EXPORTERS_LOGGER,
    MetricsExport,
    Taken,
    in_thread,
    is_wanted,
    resource,
    within_moments,
)
from shardfleet_shard.monitoring.tracing import TransferTracer

from tests.patience import PATIENCE_S

TRANSFER = TransferId("arena-0", 7, 1)
ENDPOINT = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("environ", "traces", "metrics"),
    [
        ({}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}, True, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ENDPOINT}, True, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT, "OTEL_METRICS_EXPORTER": "none"}, True, False),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, False, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT, "OTEL_SDK_DISABLED": "true"}, False, False),
        ({"OTEL_SERVICE_NAME": "x"}, False, False),
    ],
)
def test_what_goes_out(environ: dict[str, str], traces: bool, metrics: bool) -> None:
    assert (is_wanted("traces", environ), is_wanted("metrics", environ)) == (traces, metrics)


@pytest.mark.parametrize(
    ("environ", "wanted", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "console"}, False, "OTEL_TRACES_EXPORTER: console is not there: set otlp or none"),
        ({"OTEL_TRACES_EXPORTER": "otlp, zipkin"}, True, "OTEL_TRACES_EXPORTER: zipkin is not there"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False, "OTEL_EXPORTER_OTLP_PROTOCOL='grpc': traces are not sent"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, True, ""),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": ""}, True, ""),
    ],
)
def test_ways_that_are_not_there_are_named_and_left_out(
    environ: dict[str, str], wanted: bool, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}
    assert is_wanted("traces", endpoint | environ) == wanted
    assert caplog.messages == [] if not said else said in caplog.text


async def test_an_interval_that_is_none() -> None:
    about = resource("shardfleet-shard", "1", {}, {})
    with pytest.raises(UsageError, match="OTEL_METRIC_EXPORT_INTERVAL='soon': milliseconds"):
        MetricsExport(list, about, start_us=0, environ={"OTEL_METRIC_EXPORT_INTERVAL": "soon"})


def test_the_environments_own_words_about_the_process_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"shardfleet.shard": "arena-0", "shardfleet.fleet": "arena"}
    plain = resource("shardfleet-shard", "arena-0-1", own, {}).attributes
    assert plain["service.name"] == "shardfleet-shard" and plain["service.version"]
    environ = {"OTEL_SERVICE_NAME": "world", "OTEL_RESOURCE_ATTRIBUTES": "shardfleet.fleet=x,service.instance.id=y"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = resource("shardfleet-shard", "arena-0-1", own, environ).attributes
    assert (found["service.name"], found["service.instance.id"]) == ("world", "y")
    assert (found["shardfleet.fleet"], found["shardfleet.shard"]) == ("x", "arena-0")


# --- spans -------------------------------------------------------------------------------------------------------


class Room:
    """Tracers of two shards, and what they ended."""

    def __init__(self, sampler: Sampler) -> None:
        self.ended = InMemorySpanExporter()
        self.providers: list[TracerProvider] = []
        self.source, self.target = (self._tracer(sampler, shard) for shard in ("arena-0", "arena-1"))

    def _tracer(self, sampler: Sampler, shard: str) -> TransferTracer:
        provider = TracerProvider(
            sampler=sampler, resource=Resource({"shardfleet.shard": shard}), shutdown_on_exit=False
        )
        provider.add_span_processor(SimpleSpanProcessor(self.ended))
        self.providers.append(provider)
        return TransferTracer(provider)


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room(ParentBased(ALWAYS_ON))
    yield room
    for provider in room.providers:
        provider.shutdown()


def span(part: Part, context: str, outcome: str = "") -> TransferSpan:
    return TransferSpan(
        trace_context=context, transfer=TRANSFER, part=part, start_us=1_000, end_us=2_000, outcome=outcome
    )


def test_parts_of_both_shards_are_one_trace(room: Room) -> None:
    context = room.source.sample(TRANSFER, "arena-1", 3, 500)
    room.target.take([span(Part.ACCEPT, context, "accepted")])
    room.source.take([span(Part.OFFER, context), span(Part.TRANSFER, context, "completed")])
    accept, offer, whole = room.ended.get_finished_spans()
    assert [one.name for one in (accept, offer, whole)] == ["accept", "offer", "transfer"]
    assert len({one.context.trace_id for one in (accept, offer, whole) if one.context}) == 1
    assert whole.parent is None and whole.context is not None
    assert all(one.parent is not None and one.parent.span_id == whole.context.span_id for one in (accept, offer))
    assert (whole.start_time, whole.end_time, accept.start_time) == (500_000, 2_000_000, 1_000_000)
    assert whole.attributes == {
        "shardfleet.transfer": "arena-0/7/1",
        "shardfleet.transfer.target": "arena-1",
        "shardfleet.transfer.entities": 3,
        "shardfleet.transfer.outcome": "completed",
    }


def test_what_is_not_sampled_is_not_kept() -> None:
    room = Room(ALWAYS_OFF)
    assert room.source.sample(TRANSFER, "arena-1", 3, 500) == ""
    assert room.source._began == {}
    for provider in room.providers:
        provider.shutdown()


@pytest.mark.parametrize(
    "context", ["", "x", "00-0-0-01", f"00-{'0' * 32}-{'0' * 16}-01", f"00-{'a' * 32}-{'b' * 16}-00", "é" * 100]
)
def test_a_context_that_is_none_or_says_no_leaves_nothing(room: Room, context: str) -> None:
    room.target.take([span(Part.ACCEPT, context), replace(span(Part.TRANSFER, context), transfer=TRANSFER)])
    assert room.ended.get_finished_spans() == ()


# --- ends --------------------------------------------------------------------------------------------------------


async def test_an_end_does_not_wait_for_a_collector_that_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(otlp, "LAST_WORDS_S", 0.05)
    hangs = threading.Event()
    began = time.monotonic()
    await within_moments(in_thread(lambda: hangs.wait(2 * PATIENCE_S)), "not taken")
    assert time.monotonic() - began < PATIENCE_S and "not taken: TimeoutError" in caplog.text
    hangs.set()


async def test_what_a_thread_raises_is_raised_here() -> None:
    def fail() -> None:
        raise ValueError("no")

    assert await in_thread(lambda: 7) == 7
    with pytest.raises(ValueError, match="no"):
        await in_thread(fail)
    assert not [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]


def test_an_outage_is_said_once_with_its_reason_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    taken, theirs = Taken("metrics"), logging.getLogger(f"{EXPORTERS_LOGGER}.metric_exporter")
    try:
        for _ in range(3):
            theirs.warning("Transient error %s", "connection refused")
            theirs.error("Failed to export metrics batch")
            taken.note(taken=False)
        taken.note(taken=True)
        taken.note(taken=True)
    finally:
        theirs.filters.clear()
    assert [record.getMessage() for record in caplog.records] == [
        "the collector takes no metrics: Transient error connection refused",
        "the collector takes metrics again",
    ]
