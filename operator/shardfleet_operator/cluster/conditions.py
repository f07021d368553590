"""A fleet's conditions: what is the case, why, and what to do next. Pure: facts in, conditions out.

Every condition is always there, so that ``kubectl wait`` has something to wait for. ``Unknown`` means that nobody
could look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from shardfleet_shard.core.schemas import SCHEMA_CHANGED
from shardfleet_shard.exit_codes import ExitCode

from .pods import PodFacts

Truth = Literal["True", "False", "Unknown"]

MAX_MESSAGE = 2_000
"""Characters; the schema's bound is higher, but nobody reads on."""
MAX_NAMED = 5
"""Shards that a message names one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that keeps the fleet from being as its spec says, in the words of whoever said no."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the conditions are made from.

    Attributes:
        problems: what the last reconciliation met, worst first.
        pods: those of the fleet, by ordinal.
        misfits: those that ended because their simulation has other columns than the fleet's entities.
        wanted: shards that should run.
        cells, claimed: of the layout; how many there are, how many a living shard has claimed.
        redis_answers: whether Redis could be asked.
        durable: whether Redis keeps its data over a restart; None where it was never asked.
        findings: the watchdog's standing ones, as text.
        missing, doubled: entities, by the last census; None before the first.
        damaged: which records in Redis it had to leave out, and why; '' for none.
        skewed: shards that have peers out of the clock limit, with those peers.
        changing: what is being changed, such as 'rolling out'; '' where nothing is.
        deleting: the fleet is to go.
        leaving: shards on nodes that are about to go: name -> 'node worker-1 is cordoned'.
        placed: shards that have a cell.
    """

    problems: Sequence[Problem] = ()
    pods: Sequence[PodFacts] = ()
    misfits: Sequence[PodFacts] = ()
    wanted: int = 0
    cells: int = 0
    claimed: int = 0
    redis_answers: bool = True
    durable: bool | None = None
    findings: Sequence[str] = ()
    missing: int | None = None
    doubled: int | None = None
    damaged: str = ""
    skewed: Sequence[str] = ()
    changing: str = ""
    deleting: bool = False
    leaving: Mapping[str, str] = field(default_factory=dict)
    placed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    type: str
    status: Truth
    reason: str
    message: str


def conditions(facts: Facts) -> list[Condition]:
    """All six, in the order in which a person reads them."""
    return [
        _available(facts),
        _progressing(facts),
        _degraded(facts),
        _transfers_healthy(facts),
        _clock_in_sync(facts),
        _redis_durable(facts),
    ]


def merge_conditions(
    before: Sequence[dict[str, Any]], now: Sequence[Condition], *, generation: int, time: str
) -> list[dict[str, Any]]:
    """As they go into the status; ``lastTransitionTime`` moves with the status alone."""
    known = {one.get("type"): one for one in before}
    result = []
    for one in now:
        old = known.get(one.type) or {}
        since = old.get("lastTransitionTime") if old.get("status") == one.status else None
        result.append(
            {
                "type": one.type,
                "status": one.status,
                "reason": one.reason,
                "message": one.message[:MAX_MESSAGE],
                "lastTransitionTime": since or time,
                "observedGeneration": generation,
            }
        )
    return result


