"""OTLP, as OpenTelemetry's own environment variables say. Without them nothing is imported and nothing leaves.

Metrics are handed to the exporter as the data points that the SDK would make of instruments: it knows neither an
observable histogram nor a way to put counts that are there already into one, and it calls instruments from a thread of
its own, while the loop changes what they read. So the loop reads, and a thread sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from ..environment import (
    ENDPOINT_VARIABLES,
    EXPORTER_VARIABLES,
    METRIC_INTERVAL_VARIABLE,
    PROTOCOL_VARIABLES,
    RESOURCE_VARIABLE,
    SDK_DISABLED_VARIABLE,
    SERVICE_NAME_VARIABLE,
    Signal,
)
from ..errors import UsageError
from .table import Buckets, Kind, Reading

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import DataPointT, MetricsData
    from opentelemetry.sdk.metrics.export import Metric as OtlpMetric
    from opentelemetry.sdk.resources import Resource

log = logging.getLogger(__name__)

DEFAULT_INTERVAL_S = 60.0
"""OpenTelemetry's own."""
LAST_WORDS_S = 1.0
"""How long an end waits for what is still to be sent. A collector that is away must not hold a shard."""
EXPORTERS_LOGGER = "opentelemetry.exporter.otlp.proto.http"
SCOPE = "shardfleet"
PROTOCOL = "http/protobuf"

T = TypeVar("T")


def is_wanted(signal: Signal, environ: Mapping[str, str]) -> bool:
    """Whether ``signal`` is to be exported.

    What asks for a way that is not there (another exporter than OTLP, another protocol than HTTP) is said in the log
    and left out, as OpenTelemetry wants it: nobody stays away for want of a collector.
    """
    exporter = EXPORTER_VARIABLES[signal]
    chosen = [name.strip() for name in environ.get(exporter, "").split(",") if name.strip()]
    if environ.get(SDK_DISABLED_VARIABLE, "").lower() == "true" or chosen == ["none"]:
        return False
    if others := [name for name in chosen if name not in ("otlp", "none")]:
        log.warning("%s: %s is not there: set otlp or none; Prometheus asks at --metrics", exporter, ", ".join(others))
    if "otlp" not in chosen if chosen else not any(environ.get(name) for name in ENDPOINT_VARIABLES[signal]):
        return False
    for name in PROTOCOL_VARIABLES[signal]:
        if protocol := environ.get(name):  # the first that is set counts; empty is not set
            if protocol == PROTOCOL:
                break
            log.warning(
                "%s=%r: %s are not sent: only %s is spoken; collectors take it at port 4318",
                name, protocol, signal, PROTOCOL,
            )  # fmt: skip
            return False
    return True


def resource(service: str, instance: str, attributes: Mapping[str, str], environ: Mapping[str, str]) -> Resource:
    """What all signals of this process share; the environment's own words come first."""
    from opentelemetry.sdk.resources import Resource

    own = {"service.name": service, "service.instance.id": instance, "service.version": version("shardfleet")}
    if environ.get(SERVICE_NAME_VARIABLE):
        del own["service.name"]
    given = environ.get(RESOURCE_VARIABLE, "")
    names = {pair.partition("=")[0].strip() for pair in given.split(",")}
    return Resource.create({name: value for name, value in {**own, **attributes}.items() if name not in names})


