"""Writes docs/reference/metrics.md from the tables: ``python -m shardfleet_operator.cluster.metrics_reference``.

With ``--check`` nothing is written; the exit code says whether the file is what the tables say today.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shardfleet_shard.monitoring.shard import RESOURCE, SHARD_METRICS
from shardfleet_shard.monitoring.table import Attribute, Kind, Metric, Row

from ..reference_page import ReferencePage
from .metrics import OPERATOR_METRICS

COMMAND = "python -m shardfleet_operator.cluster.metrics_reference"

HEADER = f"""# Metrics

<!-- Written by `{COMMAND}`. Change the tables in the code instead. -->

Names, units and attributes follow OpenTelemetry's conventions; below each stands its name in Prometheus. Counters begin
at 0 with the process, but for `shardfleet.fleet.handoffs`. Where metrics are served, which alerts there are and what to
do about each: [on a cluster](../operate-cluster.md#metrics-and-alerts), [on one machine](../operate-local.md#metrics).
"""


def render() -> str:
    """The whole page."""
    parts = [
        HEADER,
        "## Of a shard\n",
        "Every line carries, for OTLP as attributes of the resource:\n",
        *_attributes(RESOURCE),
        "",
        *_table(SHARD_METRICS),
        "## Of the operator\n",
        *_table(OPERATOR_METRICS),
        "## Attributes\n",
        *_attributes(_all_attributes()),
        "",
        "## Buckets\n",
        "Upper bounds, in seconds.\n",
        *_buckets(),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _table(rows: Sequence[Row[Any]]) -> Iterator[str]:
    yield "| metric | kind | unit | attributes | |"
    yield "| --- | --- | --- | --- | --- |"
    for metric in (row.metric for row in rows):
        attributes = ", ".join(f"`{attribute.name}`" for attribute in metric.attributes)
        names = f"`{metric.name}`<br>`{metric.prometheus_name}`"
        yield f"| {names} | {metric.kind} | `{metric.unit}` | {attributes} | {metric.description} |"
    yield ""


def _attributes(attributes: Sequence[Attribute]) -> Iterator[str]:
    yield "| attribute | label in Prometheus | values | |"
    yield "| --- | --- | --- | --- |"
    for one in attributes:
        values = ", ".join(f"`{value}`" for value in one.values)
        yield f"| `{one.name}` | `{one.label}` | {values} | {one.description} |"


def _metrics() -> list[Metric]:
    return [row.metric for row in SHARD_METRICS] + [row.metric for row in OPERATOR_METRICS]


def _all_attributes() -> list[Attribute]:
    """Each once, by name; one that two tables describe differently stands there twice."""
    found = {attribute: None for metric in _metrics() for attribute in metric.attributes if attribute not in RESOURCE}
    return sorted(found, key=lambda attribute: attribute.name)


def _buckets() -> Iterator[str]:
    yield "| metric | bounds |"
    yield "| --- | --- |"
    for metric in _metrics():
        if metric.kind is Kind.HISTOGRAM:
            yield f"| `{metric.name}` | {', '.join(f'{bound:g}' for bound in metric.bounds)} |"


PAGE = ReferencePage(file=Path("docs/reference/metrics.md"), command=COMMAND, source="the tables say", render=render)

if __name__ == "__main__":
    sys.exit(PAGE.main(sys.argv[1:]))
