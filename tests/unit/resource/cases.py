"""Fleets that must be refused: one or more for every bound and rule of the CRD.

Plain data, so that the same cases can be put to a real apiserver.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

ARENA: dict[str, Any] = {
    "apiVersion": "shardfleet.dev/v1alpha1",
    "kind": "ShardFleet",
    "metadata": {"name": "arena"},
    "spec": {},
}


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """``set`` holds values by dotted path; ``old`` the same of the fleet before the change, None for a new fleet.

    ``field`` and ``message`` are what is said of it here. ``rule`` tells a CEL rule, whose message is the CRD's own
    and so the same from an apiserver, from a bound that each reader words in its own way.
    """

    set: dict[str, Any]
    field: str
    message: str
    old: dict[str, Any] | None = None
    rule: bool = False
    and_also: tuple[str, ...] = field(default=())
    """Other fields that the same value breaks."""

    @property
    def name(self) -> str:
        return ",".join(f"{path}={str(value)[:30]}" for path, value in self.set.items())


def fleet(values: dict[str, Any]) -> dict[str, Any]:
    """The smallest fleet, with ``values`` set by dotted path."""
    result = copy.deepcopy(ARENA)
    for path, value in values.items():
        target = result
        *parents, last = path.split(".")
        for name in parents:
            target = target.setdefault(name, {})
        target[last] = value
    return result


def bound(path: str, value: Any, message: str, *and_also: str) -> Refusal:
    return Refusal(set={path: value}, field=path, message=message, and_also=and_also)


def rule(values: dict[str, Any], where: str, message: str, *and_also: str) -> Refusal:
    return Refusal(set=values, field=where, message=message, rule=True, and_also=and_also)


def change(old: dict[str, Any], new: dict[str, Any], where: str, message: str) -> Refusal:
    return Refusal(set=new, old=old, field=where, message=message, rule=True)


def duration(path: str, low: str, high: str, says: str, *and_also: str) -> list[Refusal]:
    """Below, above, without a unit, as a number, as a fraction."""
    return [
        rule({path: low}, path, says, *and_also),
        rule({path: high}, path, says, *and_also),
        bound(path, "60", "'60' is not a duration such as 60ms, 3s or 500us"),
        bound(path, 60, "must be a duration such as 60ms, 3s or 500us, not 60"),
        bound(path, "1.5s", "is not a duration such as"),
        bound(path, "60ms\n", "is not a duration such as"),
    ]


REDIS = {"urlSecretRef": {"name": "arena-redis"}}
KEEP = "put the old value back, or delete the fleet and create it again"

REFUSALS = [
    rule({"metadata.name": "Arena"}, "metadata.name", "choose a name such as arena"),
    rule({"metadata.name": "1arena"}, "metadata.name", "must start with a letter"),
    rule({"metadata.name": "arena."}, "metadata.name", "must start with a letter"),
    rule({"metadata.name": "a" * 41}, "metadata.name", "at most 40"),
    bound("metadata.name", "a" * 64, "at most 63 characters"),
    bound("spec.replicas", 0, "must be at least 1, not 0"),
    bound("spec.replicas", 1025, "must be at most 1024, not 1025"),
    bound("spec.replicas", 4.0, "must be a whole number, not 4.0"),
    bound("spec.replicas", True, "must be a whole number, not True"),
    bound("spec.replicas", "4", "must be a whole number, not '4'"),
    bound("spec.image", "x" * 513, "at most 512 characters"),
    bound("spec.image", "an image", "must match"),
    Refusal(set={"spec.world.min": [0, 0]}, field="spec.world.max", message="is required"),
    Refusal(set={"spec.world.max": [0, 0]}, field="spec.world.min", message="is required"),
    Refusal(set={"spec.world": {"min": [0], "max": [1]}}, field="spec.world.min", message="at least 2 entries, not 1",
            and_also=("spec.world.max",)),
    Refusal(set={"spec.world": {"min": [0] * 4, "max": [1] * 4}}, field="spec.world.max",
            message="at most 3 entries, not 4", and_also=("spec.world.min",)),
    Refusal(set={"spec.world": {"min": [0, 0.5], "max": [1, 1]}}, field="spec.world.min[1]",
            message="must be a whole number, not 0.5"),
    Refusal(set={"spec.world": {"min": [0, -1000000001], "max": [10, 10]}}, field="spec.world.min[1]",
            message="must be at least -1000000000"),
    Refusal(set={"spec.world": {"min": [0, 0], "max": [10, 1000000001]}}, field="spec.world.max[1]",
            message="must be at most 1000000000"),
    rule({"spec.world": {"min": [0, 0], "max": [9, 9, 9]}}, "spec.world", "same number of coordinates"),
    rule({"spec.world": {"min": [0, 9], "max": [9, 9]}}, "spec.world", "min must lie below max in every dimension"),
    rule({"spec.world": {"min": [0, 0, 1], "max": [9, 9, 0]}}, "spec.world", "min must lie below max"),
    bound("spec.simulation.name", "", "must not be empty", "spec.simulation.name"),
    bound("spec.simulation.name", "my sim", "must match"),
    bound("spec.simulation.name", "x" * 64, "at most 63 characters"),
    bound("spec.simulation.parameters", [], "must be a group of fields, not []"),
    bound("spec.simulation.parameters", {f"p{n}": n for n in range(65)}, "at most 64 entries, not 65"),
    bound("spec.simulation.seedEntities", -1, "must be at least 0"),
    bound("spec.simulation.seedEntities", 10_000_001, "must be at most 10000000"),
    bound("spec.tickRate", 0, "must be at least 1"),
    bound("spec.tickRate", 201, "must be at most 200"),
    bound("spec.handoff", "60ms", "must be a group of fields, not '60ms'"),
    *duration("spec.handoff.delay", "0ms", "10001ms", "give a duration from 1ms to 10s", "spec.handoff.delay"),
    *duration("spec.handoff.discrepancyThreshold", "99ms", "301s", "give a duration from 100ms to 5m"),
    *duration("spec.handoff.guard", "999us", "2s", "give a duration from 1ms to 1s", "spec.handoff.delay"),
    *duration("spec.handoff.skewLimit", "0s", "11s", "give a duration from 1ms to 10s", "spec.handoff.skewLimit"),
    *duration("spec.lease", "199ms", "61s", "give a duration from 200ms to 1m"),
    *duration("spec.telemetry.interval", "9ms", "5001ms", "give a duration from 10ms to 5s"),
    *duration("spec.electionInterval", "99ms", "2m", "give a duration from 100ms to 1m"),
    *duration("spec.watchdog.auditInterval", "49ms", "2m", "give a duration from 50ms to 1m"),
    *duration("spec.links.inactivity", "99ms", "61m", "give a duration from 100ms to 60m"),
    *duration("spec.links.leaseTTL", "999ms", "11m", "give a duration from 1s to 10m"),
    rule({"spec.handoff.delay": "59ms"}, "spec.handoff.delay", "must be at least one tick (1 s / tickRate) plus"),
    rule({"spec.handoff.delay": "43333us", "spec.tickRate": 30}, "spec.handoff.delay", "raise handoff.delay or"),
    rule({"spec.tickRate": 19}, "spec.handoff.delay", "must be at least one tick"),
    rule({"spec.handoff.guard": "11ms"}, "spec.handoff.delay", "or lower handoff.guard"),
    rule({"spec.handoff.skewLimit": "61ms"}, "spec.handoff.skewLimit", "must be at most handoff.delay"),
    rule({"spec.lease": "299ms", "spec.tickRate": 10, "spec.handoff.delay": "200ms"}, "spec.lease",
         "must cover at least three ticks"),
    bound("spec.handoff.borderMargin", 0.5, 'must be a decimal in quotes such as "0.5", not 0.5'),
    bound("spec.handoff.borderMargin", "-1", "is not a decimal in quotes"),
    bound("spec.handoff.borderMargin", "1e3", "is not a decimal in quotes"),
    rule({"spec.handoff.borderMargin": "120"}, "spec.handoff.borderMargin", "less than half of the world's shortest"),
    rule({"spec.world": {"min": [0, 0, 0], "max": [9, 9, 1]}}, "spec.handoff.borderMargin", "or widen the world"),
    bound("spec.links.lease", "enabled", "must be Enabled or Disabled, not 'enabled'"),
    bound("spec.links.lease", True, "must be text, not True", "spec.links.lease"),
    Refusal(set={"spec.redis": {}}, field="spec.redis.urlSecretRef", message="is required"),
    Refusal(set={"spec.redis": {"urlSecretRef": {}}}, field="spec.redis.urlSecretRef.name", message="is required"),
    bound("spec.redis.urlSecretRef.name", "My Secret", "must match"),
    Refusal(set={"spec.redis": {"urlSecretRef": {"name": "a", "key": "a b"}}}, field="spec.redis.urlSecretRef.key",
            message="must match"),
    bound("spec.redisOutagePolicy", "Stop", "must be Freeze or Continue, not 'Stop'"),
    bound("spec.map", "enabled", "must be Enabled or Disabled, not 'enabled'"),
    bound("spec.map", True, "must be text, not True", "spec.map"),
    Refusal(set={"spec.trace": {}}, field="spec.trace.claimName", message="is required"),
    bound("spec.trace.claimName", "-", "must match"),
    bound("spec.updateStrategy.maxSurge", 0, "must be at least 1"),
    bound("spec.updateStrategy.maxSurge", 17, "must be at most 16"),
    bound("spec.template", "x", "must be a group of fields"),
    change({}, {"spec.tickRate": 40}, "spec.tickRate", KEEP),
    change({}, {"spec.world": {"min": [-120, -120], "max": [120, 121]}}, "spec.world", KEEP),
    change({}, {"spec.simulation.name": "linear"}, "spec.simulation.name", KEEP),
    change({}, {"spec.redis": REDIS}, "spec", KEEP),
    change({"spec.redis": REDIS}, {}, "spec", KEEP),
    change({"spec.redis": REDIS}, {"spec.redis": {"urlSecretRef": {"name": "other"}}}, "spec", "redis cannot change"),
]  # fmt: skip

ALLOWED: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    ({}, None),
    ({"metadata.name": "a" * 40}, None),
    ({"spec.replicas": 1}, None),
    ({"spec.world": {"min": [-5, 0, 5], "max": [5, 10, 15]}}, None),
    ({"spec.handoff.delay": "43334us", "spec.tickRate": 30}, None),
    ({"spec.handoff.delay": "60000us"}, None),
    ({"spec.handoff.delay": "10s"}, None),
    ({"spec.handoff.skewLimit": "60ms"}, None),
    ({"spec.handoff.borderMargin": "0"}, None),
    ({"spec.handoff.borderMargin": "119.999999"}, None),
    ({"spec.tickRate": 1, "spec.handoff.delay": "1010ms"}, None),
    ({"spec.simulation.parameters": {"deep": [{"any": 1.5, "thing": True}], "none": None}}, None),
    ({"spec.template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}, None),
    ({"spec.redis": REDIS}, None),
    ({"spec.map": "Enabled"}, None),
    ({"spec.map": "Enabled"}, {}),
    ({"spec.trace": {"claimName": "traces"}}, None),
    ({"spec.replicas": 6, "spec.lease": "5s", "spec.simulation.parameters": {"a": 1}}, {}),
    ({"spec.redis": REDIS}, {"spec.redis": {"urlSecretRef": {"name": "arena-redis", "key": "url"}}}),
]
"""(values, values before the change or None)."""
