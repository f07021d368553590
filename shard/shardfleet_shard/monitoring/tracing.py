"""Transfers as traces: the core's spans handed to OpenTelemetry's SDK, which samples, batches and sends.

One trace a transfer, one span a part, from both shards; none a tick. The source's first span decides whether a transfer
is sampled, and the offer carries its context to the target.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.transfer import TransferId
from ..core.transfer_spans import Part, TransferSpan
from ..environment import SAMPLER_VARIABLE
from .otlp import SCOPE, Taken, in_thread, within_moments

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExportResult
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

DEFAULT_RATIO = 0.01
"""Of all transfers, where OTEL_TRACES_SAMPLER says nothing."""

TRANSFER = "shardfleet.transfer"
TARGET = "shardfleet.transfer.target"
ENTITIES = "shardfleet.transfer.entities"
OUTCOME = "shardfleet.transfer.outcome"


class TransferTracer:
    """Samples transfers and takes their spans, inside the loop; sending is the SDK's, in a thread of its own."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace import get_current_span, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer(SCOPE)
        self._propagator = TraceContextTextMapPropagator()
        self._none = Context()
        self._with_span, self._span_of = set_span_in_context, get_current_span
        self._began: dict[TransferId, Span] = {}
        """Of own transfers that are sampled and open; the core ends each."""

    @classmethod
    def from_environment(cls, resource: Resource, environ: Mapping[str, str]) -> TransferTracer:
        """As OTEL_EXPORTER_OTLP_* and OTEL_TRACES_SAMPLER say."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        # Where it is set, the SDK reads it itself.
        sampler = None if environ.get(SAMPLER_VARIABLE) else ParentBased(TraceIdRatioBased(DEFAULT_RATIO))
        provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(_telling(OTLPSpanExporter())))
        return cls(provider)

    def sample(self, transfer: TransferId, target: str, entities: int, now_us: int) -> str:
        """``core.context.Sample``."""
        span = self._tracer.start_span(Part.TRANSFER, context=self._none, start_time=now_us * 1000)
        if not span.is_recording():
            return ""
        span.set_attributes({TRANSFER: str(transfer), TARGET: target, ENTITIES: entities})
        self._began[transfer] = span
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._with_span(span, self._none))
        return carrier["traceparent"]

    def take(self, spans: Sequence[TransferSpan]) -> None:
        """Parts that are over."""
        for one in spans:
            span = self._began.pop(one.transfer, None) if one.part is Part.TRANSFER else self._child(one)
            if span is None:
                continue
            if one.outcome:
                span.set_attribute(OUTCOME, one.outcome)
            span.end(end_time=one.end_us * 1000)

    def _child(self, one: TransferSpan) -> Span | None:
        parent = self._propagator.extract({"traceparent": one.trace_context}, self._none)
        if not self._span_of(parent).get_span_context().is_valid:
            return None  # a peer's word, and no traceparent
        span = self._tracer.start_span(one.part, context=parent, start_time=one.start_us * 1000)
        span.set_attribute(TRANSFER, str(one.transfer))
        return span

    async def close(self) -> None:
        """Sends what is left, if somebody takes it soon."""
        await within_moments(in_thread(self._provider.shutdown), "the last spans were not taken")


def _telling(exporter: OTLPSpanExporter) -> OTLPSpanExporter:
    """The same, which says once that the collector is away."""
    taken, send = Taken("traces"), exporter.export

    def export(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = send(spans)
        taken.note(taken=result.name == "SUCCESS")
        return result

    exporter.export = export  # type: ignore[method-assign]
    return exporter
