"""What is known of a fleet's pods: facts read from objects and events, never from listing at an event. Pure.

One rule stands above all: a shard's process counts as ended only where the kubelet said so, or where no kubelet ever
had the pod. A pod object that is merely gone (a forced deletion, a node that was taken away) proves nothing; what is
left of its lease must then run out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from shardfleet_shard.exit_codes import ExitCode
from shardfleet_shard.log_lines import message_of

from . import names

_UNKNOWN = "ContainerStatusUnknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """One pod, as the API showed it last.

    Attributes:
        version: resourceVersion, as a number; later ones are higher.
        ended: its process is known to have ended, or never to have begun.
        waiting: why its container does not start, in the kubelet's or the scheduler's word, such as
            ImagePullBackOff or Unschedulable; '' where nothing is amiss.
        message: what belongs to ``waiting``, or a container's last words.
    """

    name: str
    namespace: str
    fleet: str
    ordinal: int
    uid: str
    version: int
    node: str = ""
    address: str = ""
    revision: str = ""
    restarts: int = 0
    created_us: int = 0
    started_us: int = 0
    ended_us: int = 0
    exit_code: int = 0
    ready: bool = False
    deleting: bool = False
    ended: bool = False
    waiting: str = ""
    message: str = ""

    @property
    def began(self) -> bool:
        """Whether its container ever ran."""
        return self.started_us > 0


def pod_facts(body: Mapping[str, Any]) -> PodFacts | None:
    """Facts of a pod object; None where it is no shard of a fleet."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    fleet, ordinal = labels.get(names.FLEET_LABEL), str(labels.get(names.ORDINAL_LABEL, ""))
    if not fleet or not ordinal.isascii() or not ordinal.isdigit():
        return None
    facts = PodFacts(
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        fleet=fleet,
        ordinal=int(ordinal),
        uid=metadata.get("uid", ""),
        version=_number(metadata.get("resourceVersion")),
        node=spec.get("nodeName") or "",
        address=status.get("podIP") or "",
        revision=annotations.get(names.REVISION_ANNOTATION, ""),
        restarts=_number(annotations.get(names.RESTARTS_ANNOTATION)),
        created_us=_unix_us(metadata.get("creationTimestamp")),
        deleting="deletionTimestamp" in metadata,
    )
    return _with_status(facts, status)


def _with_status(facts: PodFacts, status: Mapping[str, Any]) -> PodFacts:
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    containers = {one.get("name"): one for one in status.get("containerStatuses") or ()}
    state = (containers.get(names.CONTAINER) or {}).get("state") or {}
    facts = replace(facts, ready=(conditions.get("Ready") or {}).get("status") == "True")
    if terminated := state.get("terminated"):
        return _with_end(facts, terminated, status)
    if status.get("phase") in ("Failed", "Succeeded"):
        # Refused by the node, or evicted from it. Without a container's end it is only known to have ended if there
        # never was a container; a pod that the cluster's garbage collector marked may still run on a lost node.
        lost = (conditions.get("DisruptionTarget") or {}).get("reason") == "DeletionByPodGC"
        return replace(
            facts,
            ended=not containers and not lost,
            exit_code=_KILLED,
            ended_us=facts.created_us,
            message=_words(status.get("reason"), status.get("message")),
        )
    if running := state.get("running"):
        return replace(facts, started_us=_unix_us(running.get("startedAt")))
    waiting = state.get("waiting") or {}
    if waiting.get("reason") in _ORDINARY_WAITS:
        return facts
    if waiting:
        return replace(facts, waiting=waiting.get("reason", ""), message=waiting.get("message", ""))
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return replace(facts, waiting=scheduled.get("reason", ""), message=scheduled.get("message", ""))
    return facts


_KILLED = 137
_ORDINARY_WAITS = ("ContainerCreating", "PodInitializing")


