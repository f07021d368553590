"""An OTLP collector of the tests' own: keeps what it is sent, and finds the transfers in it."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from shardfleet_shard.core.transfer_spans import Part

SOURCE = (Part.TRANSFER, Part.BEGIN, Part.OFFER, Part.SWITCH)
TARGET = (Part.ACCEPT, Part.ADOPT)


@dataclass(frozen=True, slots=True)
class SentSpan:
    """``shard``: of the process that sent it. Times in Unix nanoseconds."""

    shard: str
    trace: bytes
    span: bytes
    parent: bytes
    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]


class Received:
    """What came by OTLP."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        """Everything that was sent, as it came."""
        self._lock = threading.Lock()
        self._traces: list[ExportTraceServiceRequest] = []
        self._metrics: list[ExportMetricsServiceRequest] = []

    def take(self, path: str, data: bytes) -> None:
        """One request's body, as it came but for its compression."""
        with self._lock:
            self.payloads.append(data)
            if path == "/v1/traces":
                self._traces.append(ExportTraceServiceRequest.FromString(data))
            elif path == "/v1/metrics":
                self._metrics.append(ExportMetricsServiceRequest.FromString(data))

    def spans(self) -> list[SentSpan]:
        with self._lock:
            return list(self._spans())

    def _spans(self) -> Iterator[SentSpan]:
        for request in self._traces:
            for sent in request.resource_spans:
                shard = attributes_of(sent.resource.attributes)["shardfleet.shard"]
                for scope in sent.scope_spans:
                    for one in scope.spans:
                        yield SentSpan(
                            shard, one.trace_id, one.span_id, one.parent_span_id, one.name,
                            one.start_time_unix_nano, one.end_time_unix_nano, attributes_of(one.attributes),
                        )  # fmt: skip

    def whole_traces(self) -> list[dict[str, SentSpan]]:
        """Spans by name, one dict for each trace that has all of them."""
        found: dict[bytes, dict[str, SentSpan]] = {}
        for span in self.spans():
            assert span.name not in found.get(span.trace, {}), f"two spans {span.name} in one trace"
            found.setdefault(span.trace, {})[span.name] = span
        return [trace for trace in found.values() if set(trace) == set(Part)]

    def metrics(self) -> dict[str, dict[str, Any]]:
        """The newest of each process, by its service.instance.id: metric by name, and '' for the resource."""
        result: dict[str, dict[str, Any]] = {}
        with self._lock:
            for request in self._metrics:
                for sent in request.resource_metrics:
                    about = attributes_of(sent.resource.attributes)
                    named = {one.name: one for scope in sent.scope_metrics for one in scope.metrics}
                    result.setdefault(about["service.instance.id"], {}).update({"": about, **named})
        return result


class Collector(Received):
    """A server on loopback; ``endpoint`` is for OTEL_EXPORTER_OTLP_ENDPOINT."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[str] = []
        """Of those who sent, where a test puts them here."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    data = gzip.decompress(data)
                outer.take(self.path, data)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def attributes_of(pairs: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in pairs}
