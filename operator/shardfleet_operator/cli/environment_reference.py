"""Writes docs/reference/environment.md from the declarations.

``python -m shardfleet_operator.cli.environment_reference``. With ``--check`` nothing is written; the exit code says
whether the file is what the declarations say today.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from shardfleet_shard.environment import FOR_PEOPLE, FOR_TELEMETRY, INTERNAL, Variable

from ..reference_page import ReferencePage, cell

COMMAND = "python -m shardfleet_operator.cli.environment_reference"

HEADER = f"""# Environment variables

<!-- Written by `{COMMAND}`. Change shard/shardfleet_shard/environment.py instead. -->

What a person may set. Everything else is in [the fleet's file](resource.md), an option of [the command](cli.md) or a
value of [the chart](chart.md). On a cluster variables of the operator go into the chart's `operator.env`, those of
shards into the container `shard` of the fleet's `spec.template`.
"""

TELEMETRY = """## Traces and metrics

OpenTelemetry's own variables. shardfleet reads these; others, such as `OTEL_EXPORTER_OTLP_HEADERS` and
`OTEL_TRACES_SAMPLER_ARG`, its SDK reads. See [traces, OTLP and logs](../operate-cluster.md#traces-otlp-and-logs).
"""

SET = """## Not for people

Set by shardfleet for its shards, or by its tests.
"""


def render() -> str:
    """The whole page."""
    parts = [HEADER, *_table(FOR_PEOPLE), TELEMETRY, *_table(FOR_TELEMETRY), SET, *_table(INTERNAL)]
    return "\n".join(parts).rstrip() + "\n"


def _table(variables: Sequence[Variable]) -> Iterator[str]:
    yield "| variable | read by | what it does |"
    yield "| --- | --- | --- |"
    for variable in variables:
        names = "<br>".join(f"`{name}`" for name in variable.names)
        yield f"| {names} | {cell(variable.readers)} | {cell(variable.meaning)} |"
    yield ""


PAGE = ReferencePage(
    file=Path("docs/reference/environment.md"),
    command=COMMAND,
    source="shard/shardfleet_shard/environment.py says",
    render=render,
)

if __name__ == "__main__":
    sys.exit(PAGE.main(sys.argv[1:]))
