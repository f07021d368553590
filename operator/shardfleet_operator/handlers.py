"""kopf's part: it watches, these handlers pass on. All that is decided is decided by cluster/worker.py and its rooms.

kopf runs in a thread with an event loop of its own: when it ends, it cancels every task of its loop, whoever began it.

Only event handlers: kopf keeps no progress, no annotation and no finalizer of its own in any object. The finalizer is
the worker's, because a deletion that began while no operator ran must be finished by the next one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import kopf

from .cluster import names
from .cluster.fleets import Fleets
from .kube import (
    CONFIG_MAPS,
    NETWORK_POLICIES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    SHARD_FLEETS,
    Kind,
)
from .resource.schema import GROUP

CHILDREN = (PODS, CONFIG_MAPS, SECRETS, SERVICES, SERVICE_ACCOUNTS, POD_DISRUPTION_BUDGETS, NETWORK_POLICIES)

Login = Callable[[], kopf.ConnectionInfo]


class Take(Protocol):
    def __call__(self, body: Mapping[str, Any], /, *, gone: bool) -> None: ...


def build_registry(
    fleets: Fleets, login: Login, loop: asyncio.AbstractEventLoop, *, watches_nodes: bool
) -> kopf.OperatorRegistry:
    """All handlers of one operator.

    Args:
        loop: where ``fleets`` lives.
        watches_nodes: whether the operator may; kopf ends where it may not.
    """
    registry = kopf.OperatorRegistry()

    def pass_on(take: Take, body: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        loop.call_soon_threadsafe(lambda: take(body, gone=event["type"] == "DELETED"))

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return login()

    @kopf.on.event(*_selector(SHARD_FLEETS), registry=registry)
    async def fleet_changed(event: Mapping[str, Any], **_: Any) -> None:
        pass_on(fleets.take_fleet, event["object"], event)

    async def node_changed(event: Mapping[str, Any], **_: Any) -> None:
        pass_on(fleets.take_node, event["object"], event)

    if watches_nodes:
        kopf.on.event(*_selector(NODES), registry=registry)(node_changed)

    async def object_changed(event: Mapping[str, Any], resource: Any, **_: Any) -> None:
        # Objects of a list lack their kind.
        pass_on(fleets.take_object, {"kind": resource.kind, **event["object"]}, event)

    for kind in CHILDREN:
        kopf.on.event(*_selector(kind), registry=registry)(object_changed)
    return registry


def build_settings() -> kopf.OperatorSettings:
    """kopf's settings: watch only what carries the fleet's label, and log as we do."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True  # the Lease does it
    settings.posting.enabled = False
    settings.scanning.disabled = True  # all kinds are known, and RBAC need not allow more
    # kopf takes a finalizer of this name away from objects that it does not handle: it must not be the worker's.
    settings.persistence.finalizer = f"{GROUP}/unused"
    settings.queueing.idle_timeout = 5.0
    settings.networking.error_backoffs = (1, 1, 2, 3, 5)
    for kind in CHILDREN:
        settings.watching.label_selectors[_selector(kind)] = names.FLEET_LABEL
    return settings


async def watch(
    fleets: Fleets, login: Login, namespaces: Sequence[str], stop: threading.Event, *, watches_nodes: bool
) -> None:
    """Runs kopf beside this event loop until ``stop``. Raises what kopf ended with."""
    registry = build_registry(fleets, login, asyncio.get_running_loop(), watches_nodes=watches_nodes)
    settings = build_settings()
    # Left out, kopf looks for the user's name, and an arbitrary user of a container has none.
    identity: Any = names.MANAGER

    def run() -> None:
        asyncio.run(
            kopf.operator(
                registry=registry,
                settings=settings,
                identity=identity,
                standalone=True,
                clusterwide=not namespaces,
                namespaces=list(namespaces),
                stop_flag=stop,
            )
        )

    await asyncio.to_thread(run)


def quieten_kopf() -> None:
    """Its account of each event is for finding faults in kopf."""
    for name in ("kopf.objects", "kopf.activities", "kopf._core", "kopf._cogs"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # signals are ours, as they should be


def _selector(kind: Kind) -> tuple[str, str]:
    """(group and version, plural) as kopf's decorators take them."""
    return kind.api_version, kind.plural
