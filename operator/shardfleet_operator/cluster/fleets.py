"""All fleets of one operator: a worker for each, and the way from an event to its worker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from shardfleet_shard.core.clock import Clock

from ..inspection import FleetSight, NotFound
from ..kube import PODS, KubeApi
from . import names
from .counts import OperatorCounts
from .nodes import LeavingNodes
from .pods import pod_facts
from .settings import OperatorSettings
from .worker import FleetWorker

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""(namespace, name)."""


class Fleets:
    """Takes events and keeps workers running, inside one event loop.

    Args:
        on_failure: called with a worker's bug; the operator is to end, for its successor begins anew.
    Attributes:
        nodes: those that are about to go.
        counts: what all workers count together.
    """

    def __init__(
        self,
        api: KubeApi,
        clock: Clock,
        settings: OperatorSettings,
        *,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._api = api
        self._clock = clock
        self._settings = settings
        self._on_failure = on_failure
        self._workers: dict[Key, FleetWorker] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._early: dict[Key, list[Mapping[str, Any]]] = {}
        """Pods that came before their fleet, as they do when the operator starts."""
        self.nodes = LeavingNodes()
        self.counts = OperatorCounts()
        self._closed = False

    @property
    def workers(self) -> list[FleetWorker]:
        return [worker for _, worker in sorted(self._workers.items())]

    def look(self, namespace: str, name: str) -> FleetSight:
        """One fleet, for the inspection port. Raises ``NotFound`` or ``NotNow``."""
        worker = self._workers.get((namespace, name))
        if worker is None:
            raise NotFound(f"no ShardFleet {name!r} in namespace {namespace!r}: 'kubectl get sf -A' lists them")
        return worker.look()

    # --- events ------------------------------------------------------------------------------------------------

    def take_fleet(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """A ShardFleet as it is, or as it last was."""
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        worker = self._workers.get(key)
        if gone:
            if worker is not None and worker.uid == body["metadata"]["uid"]:
                self._end(key)
            return
        if worker is not None and worker.uid != body["metadata"]["uid"]:
            self._end(key)  # deleted and made again while nobody looked
            worker = None
        if worker is None:
            self._begin(key, body)
        else:
            worker.take_body(body)

    def take_object(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """An object with a fleet's label: a pod as it is, or anything that was deleted."""
        metadata = body["metadata"]
        key = (metadata.get("namespace", ""), (metadata.get("labels") or {}).get(names.FLEET_LABEL, ""))
        worker = self._workers.get(key)
        if body.get("kind") == PODS.kind:
            if worker is not None:
                worker.take_pod(body, gone=gone)
            elif not gone and pod_facts(body) is not None:
                self._early.setdefault(key, []).append(body)
        elif gone and worker is not None:
            worker.object_gone(body["kind"], metadata["name"])

    def take_node(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """A Node as it is, or as it last was."""
        if self.nodes.take(body, gone=gone):
            for worker in self.workers:
                worker.node_changed(body["metadata"]["name"])

    # --- workers -----------------------------------------------------------------------------------------------

    def _begin(self, key: Key, body: Mapping[str, Any]) -> None:
        if self._closed:
            return
        worker = FleetWorker(body, self._api, self._clock, self._settings, self.nodes, self.counts)
        for pod in self._early.pop(key, ()):
            worker.take_pod(pod, gone=False)
        self._workers[key] = worker
        task = asyncio.get_running_loop().create_task(worker.run(), name=f"fleet {key[0]}/{key[1]}")
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._ended(key, worker, done))

    def _ended(self, key: Key, worker: FleetWorker, task: asyncio.Task[None]) -> None:
        if self._workers.get(key) is worker:
            del self._workers[key], self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the worker of %s/%s failed", *key, exc_info=error)
            self._on_failure(error)

    def _end(self, key: Key) -> None:
        self._workers.pop(key, None)
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Ends all workers where they are; what they began goes on with the next operator."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
