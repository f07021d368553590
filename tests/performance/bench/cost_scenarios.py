"""What things cost, a function a scenario: one run of it, which yields a row's name and the row's figures by name."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from shardfleet_shard.core.transfer_spans import Part

from tests.integration.local.collector import Collector, SentSpan
from tests.integration.plugin_versions import install_package
from tests.tls_files import make_tls_files

from . import scenarios, wide_rows
from .fleet import BenchmarkError, Fleet, fleet_file
from .throughput import FLEET, PLAIN, Row, Variant, content_of, measure

Values = dict[str, float]
Rows = Iterator[tuple[str, Values]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostScale:
    """How long and how large. Windows in seconds, entities of the rows that are told apart by them."""

    ramp_s: float = 4.0
    window_s: float = 8.0
    recovery_entities: tuple[int, ...] = (2_000, 20_000, 200_000)
    memory_entities: int = 200_000
    memory_rest_s: float = 5.0


FULL = CostScale()
QUICK = CostScale(
    ramp_s=1.0, window_s=3.0, recovery_entities=(2_000, 20_000), memory_entities=50_000, memory_rest_s=2.0
)

FEATURES_LOAD = (40_000, 1_000.0)
STATE_LOAD = (10_000, 250.0)
"""Entities, and their speed in world units a second. Small, so that rows of a kilobyte still go at the same rate."""
BATCH_ENTITIES, BATCH_SPEED = (500, 5_000, 50_000), 1_000.0
PHASES_LOADS = {"light": (1_000, 50.0), "heavy": (40_000, 1_000.0)}
EXTRA_BYTES = (64, 256, 1024)
PLAIN_NAME, BUILT_IN_NAME = "plain", "built-in"
OF_A_HANDOFF = ("cpu_us_per_handoff", "handoffs_per_second")
CHECKED = ("ticks_skipped", "lost", "doubled")
SLOW_SPEED = 2.0
"""Of the entities whose memory is measured: they are not to stand, and nothing is to wait for them."""
SPANS_DELAY_MS = 500
"""Of the exporter: its queue takes 2,048 spans, and the default of 5 s would drop some under a heavy load."""


def features(folder: Path, scale: CostScale) -> Rows:
    """Each feature between two plain fleets, and compared with their mean, so that a slow minute cancels out."""
    trace = folder / "trace"
    tls = make_tls_files(folder, fleet=FLEET)
    with Collector() as collector:
        otlp = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
        variants = {
            "trace": Variant(options=("--trace", str(trace))),
            "otlp": Variant(environment=otlp),
            "otlp-all": Variant(environment={**otlp, "OTEL_TRACES_SAMPLER": "always_on"}),
            "rare-manifests": Variant(spec={"telemetry": {"interval": "5s"}}),
            "tls": Variant(options=("--tls", str(tls))),
        }
        before = _loaded(folder, scale, FEATURES_LOAD)
        yield PLAIN_NAME, _some(before, *OF_A_HANDOFF, *CHECKED)
        for name, variant in variants.items():
            shutil.rmtree(trace, ignore_errors=True)
            found = _loaded(folder, scale, FEATURES_LOAD, variant)
            shutil.rmtree(trace, ignore_errors=True)
            after = _loaded(folder, scale, FEATURES_LOAD)
            yield name, {"cpu_ratio": cpu_ratio(found, (before, after)), **_some(found, *OF_A_HANDOFF, *CHECKED)}
            yield PLAIN_NAME, _some(after, *OF_A_HANDOFF, *CHECKED)
            before = after


def state(folder: Path, scale: CostScale) -> Rows:
    """The same load with rows of several sizes."""
    site = folder / "wide-rows"
    shutil.rmtree(site, ignore_errors=True)
    names = {size: f"wide{size}" for size in EXTRA_BYTES}
    source = Path(wide_rows.__file__).read_text()
    install_package(site, "wide_rows", source, {name: name.capitalize() for name in names.values()})
    variants = {BUILT_IN_NAME: PLAIN}
    for size, name in names.items():
        variants[f"{size:,} B more"] = Variant(simulation=name, environment={"PYTHONPATH": str(site.resolve())})
    for name, variant in variants.items():
        found = _loaded(folder, scale, STATE_LOAD, variant)
        yield name, _some(found, *OF_A_HANDOFF, "bytes_per_handoff", "manifest_bytes_per_handoff", *CHECKED)


def batch(folder: Path, scale: CostScale) -> Rows:
    """The more entities, the more of them cross in one tick and go in one transfer."""
    for entities in BATCH_ENTITIES:
        found = _loaded(folder, scale, (entities, BATCH_SPEED))
        yield f"{entities:,} entities", _some(found, "entities_per_transfer", *OF_A_HANDOFF, *CHECKED)


def phases(folder: Path, scale: CostScale) -> Rows:
    """Where the time of a transfer goes, by the spans of all transfers."""
    for name, load in PHASES_LOADS.items():
        with Collector() as collector:
            environment = {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.endpoint}/v1/traces",
                "OTEL_TRACES_SAMPLER": "always_on",
                "OTEL_BSP_SCHEDULE_DELAY": str(SPANS_DELAY_MS),
            }
            with Fleet(content_of(_row(scale, load)), folder, environment=environment) as fleet:
                fleet.wait_for_handoffs()
                fleet.run_for(scale.ramp_s)
                since_ns = time.time_ns()
                fleet.run_for(scale.window_s)
                until_ns = time.time_ns()
                report = fleet.settle()
            spans = [span for span in collector.spans() if since_ns <= span.start_ns < until_ns]
        yield name, {**phase_figures(spans), **_whole(report)}


def recovery(folder: Path, scale: CostScale) -> Rows:
    """``kill`` with more and more entities."""
    for entities in scale.recovery_entities:
        found = scenarios.kill(folder, scenarios.FULL, entities=entities)
        yield f"{entities:,} entities", _some(found, "owner_again_s", "lost", "doubled")


def memory(folder: Path, scale: CostScale) -> Rows:
    """Resident memory with entities, less that without, by entity."""
    empty, full = (_memory_bytes(folder, scale, entities) for entities in (0, scale.memory_entities))
    figures = {
        f"{who}_bytes_per_entity": (full[who] - empty[who]) / scale.memory_entities for who in ("shards", "redis")
    }
    yield f"{scale.memory_entities:,} entities", figures


SCENARIOS: Mapping[str, Callable[[Path, CostScale], Rows]] = {
    "features": features,
    "state": state,
    "batch": batch,
    "phases": phases,
    "recovery": recovery,
    "memory": memory,
}


def cpu_ratio(found: Values, plain: Iterable[Values]) -> float:
    """CPU time a handoff, to the mean of the plain fleets'."""
    return found["cpu_us_per_handoff"] / float(np.mean([one["cpu_us_per_handoff"] for one in plain]))


