"""kopf's part: it watches, these handlers pass on. All that is decided is decided in cluster/worker.py.

Only event handlers: kopf keeps no progress, no annotation and no finalizer of its own in any object. The finalizer is
the worker's, because a deletion that began while no operator ran must be finished by the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import kopf

from .cluster import names
from .cluster.fleets import Fleets
from .kube import (
    CONFIG_MAPS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    SHARD_FLEETS,
    Kind,
)

CHILDREN = (PODS, CONFIG_MAPS, SECRETS, SERVICES, SERVICE_ACCOUNTS, POD_DISRUPTION_BUDGETS, NETWORK_POLICIES)

Login = Callable[[], kopf.ConnectionInfo]


def build_registry(fleets: Fleets, login: Login) -> kopf.OperatorRegistry:
    """All handlers of one operator."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return login()

    @kopf.on.event(*_selector(SHARD_FLEETS), registry=registry)
    async def fleet_changed(event: Mapping[str, Any], **_: Any) -> None:
        fleets.take_fleet(event["object"], gone=event["type"] == "DELETED")

    async def object_changed(event: Mapping[str, Any], resource: Any, **_: Any) -> None:
        # Objects of a list lack their kind.
        body = {"kind": resource.kind, **event["object"]}
        fleets.take_object(body, gone=event["type"] == "DELETED")

    for kind in CHILDREN:
        kopf.on.event(*_selector(kind), registry=registry)(object_changed)
    return registry


def build_settings() -> kopf.OperatorSettings:
    """kopf's settings: watch only what carries the fleet's label, and log as we do."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True  # the Lease does it
    settings.posting.enabled = False
    settings.scanning.disabled = True  # all kinds are known, and RBAC need not allow more
    settings.persistence.finalizer = names.FINALIZER
    settings.queueing.idle_timeout = 5.0
    settings.networking.error_backoffs = (1, 1, 2, 3, 5)
    for kind in CHILDREN:
        settings.watching.label_selectors[_selector(kind)] = names.FLEET_LABEL
    return settings


def quieten_kopf() -> None:
    """Its account of each event is for finding faults in kopf."""
    for name in ("kopf.objects", "kopf.activities", "kopf._core", "kopf._cogs"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _selector(kind: Kind) -> tuple[str, str]:
    """(group and version, plural) as kopf's decorators take them."""
    return kind.api_version, kind.plural
