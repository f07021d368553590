"""What the apiserver counted: its own metrics for all clients, its audit log for the operator's calls."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "apply", "delete", "post", "put"})
RESYNC_S = 119.0
"""The operator lists a fleet's pods every 120 s; a list that comes sooner after the one before has another cause."""

Counts = Mapping[tuple[str, str], int]
"""By (verb, resource), with its subresource after a slash."""

_REQUESTS = re.compile(r"^apiserver_request_total\{(?P<labels>.*)\} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def request_counts(metrics: str) -> Counter[tuple[str, str]]:
    """Requests of all clients since the apiserver's start, from the text of /metrics."""
    counts: Counter[tuple[str, str]] = Counter()
    for found in _REQUESTS.finditer(metrics):
        labels = dict(_LABEL.findall(found["labels"]))
        resource = labels["resource"] + (f"/{labels['subresource']}" if labels.get("subresource") else "")
        counts[labels["verb"].lower(), resource] += int(float(found["value"]))
    return counts


def writes(counts: Counts) -> int:
    return sum(count for (verb, _), count in counts.items() if verb in WRITES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the operator's, from the audit log. ``at_s``: Unix seconds."""

    at_s: float
    verb: str
    resource: str
    uri: str
    agent: str
    code: int


def read_calls(audit_log: Path) -> Iterator[Call]:
    """All so far, in the order in which they were answered."""
    for line in audit_log.read_text().splitlines():
        event = json.loads(line)
        about = event.get("objectRef") or {}
        subresource = f"/{about['subresource']}" if about.get("subresource") else ""
        yield Call(
            at_s=datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp(),
            verb=event["verb"],
            resource=about.get("resource", event["requestURI"].partition("?")[0]) + subresource,
            uri=event["requestURI"],
            agent=event.get("userAgent", ""),
            code=int((event.get("responseStatus") or {}).get("code", 0)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """List calls of the operator's in a span of time.

    Attributes:
        resyncs: of a fleet's pods, when they were due.
        others: whatever else listed; nothing should.
    """

    resyncs: int
    others: int


def lists_between(calls: Sequence[Call], start_s: float, end_s: float, born_s: float) -> Lists:
    """Lists that came from ``start_s`` to ``end_s``, sorted by their cause.

    Args:
        born_s: when the first fleet was made; a fleet's first resync is due ``RESYNC_S`` later.
    """
    last: dict[str, float] = {}
    resyncs = others = 0
    for call in calls:
        if call.verb != "list":
            continue
        is_due = call.at_s - last.get(call.uri, born_s) >= RESYNC_S and call.resource == "pods"
        last[call.uri] = call.at_s
        if start_s <= call.at_s <= end_s:
            resyncs += is_due
            others += not is_due
    return Lists(resyncs=resyncs, others=others)


def by_kind(calls: Sequence[Call], start_s: float, end_s: float) -> Counter[tuple[str, str]]:
    """Calls that came from ``start_s`` to ``end_s``, watches left out: they last."""
    return Counter((c.verb, c.resource) for c in calls if start_s <= c.at_s <= end_s and c.verb != "watch")