def phase_figures(spans: Iterable[SentSpan]) -> Values:
    """The median and the 99th percentile of each part in ms, and the number of transfers.

    Raises:
        BenchmarkError: a part of which there is no span.
    """
    lasted_ms: dict[str, list[float]] = {part: [] for part in Part}
    for span in spans:
        lasted_ms[span.name].append((span.end_ns - span.start_ns) / 1e6)
    missing = [part for part, found in lasted_ms.items() if not found]
    if missing:
        raise BenchmarkError(f"no span of {', '.join(missing)} came within the window")
    figures = {"transfers": float(len(lasted_ms[Part.TRANSFER]))}
    for part, found in lasted_ms.items():
        figures[f"{part}_ms_p50"], figures[f"{part}_ms_p99"] = map(float, np.quantile(found, (0.5, 0.99)))
    return figures


def _row(scale: CostScale, load: tuple[int, float]) -> Row:
    entities, speed = load
    return Row(name="costs", shards=4, entities=entities, speed=speed, ramp_s=scale.ramp_s, window_s=scale.window_s)


def _loaded(folder: Path, scale: CostScale, load: tuple[int, float], variant: Variant = PLAIN) -> Values:
    return measure(_row(scale, load), folder, variant)


def _memory_bytes(folder: Path, scale: CostScale, entities: int) -> Values:
    content = fleet_file("memory", shards=4, simulation="linear", entities=entities, parameters={"speed": SLOW_SPEED})
    with Fleet(content, folder) as fleet:
        fleet.wait_for_claims()
        fleet.wait_for_entities(entities)
        fleet.run_for(scale.memory_rest_s)
        shards = sum(process.memory_mb for process in fleet.shard_processes().values())
        in_redis = float(fleet.observer.info("memory")["used_memory_rss"])
        fleet.settle()
    return {"shards": shards * 2**20, "redis": in_redis}


def _whole(report: Mapping[str, Mapping[str, float]]) -> Values:
    return {"lost": report["entities"]["missing"], "doubled": report["entities"]["doubled"]}


def _some(values: Values, *names: str) -> Values:
    return {name: values[name] for name in names}
