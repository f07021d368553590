"""The sections of docs/performance.md that come from build/costs.json; a scenario that was not run has none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from shardfleet_shard.core.transfer_spans import Part
from shardfleet_shard.simulations.registry import schema_for

from tests.performance.bench.cost_scenarios import BATCH_SPEED, FEATURES_LOAD, PHASES_LOADS, PLAIN_NAME, STATE_LOAD
from tests.performance.bench.figures import short

ScenarioRows = Sequence[Mapping[str, Any]]

FEATURES = {
    PLAIN_NAME: "nothing beside the defaults",
    "trace": "a per-tick trace, `--trace`",
    "otlp": "OpenTelemetry: metrics, and one transfer in a hundred traced",
    "otlp-all": "OpenTelemetry: metrics, and every transfer traced",
    "rare-manifests": "manifests every 5 s and not every 50 ms",
    "tls": "TLS on the links",
}
PARTS = {
    Part.TRANSFER: "all of it, at the source",
    Part.BEGIN: "source: until Redis has begun it",
    Part.OFFER: "source: until it knows the answer",
    Part.ACCEPT: "target: until Redis has accepted it",
    Part.SWITCH: "source: until the rows go, at the switch",
    Part.ADOPT: "target: until the rows are simulated, at the switch",
    Part.CLEAR: "the last: until Redis has cleared the record",
}
ROW_BYTES = schema_for("linear", dimensions=2).row_size_bytes
CPU = ("CPU a handoff", "cpu_us_per_handoff")
RATE = ("handoffs a second", "handoffs_per_second")


def sections(scenarios: Mapping[str, ScenarioRows]) -> Iterator[tuple[str, Iterable[str]]]:
    """The name and the lines of each scenario that is there, in the page's order."""
    for name, section in SECTIONS.items():
        if scenarios.get(name):
            yield name, section(scenarios[name])


def _features(rows: ScenarioRows) -> Iterable[str]:
    yield "## What a feature costs"
    yield ""
    yield (
        f"{_load(FEATURES_LOAD)}. Each fleet runs between two plain ones, and is compared with their mean; the CPU is "
        "that of all processes of the fleet, the collector's not."
    )
    yield ""
    columns = (("CPU a handoff, to the plain fleet's", "cpu_ratio"), CPU, RATE)
    yield from _table([{**row, "name": FEATURES[row["name"]]} for row in rows], columns)


def _state(rows: ScenarioRows) -> Iterable[str]:
    yield "## The size of an entity"
    yield ""
    yield (
        f"{_load(STATE_LOAD)}. A row of `linear` has {ROW_BYTES} bytes; the others have so many more. Four times the "
        "row and 100 bytes are wanted at full load; this is far below it, where manifests, which entities cost whether "
        "they cross or not, are most of the bytes."
    )
    yield ""
    manifests = ("of these the manifests", "manifest_bytes_per_handoff")
    yield from _table(rows, (RATE, CPU, ("bytes a handoff", "bytes_per_handoff"), manifests))


def _batch(rows: ScenarioRows) -> Iterable[str]:
    yield "## Entities in one transfer"
    yield ""
    yield (
        "All that cross one border within a tick go in one transfer: the more there are, the more share what it costs. "
        f"Four shards, entities at {BATCH_SPEED:,.0f} units a second."
    )
    yield ""
    yield from _table(rows, (("entities a transfer", "entities_per_transfer"), RATE, CPU))


def _phases(rows: ScenarioRows) -> Iterable[str]:
    yield "## Where a transfer's time goes"
    yield ""
    loads = "; ".join(f"*{name}* is {_load(load)}" for name, load in PHASES_LOADS.items())
    yield (
        f"By the spans of all transfers: {loads}. The source and the target wait at the same time, so the parts do not "
        "add up. A handoff is given a delay of 60 ms from the plan to its switch, or a longer one after late answers."
    )
    yield ""
    yield "| | " + " | ".join(f"{row['name']}: p50 | p99" for row in rows) + " |"
    yield "| --- |" + " ---: |" * 2 * len(rows)
    for part, what in PARTS.items():
        numbers = [_spread(row["figures"][f"{part}_ms_{quantile}"]) for row in rows for quantile in ("p50", "p99")]
        yield f"| `{part}`, {what} | " + " | ".join(numbers) + " |"


def _recovery(rows: ScenarioRows) -> Iterable[str]:
    yield "## A death among many"
    yield ""
    yield "`kill -9` of one of four shards: until every entity has an owner that has published it since."
    yield ""
    yield from _table(rows, (("owner again", "owner_again_s"),))


def _memory(rows: ScenarioRows) -> Iterable[str]:
    yield "## Memory"
    yield ""
    yield f"Resident memory of four shards and of Redis, less that without an entity. A row has {ROW_BYTES} bytes."
    yield ""
    columns = (("shards, an entity", "shards_bytes_per_entity"), ("Redis, an entity", "redis_bytes_per_entity"))
    yield from _table(rows, columns)


SECTIONS = {
    "features": _features,
    "state": _state,
    "batch": _batch,
    "phases": _phases,
    "recovery": _recovery,
    "memory": _memory,
}


def _table(rows: ScenarioRows, columns: Sequence[tuple[str, str]]) -> Iterable[str]:
    """A row each, with a column for each (heading, figure) and one for the number of runs."""
    yield "| | " + " | ".join(heading for heading, _ in columns) + " | runs |"
    yield "| --- |" + " ---: |" * (len(columns) + 1)
    for row in rows:
        found = row["figures"]
        cells = [_spread(found[figure]) if figure in found else "" for _, figure in columns]
        runs = max(one["runs"] for one in found.values())
        yield f"| {row['name']} | " + " | ".join(cells) + f" | {runs} |"


def _load(load: tuple[int, float]) -> str:
    entities, speed = load
    return f"{entities:,} entities at {speed:,.0f} units a second in four shards"


def _spread(figure: Mapping[str, Any]) -> str:
    median, low, high = (short(figure[key]) for key in ("median", "min", "max"))
    unit = f" {figure['unit']}" if figure["unit"] in ("us", "ms", "s", "bytes") else ""
    return median + unit if low == high else f"{median}{unit} ({low}–{high})"