class MetricsExport:
    """Sends all metrics now and then, until it is closed.

    Args:
        read: the metrics as they are now; called in the loop.
        start_us: since when the counters count, Unix microseconds.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[Reading]],
        resource: Resource,
        *,
        start_us: int,
        environ: Mapping[str, str],
    ) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        self._read = read
        self._resource = resource
        self._start_ns = start_us * 1000
        self._interval_s = _interval_s(environ)
        self._exporter = OTLPMetricExporter()
        self._taken = Taken("metrics")
        self._task = asyncio.create_task(self._repeat())

    async def close(self) -> None:
        """Sends the last ones, if somebody takes them soon."""
        self._task.cancel()
        await asyncio.wait({self._task})
        await within_moments(self._send(), "the last metrics were not taken")
        self._exporter.shutdown()  # wakes a thread that waits for its next try

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self._send()
            except Exception:
                log.exception("metrics were not sent")

    async def _send(self) -> None:
        data = metrics_data(self._read(), self._resource, start_ns=self._start_ns, now_ns=time.time_ns())
        result = await in_thread(lambda: self._exporter.export(data))
        self._taken.note(taken=result.name == "SUCCESS")


def metrics_data(readings: Sequence[Reading], resource: Resource, *, start_ns: int, now_ns: int) -> MetricsData:
    """Readings as the SDK has them: cumulative, since ``start_ns``."""
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    families: dict[str, list[Reading]] = {}
    for reading in readings:
        families.setdefault(reading.metric.name, []).append(reading)
    metrics = [_metric(family, start_ns=start_ns, now_ns=now_ns) for family in families.values()]
    scope = ScopeMetrics(scope=InstrumentationScope(SCOPE), metrics=metrics, schema_url="")
    return MetricsData(resource_metrics=[ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _metric(family: Sequence[Reading], *, start_ns: int, now_ns: int) -> OtlpMetric:
    from opentelemetry.sdk.metrics import export

    metric = family[0].metric
    points: list[DataPointT] = []
    for reading in family:
        attributes = {one.name: value for one, value in zip(metric.attributes, reading.attributes, strict=True)}
        value = reading.value
        if isinstance(value, Buckets):
            points.append(
                export.HistogramDataPoint(
                    attributes=attributes,
                    start_time_unix_nano=start_ns,
                    time_unix_nano=now_ns,
                    count=value.count,
                    sum=value.total,
                    bucket_counts=value.counts,
                    explicit_bounds=metric.bounds,
                    min=value.lowest,
                    max=value.highest,
                )
            )
        else:
            points.append(export.NumberDataPoint(attributes, start_ns, now_ns, value))
    kept = export.AggregationTemporality.CUMULATIVE
    data: Any
    if metric.kind is Kind.HISTOGRAM:
        data = export.Histogram(points, kept)  # type: ignore[arg-type]
    elif metric.kind is Kind.GAUGE:
        data = export.Gauge(points)  # type: ignore[arg-type]
    else:
        data = export.Sum(points, kept, metric.kind is Kind.COUNTER)  # type: ignore[arg-type]
    return export.Metric(name=metric.name, description=metric.description, unit=metric.unit, data=data)


def _interval_s(environ: Mapping[str, str]) -> float:
    text = environ.get(METRIC_INTERVAL_VARIABLE, "")
    if not text:
        return DEFAULT_INTERVAL_S
    if not text.isdecimal() or not int(text):
        raise UsageError(f"{METRIC_INTERVAL_VARIABLE}={text!r}: milliseconds, such as 60000")
    return int(text) / 1000


class Taken:
    """Whether a collector takes what it is sent: said once when it does not, and once when it does again.

    The SDK would say so at every try; what it says is kept for the one line.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._away = False
        self._reason = ""
        logging.getLogger(f"{EXPORTERS_LOGGER}.{what.removesuffix('s')}_exporter").filters[:] = [self._keep]

    def note(self, *, taken: bool) -> None:
        """The end of a try, its repeats included. May be called in any thread."""
        if taken and self._away:
            log.info("the collector takes %s again", self._what)
        elif not taken and not self._away:
            log.warning("the collector takes no %s: %s", self._what, self._reason or "it refused them")
        self._away = not taken

    def _keep(self, record: logging.LogRecord) -> bool:
        if record.levelno == logging.WARNING or not self._reason:  # the last line alone says that it was the last
            self._reason = record.getMessage()
        return False


# --- threads that nobody waits for -------------------------------------------------------------------------------


async def in_thread(call: Callable[[], T]) -> T:
    """As ``asyncio.to_thread``, in a thread that does not hold the process' end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failed = None, None
        try:
            result = call()
        except Exception as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, result, failed)

    threading.Thread(target=run, daemon=True, name="otlp").start()
    return await done


async def within_moments(work: Any, otherwise: str) -> None:
    """At most ``LAST_WORDS_S`` for ``work``; what it raises is only logged."""
    try:
        await asyncio.wait_for(work, LAST_WORDS_S)
    except Exception as error:
        log.warning("%s: %s", otherwise, str(error) or type(error).__name__)
