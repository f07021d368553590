"""Every environment variable, declared once: code takes its name from here, and the reference is made of these tables.

``python -m shardfleet_operator.cli.environment_reference`` writes docs/reference/environment.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

REDIS_URL_VARIABLE = "SHARDFLEET_REDIS_URL"
HANDOFF_DELAY_VARIABLE = "ATLASNET_ENTITY_HANDOFF_TRANSFER_DELAY_US"
LOG_FORMAT_VARIABLE = "SHARDFLEET_LOG_FORMAT"
IMAGE_VARIABLE = "SHARDFLEET_IMAGE"
OPERATOR_NAMESPACE_VARIABLE = "SHARDFLEET_OPERATOR_NAMESPACE"
KUBECONFIG_VARIABLE = "KUBECONFIG"
NO_COLOR_VARIABLE = "NO_COLOR"
TERM_VARIABLE = "TERM"
SCREEN_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY")
PATH_VARIABLE = "PATH"

Signal = Literal["traces", "metrics"]
SDK_DISABLED_VARIABLE = "OTEL_SDK_DISABLED"
EXPORTER_VARIABLES: Mapping[Signal, str] = {"traces": "OTEL_TRACES_EXPORTER", "metrics": "OTEL_METRICS_EXPORTER"}
ENDPOINT_VARIABLES: Mapping[Signal, tuple[str, ...]] = {
    "traces": ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    "metrics": ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
}
PROTOCOL_VARIABLES: Mapping[Signal, tuple[str, ...]] = {
    "traces": ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
    "metrics": ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
}
"""The first that is set counts."""
SAMPLER_VARIABLE = "OTEL_TRACES_SAMPLER"
METRIC_INTERVAL_VARIABLE = "OTEL_METRIC_EXPORT_INTERVAL"
SERVICE_NAME_VARIABLE = "OTEL_SERVICE_NAME"
RESOURCE_VARIABLE = "OTEL_RESOURCE_ATTRIBUTES"

POD_IP_VARIABLE = "POD_IP"
THREADS_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
CLOCK_OFFSET_VARIABLE = "SHARDFLEET_CLOCK_OFFSET_US"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A row of the reference, for one variable or for some that say the same.

    Attributes:
        readers: who reads it.
        meaning: what it does, as Markdown.
    """

    names: tuple[str, ...]
    readers: str
    meaning: str


FOR_PEOPLE = (
    Variable(
        names=(REDIS_URL_VARIABLE,),
        readers="the command, the operator, the live map, shards",
        meaning="The URL of a Redis of your own, in place of `--redis`: who lists processes does not see a password in "
        "it. The chart gives it to the operator and to the map, the operator and `local up` to their shards.",
    ),
    Variable(
        names=(HANDOFF_DELAY_VARIABLE,),
        readers="the command, the operator",
        meaning="`spec.handoff.delay` in microseconds; it wins over the file. On a cluster the one of the container "
        "`shard` in `spec.template` wins over the operator's own.",
    ),
    Variable(
        names=(LOG_FORMAT_VARIABLE,),
        readers="the operator, shards",
        meaning="`text` or `json`, where `--log-format` is not given.",
    ),
    Variable(
        names=(IMAGE_VARIABLE,),
        readers="the operator",
        meaning="The image of shards whose fleet names none, in place of `--image`; the chart sets it to its own.",
    ),
    Variable(
        names=(OPERATOR_NAMESPACE_VARIABLE,),
        readers="`kubectl shardfleet`",
        meaning="Where the operator is, in place of `--operator-namespace`; without it, it is looked for everywhere.",
    ),
    Variable(
        names=(KUBECONFIG_VARIABLE,),
        readers="the operator outside a pod, `kubectl shardfleet`",
        meaning="Which cluster, and as whom, as for kubectl.",
    ),
    Variable(
        names=(NO_COLOR_VARIABLE,),
        readers="the command",
        meaning="No colours, also in a terminal.",
    ),
    Variable(
        names=(TERM_VARIABLE,),
        readers="the command",
        meaning="`dumb`: no colours, and no line is written anew.",
    ),
    Variable(
        names=SCREEN_VARIABLES,
        readers="`kubectl shardfleet map`",
        meaning="Without either, on Linux, no browser is opened.",
    ),
    Variable(
        names=(PATH_VARIABLE,),
        readers="`shardfleet local up`",
        meaning="Handed on to the bundled Redis, which gets nothing else of the environment.",
    ),
)

FOR_TELEMETRY = (
    Variable(
        names=tuple(sorted({*ENDPOINT_VARIABLES["traces"], *ENDPOINT_VARIABLES["metrics"]})),
        readers="the operator, shards",
        meaning="Where traces and metrics are sent; the longer name wins for its own. None are sent without one, "
        "unless an exporter is named.",
    ),
    Variable(
        names=tuple(EXPORTER_VARIABLES.values()),
        readers="the operator, shards",
        meaning="`otlp`: sent also where no endpoint is named; `none`: not sent. There is no other.",
    ),
    Variable(
        names=tuple(sorted({*PROTOCOL_VARIABLES["traces"], *PROTOCOL_VARIABLES["metrics"]})),
        readers="the operator, shards",
        meaning="`http/protobuf` alone; where another is asked for, the log says so and nothing is sent.",
    ),
    Variable(
        names=(SAMPLER_VARIABLE,),
        readers="shards",
        meaning="Which transfers are traced; one in a hundred without it.",
    ),
    Variable(
        names=(METRIC_INTERVAL_VARIABLE,),
        readers="the operator, shards",
        meaning="Milliseconds between two sendings of metrics; 60000 without it.",
    ),
    Variable(
        names=(SERVICE_NAME_VARIABLE, RESOURCE_VARIABLE),
        readers="the operator, shards",
        meaning="What else traces and metrics say of their process; they win over its own words.",
    ),
    Variable(
        names=(SDK_DISABLED_VARIABLE,),
        readers="the operator, shards",
        meaning="`true`: nothing is sent.",
    ),
)

INTERNAL = (
    Variable(
        names=(POD_IP_VARIABLE,),
        readers="Kubernetes, in the arguments of a shard's pod",
        meaning="The host that its peers dial. The operator sets it.",
    ),
    Variable(
        names=THREADS_VARIABLES,
        readers="NumPy, in shards",
        meaning="1: a shard multiplies no matrices, and a pool of threads for it would cost more memory than the shard "
        "does. The operator and `local up` set them; `local up` leaves what it finds.",
    ),
    Variable(
        names=(CLOCK_OFFSET_VARIABLE,),
        readers="shards",
        meaning="For tests alone: the clock of this shard is off by so many microseconds.",
    ),
)

VARIABLES = (*FOR_PEOPLE, *FOR_TELEMETRY, *INTERNAL)