def _with_end(facts: PodFacts, terminated: Mapping[str, Any], status: Mapping[str, Any]) -> PodFacts:
    code, reason = int(terminated.get("exitCode", 0)), str(terminated.get("reason", ""))
    said = str(terminated.get("message") or "").strip().splitlines()
    words = [message_of(said[-1]) if said else "", _words(status.get("reason"), status.get("message"))]
    detail = f"exit code {code}" + (f" ({reason})" if reason not in ("", "Error", "Completed") else "")
    detail += "".join(f": {word}" for word in words if word)
    return replace(
        facts,
        ended=True,
        started_us=_unix_us(terminated.get("startedAt")),
        ended_us=_unix_us(terminated.get("finishedAt")) or facts.created_us,
        exit_code=code,
        message=detail,
    )


@dataclass(slots=True)
class FleetPods:
    """The pods of one fleet by name, and the known ends of those that are gone.

    ``take`` and ``take_gone`` may be called with what came late or twice: newer knowledge of the same pod stays.
    """

    pods: dict[str, PodFacts] = field(default_factory=dict)
    ended: dict[str, PodFacts] = field(default_factory=dict)
    """Of pods that are gone, the newest a name; the plan needs to know how a shard's last process ended."""
    _gone: dict[str, str] = field(default_factory=dict)
    """Name -> uid of the newest that is known to be gone: an answer may come after the event that tells of its end."""

    def take(self, facts: PodFacts) -> bool:
        """An object as it is. Returns whether it says something new."""
        known = self.pods.get(facts.name)
        if known is not None and known.uid == facts.uid and known.version >= facts.version:
            return False
        if self._gone.get(facts.name) == facts.uid:
            return False  # it was on its way when the pod's end was already known
        self.pods[facts.name] = facts
        return known is None or replace(known, version=0) != replace(facts, version=0)

    def take_gone(self, facts: PodFacts) -> bool:
        """An object as it last was. Returns whether it says something new."""
        known = self.pods.get(facts.name)
        if known is not None and known.uid == facts.uid:
            del self.pods[facts.name]
        elif known is not None:
            return False  # a former pod of that name; the living one is known
        self._gone[facts.name] = facts.uid
        if facts.ended or not facts.node:
            before = self.ended.get(facts.name)
            self.ended[facts.name] = replace(facts, ended=True, ended_us=facts.ended_us or facts.created_us)
            return known is not None or before is None or before.uid != facts.uid
        self.ended.pop(facts.name, None)
        return known is not None

    def misfits(self, revision: str, living: Collection[str]) -> list[PodFacts]:
        """Ends, by ordinal, of shards of ``revision`` whose simulation has other columns than the fleet.

        Such an end stands while the shard is tried again, until it is one of the ``living``.
        """
        newest = {**self.ended, **{name: facts for name, facts in self.pods.items() if facts.ended}}
        found = [
            facts
            for name, facts in newest.items()
            if facts.exit_code == ExitCode.SCHEMA and facts.revision == revision and name not in living
        ]
        return sorted(found, key=lambda facts: facts.ordinal)

    def forget(self, name: str) -> None:
        """The end of a shard's last process counts no more."""
        self.ended.pop(name, None)

    def resync(self, found: Iterable[PodFacts]) -> bool:
        """A whole list. Pods that are not in it went without an event: nothing is known of their end.

        A list may be older than a pod that was made a moment ago. Such a pod is known again with its next event, or
        when the plan has it applied once more, which changes nothing.
        """
        listed = {facts.name: facts for facts in found}
        news = [self.take(facts) for facts in listed.values()]
        lost = sorted(self.pods.keys() - listed.keys())
        for name in lost:
            del self.pods[name]
        return any(news) or bool(lost)


def _words(reason: Any, message: Any) -> str:
    return ": ".join(str(part) for part in (reason, message) if part)


def _number(text: Any) -> int:
    text = str(text or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _unix_us(text: Any) -> int:
    """0 for no time."""
    if not isinstance(text, str) or not text:
        return 0
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp() * 1_000_000)