def turned(
    before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> list[tuple[Literal["Normal", "Warning"], Mapping[str, Any]]]:
    """What is worth an Event: that the fleet became available, that it is no more, every new trouble, and its end."""
    known = {one.get("type"): one for one in before}
    news: list[tuple[Literal["Normal", "Warning"], Mapping[str, Any]]] = []
    for one in now:
        old = known.get(one["type"]) or {}
        was, is_true = old.get("status") == "True", one["status"] == "True"
        if one["type"] == "Available" and was != is_true:
            news.append(("Normal" if is_true else "Warning", one))
        elif one["type"] == "Degraded" and (was != is_true or (is_true and old.get("reason") != one["reason"])):
            news.append(("Warning" if is_true else "Normal", one))
    return news


def _available(facts: Facts) -> Condition:
    def no(reason: str, message: str) -> Condition:
        return Condition(type="Available", status="False", reason=reason, message=message)

    if facts.deleting:
        return no("Deleting", "The fleet is being deleted.")
    if not facts.redis_answers:
        return no("RedisUnavailable", "Redis does not answer, so shards cannot keep their leases; see Degraded.")
    if facts.cells and facts.claimed == facts.cells:
        message = f"All {facts.cells} cells are simulated."
        return Condition(type="Available", status="True", reason="AllCellsClaimed", message=message)
    if not facts.cells:
        return no("NotStarted", "The world has no layout yet; see Degraded and Progressing for what it waits for.")
    ready = sum(pod.ready for pod in facts.pods)
    return no(
        "CellsUnclaimed",
        f"{facts.cells - facts.claimed} of {facts.cells} cells have no shard that simulates them ({ready} of "
        f"{facts.wanted} pods are ready); their entities wait. See Degraded for what keeps shards from running.",
    )


def _progressing(facts: Facts) -> Condition:
    def going_on(reason: str, message: str) -> Condition:
        return Condition(type="Progressing", status="True", reason=reason, message=message)

    if facts.deleting:
        return going_on("Deleting", f"Shards settle and end; {len(facts.pods)} pods are left.")
    if stopped := _schema_changed(facts.misfits):
        return Condition(type="Progressing", status="False", reason=stopped.reason, message=stopped.message)
    if facts.changing:
        return going_on("Changing", f"The fleet is {facts.changing}.")
    if facts.claimed < facts.cells or not facts.cells:
        return going_on("Starting", f"{facts.claimed} of {facts.cells or facts.wanted} cells are simulated so far.")
    return Condition(type="Progressing", status="False", reason="Settled", message="The fleet is as its spec says.")


def _degraded(facts: Facts) -> Condition:
    stopped = _schema_changed(facts.misfits)
    rolls = [stopped] if stopped else []
    problems = [*facts.problems, *_stuck_moves(facts), *rolls, *_pod_problems(facts)]
    if problems:
        message = "; ".join(problem.message for problem in problems)
        return Condition(type="Degraded", status="True", reason=problems[0].reason, message=message)
    return Condition(type="Degraded", status="False", reason="AsExpected", message="Nothing is amiss.")


def _schema_changed(misfits: Sequence[PodFacts]) -> Problem | None:
    """A roll to other columns that cannot go on: nothing was replaced, and nothing will be."""
    if not misfits:
        return None
    words = misfits[0].message.partition(f"{SCHEMA_CHANGED}: ")[2] or misfits[0].message
    who = named([pod.name for pod in misfits])
    return Problem(reason=SCHEMA_CHANGED, message=f"{who} cannot join, so no running shard is replaced: {words}")


def _waits_for_a_node(facts: Facts, pod: PodFacts) -> bool:
    """Whether the pod is to take over from one whose node is about to go, and no other node has room for it."""
    return bool(facts.leaving) and pod.waiting == "Unschedulable" and pod.name not in facts.placed


def _stuck_moves(facts: Facts) -> list[Problem]:
    """The cells are simulated where they are, but not for long: somebody has to do something about the nodes."""
    waiting = [pod for pod in facts.pods if _waits_for_a_node(facts, pod)]
    if not waiting:
        return []
    moving = named([f"{shard} ({why})" for shard, why in facts.leaving.items()])
    return [
        Problem(
            reason="NoNodeForSurge",
            message=f"No node takes {named([pod.name for pod in waiting])}, which is to take over from {moving}: "
            f"{waiting[0].message} The shards go on where they are; uncordon their nodes, or add one.",
        )
    ]


def _pod_problems(facts: Facts) -> list[Problem]:
    """One a reason, naming its first few shards: a thousand pods often wait for the same thing."""
    groups: dict[str, list[PodFacts]] = {}
    for pod in facts.pods:
        if _waits_for_a_node(facts, pod):
            continue
        if pod.waiting:
            groups.setdefault(pod.waiting, []).append(pod)
        elif pod.ended and pod.exit_code not in (0, ExitCode.SCHEMA) and not pod.deleting:
            groups.setdefault("ShardFailed", []).append(pod)
    return [
        Problem(reason=reason, message=f"{named([pod.name for pod in group])}: {reason}: {group[0].message}")
        for reason, group in sorted(groups.items())
    ]


def _transfers_healthy(facts: Facts) -> Condition:
    kind = "TransfersHealthy"
    if facts.damaged and not facts.doubled:
        message = (
            f"{facts.damaged}. The next manifest of its shard replaces it; {facts.missing or 0} entities are missing."
        )
        return Condition(type=kind, status="False", reason="RecordDamaged", message=message)
    if facts.missing or facts.doubled:
        counted = [
            f"{count} {word}" for count, word in ((facts.missing, "missing"), (facts.doubled, "doubled")) if count
        ]
        reason = "EntitiesDoubled" if facts.doubled else "EntitiesMissing"
        message = f"The census found {' and '.join(counted)} entities; `shardfleet entity ID` shows who holds one."
        return Condition(type=kind, status="False", reason=reason, message=message)
    if facts.findings:
        message = "; ".join(facts.findings[:MAX_NAMED])
        more = len(facts.findings) - MAX_NAMED
        message += f"; and {more} more" if more > 0 else ""
        return Condition(type=kind, status="False", reason="TransfersOverdue", message=message)
    if not facts.redis_answers or facts.missing is None:
        message = "Nobody could look yet: Redis does not answer, or the first census is still to come."
        return Condition(type=kind, status="Unknown", reason="NotAudited", message=message)
    message = "No transfer is overdue, and every entity has one owner."
    return Condition(type=kind, status="True", reason="AsExpected", message=message)


def _clock_in_sync(facts: Facts) -> Condition:
    kind = "ClockInSync"
    if facts.skewed:
        message = (
            f"Clocks are further apart than handoff.skewLimit: {named(facts.skewed)}. These pairs hand nothing over; "
            "repair time synchronization (chrony, NTP) on their nodes."
        )
        return Condition(type=kind, status="False", reason="ClockSkewed", message=message)
    if not facts.redis_answers or not facts.claimed:
        return Condition(type=kind, status="Unknown", reason="NotMeasured", message="No shard reports yet.")
    message = "All measured clocks are within handoff.skewLimit."
    return Condition(type=kind, status="True", reason="AsExpected", message=message)


def _redis_durable(facts: Facts) -> Condition:
    kind = "RedisDurable"
    if facts.durable is None:
        return Condition(type=kind, status="Unknown", reason="NotAsked", message="Redis has not answered yet.")
    if facts.durable:
        message = "Redis keeps an append-only file."
        return Condition(type=kind, status="True", reason="AppendOnly", message=message)
    message = (
        "Redis keeps no append-only file: what it has is gone when it restarts. Set appendonly yes and "
        "appendfsync always."
    )
    return Condition(type=kind, status="False", reason="RedisNotDurable", message=message)


def named(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
