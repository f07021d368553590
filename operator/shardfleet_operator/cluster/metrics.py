"""The metrics of an operator: the table, and where each value is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from shardfleet_shard.monitoring.exposition import to_text
from shardfleet_shard.monitoring.shard import FLEET, NAMESPACE
from shardfleet_shard.monitoring.table import (
    DURATIONS_S,
    US_PER_S,
    Attribute,
    Kind,
    Metric,
    Reading,
    Row,
    Sample,
    read_all,
)

from ..watchdog import VerdictKind
from .counts import OperatorCounts
from .worker import FleetWorker

SHARD_STATE = Attribute(name="shardfleet.shard.state", description="as in the status: a shard's own word, or its pod's")
COUNTED = Attribute(
    name="shardfleet.census.result",
    description="owned: exactly one shard has it; passing, frozen: of these",
    values=("expected", "owned", "passing", "frozen", "missing", "doubled"),
)
OUTCOME = Attribute(
    name="shardfleet.transfer.outcome",
    description="repaired: ended by the watchdog; these are in one of the others, too",
    values=("completed", "canceled", "rejected", "repaired"),
)
CELL_STATE = Attribute(
    name="shardfleet.cell.state", description="by a shard that lives", values=("claimed", "unclaimed")
)
CONDITION = Attribute(
    name="shardfleet.condition.type",
    description="the condition",
    values=("Available", "Progressing", "Degraded", "TransfersHealthy", "ClockInSync", "RedisDurable"),
)
STATUS = Attribute(name="shardfleet.condition.status", description="its status", values=("True", "False", "Unknown"))
VERDICT = Attribute(
    name="shardfleet.verdict.kind", description="what is wrong", values=tuple(str(kind) for kind in VerdictKind)
)
REPAIR = Attribute(
    name="shardfleet.repair.kind",
    description="canceled, cleared: a transfer; restored, removed: an entity, or a second copy of one",
    values=("canceled", "cleared", "restored", "removed"),
)
RESULT = Attribute(name="shardfleet.reconcile.result", description="`ok`, or the error's code")
VERB = Attribute(name="shardfleet.api.verb", description="get, list, create, apply, patch or delete")
OBJECT = Attribute(name="shardfleet.api.kind", description="the object's kind")
CODE = Attribute(name="http.response.status_code", description="0 where no answer came")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSight:
    """What is read of an operator.

    Attributes:
        answers: of the API server, by verb, kind and HTTP status.
    """

    leads: bool
    workers: list[FleetWorker]
    answers: Mapping[tuple[str, str, int], int]
    counts: OperatorCounts
    now_us: int


def read_operator(sight: OperatorSight) -> list[Reading]:
    """Every metric, as it is now."""
    return read_all(OPERATOR_METRICS, sight)


def operator_text(sight: OperatorSight) -> bytes:
    """For Prometheus."""
    return to_text(read_operator(sight), {})


# --- where the values are ----------------------------------------------------------------------------------------


def _each(of: Callable[[FleetWorker, int], Iterable[Sample]]) -> Callable[[OperatorSight], Iterator[Sample]]:
    """``of`` each fleet, with its name and namespace in front of the other attributes."""

    def samples(sight: OperatorSight) -> Iterator[Sample]:
        for worker in sight.workers:
            for value, *attributes in of(worker, sight.now_us):
                yield (value, worker.name, worker.namespace, *attributes)

    return samples


def _shards(worker: FleetWorker, _: int) -> Iterable[Sample]:
    states = Counter(str(shard["state"]) for shard in worker.status.get("shards") or ())
    return [(count, state) for state, count in sorted(states.items())]


def _wanted(worker: FleetWorker, _: int) -> Iterable[Sample]:
    spec = worker.situation.spec
    return [] if spec is None else [(spec.config.replicas,)]


def _cells(worker: FleetWorker, _: int) -> Iterable[Sample]:
    here = worker.situation
    return [(here.claimed, "claimed"), (here.cells - here.claimed, "unclaimed")]


def _conditions(worker: FleetWorker, _: int) -> Iterator[Sample]:
    for one in worker.status.get("conditions") or ():
        for status in STATUS.values:
            yield (int(one["status"] == status), one["type"], status)


def _census(worker: FleetWorker, _: int) -> Iterable[Sample]:
    census = worker.watchdog.census
    return [] if census is None else [(count, name) for name, count in census.to_dict().items()]


def _census_age(worker: FleetWorker, now_us: int) -> Iterable[Sample]:
    census = worker.watchdog.census
    return [] if census is None else [(max(0, now_us - census.unix_us) / US_PER_S,)]


def _handoffs(worker: FleetWorker, _: int) -> Iterable[Sample]:
    counters = worker.situation.figures.counters
    return [] if counters is None else [(counters.get(f"{name}_entities", 0), name) for name in OUTCOME.values]


def _active(worker: FleetWorker, _: int) -> Iterable[Sample]:
    figures = worker.situation.figures
    return [] if figures.counters is None else [(figures.active_transfers,)]


def _verdicts(worker: FleetWorker, _: int) -> Iterable[Sample]:
    return [(worker.watchdog.counts.verdicts.get(kind, 0), kind) for kind in VERDICT.values]


def _standing(worker: FleetWorker, _: int) -> Iterable[Sample]:
    kinds = Counter(str(finding.verdict.kind) for finding in worker.watchdog.standing)
    return [(kinds[kind], kind) for kind in VERDICT.values]


def _repairs(worker: FleetWorker, _: int) -> Iterable[Sample]:
    return [(worker.watchdog.counts.repairs.get(kind, 0), kind) for kind in REPAIR.values]


def _resync_age(worker: FleetWorker, now_us: int) -> Iterable[Sample]:
    return [(max(0, now_us - worker.resynced_us) / US_PER_S,)]


def _answers(sight: OperatorSight) -> Iterable[Sample]:
    return [(count, verb, kind, str(code)) for (verb, kind, code), count in sorted(sight.answers.items())]


def _looks(sight: OperatorSight) -> Iterable[Sample]:
    return [(sight.counts.looks[result], result) for result in sorted({"ok", *sight.counts.looks})]


# --- the table ---------------------------------------------------------------------------------------------------


def _row(
    name: str,
    kind: Kind,
    unit: str,
    description: str,
    samples: Callable[[OperatorSight], Iterable[Sample]],
    *attributes: Attribute,
    bounds: tuple[float, ...] = (),
) -> Row[OperatorSight]:
    metric = Metric(
        name=f"shardfleet.{name}", kind=kind, unit=unit, description=description, attributes=attributes, bounds=bounds
    )
    return Row(metric, samples)


def _fleet_row(
    name: str,
    kind: Kind,
    unit: str,
    description: str,
    of: Callable[[FleetWorker, int], Iterable[Sample]],
    *attributes: Attribute,
) -> Row[OperatorSight]:
    return _row(f"fleet.{name}", kind, unit, description, _each(of), FLEET, NAMESPACE, *attributes)


_K = Kind
OPERATOR_METRICS: tuple[Row[OperatorSight], ...] = (
    _row("operator.leader", _K.UP_DOWN_COUNTER, "{operator}", "1 where this operator has the Lease and acts.",
         lambda sight: [(int(sight.leads),)]),
    _row("operator.fleets", _K.UP_DOWN_COUNTER, "{fleet}", "Fleets that it keeps.",
         lambda sight: [(len(sight.workers),)]),
    _row("operator.reconciles", _K.COUNTER, "{reconcile}", "Looks at a fleet, with what followed from them.", _looks,
         RESULT),
    _row("operator.reconcile.duration", _K.HISTOGRAM, "s", "A look at a fleet, waiting for the API server and Redis "
         "included.", lambda sight: [(sight.counts.look_us,)], bounds=DURATIONS_S),
    _row("operator.plan.duration", _K.HISTOGRAM, "s", "The plan alone.", lambda sight: [(sight.counts.plan_us,)],
         bounds=DURATIONS_S),
    _row("operator.api.requests", _K.COUNTER, "{request}", "Calls to the API server, watches not included.", _answers,
         VERB, OBJECT, CODE),
    _fleet_row("shards", _K.UP_DOWN_COUNTER, "{shard}", "Shards that there are.", _shards, SHARD_STATE),
    _fleet_row("shards.wanted", _K.UP_DOWN_COUNTER, "{shard}", "Shards that spec.replicas asks for.", _wanted),
    _fleet_row("cells", _K.UP_DOWN_COUNTER, "{cell}", "Cells of the layout.", _cells, CELL_STATE),
    _fleet_row("condition", _K.UP_DOWN_COUNTER, "{condition}", "1 for the status that a condition has, else 0.",
               _conditions, CONDITION, STATUS),
    _fleet_row("entities", _K.GAUGE, "{entity}", "Entities by the last census.", _census, COUNTED),
    _fleet_row("census.age", _K.GAUGE, "s", "Since the last census began.", _census_age),
    _fleet_row("handoffs", _K.COUNTER, "{entity}", "Entities whose transfer has ended, as Redis counts them: over the "
               "fleet's whole life.", _handoffs, OUTCOME),
    _fleet_row("transfers.active", _K.UP_DOWN_COUNTER, "{transfer}", "Transfer records.", _active),
    _fleet_row("verdicts", _K.COUNTER, "{verdict}", "Verdicts of the watchdog.", _verdicts, VERDICT),
    _fleet_row("verdicts.standing", _K.UP_DOWN_COUNTER, "{verdict}", "Verdicts that stand.", _standing, VERDICT),
    _fleet_row("repairs", _K.COUNTER, "{repair}", "What the watchdog and the census put right.", _repairs, REPAIR),
    _fleet_row("resync.age", _K.GAUGE, "s", "Since all pods were listed.", _resync_age),
)  # fmt: skip
