"""What the operator's account may do, and what it did, by the API server's own words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .release import SYSTEM, Release

ACCOUNT = f"system:serviceaccount:{SYSTEM}:shardfleet"


class Right(NamedTuple):
    """``resource`` with its subresource, as a rule has it."""

    group: str
    resource: str
    verb: str


def granted(release: Release) -> set[Right]:
    """By all roles that are bound to the operator's account."""
    bindings = [*release.system.items("clusterrolebindings"), *release.system.items("rolebindings")]
    subject = {"kind": "ServiceAccount", "name": "shardfleet", "namespace": SYSTEM}
    roles = [
        release.system.json("get", binding["roleRef"]["kind"], binding["roleRef"]["name"])
        for binding in bindings
        if subject in (binding.get("subjects") or ())
    ]
    assert roles
    return {
        Right(group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def events_since(log: str, began: str) -> list[Mapping[str, Any]]:
    """Of the operator's account, of requests for objects; ``began`` is a time as the API server writes it."""
    events = (json.loads(line) for line in log.splitlines() if line.strip())
    return [
        event
        for event in events
        if event["user"]["username"] == ACCOUNT
        and "objectRef" in event
        and event["requestReceivedTimestamp"][: len("2026-01-01T00:00:00")] >= began.rstrip("Z")
    ]


def used(events: Sequence[Mapping[str, Any]]) -> set[Right]:
    """The rights that these requests needed."""
    return {right for event in events if not is_forbidden(event) for right in _needed(event)}


def is_forbidden(event: Mapping[str, Any]) -> bool:
    """For lack of a right; a quota and the Pod Security level answer 403 as well, but these requests were let in."""
    return bool((event.get("annotations") or {}).get("authorization.k8s.io/decision") == "forbid")


def _needed(event: Mapping[str, Any]) -> Iterator[Right]:
    ref = event["objectRef"]
    resource = "/".join(part for part in (ref["resource"], ref.get("subresource", "")) if part)
    yield Right(ref.get("apiGroup", ""), resource, event["verb"])
    if event["verb"] == "patch" and event.get("responseStatus", {}).get("code") == 201:
        yield Right(ref.get("apiGroup", ""), resource, "create")  # an apply that made what was not there
