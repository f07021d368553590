"""Labels, annotations and names of a fleet's objects."""

from __future__ import annotations

from ..resource.schema import GROUP

FLEET_LABEL = f"{GROUP}/fleet"
SHARD_LABEL = f"{GROUP}/shard"
ORDINAL_LABEL = f"{GROUP}/ordinal"
MAP_LABEL = f"{GROUP}/map"
"""Of the pod of a fleet's own live map, which has no ``FLEET_LABEL``: what picks shards by that must not find it."""
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGER = "shardfleet-operator"

RESTARTS_ANNOTATION = f"{GROUP}/restarts"
REVISION_ANNOTATION = f"{GROUP}/revision"
"""What the pod was made of: a hash. A pod of another revision is replaced."""

FINALIZER = f"{GROUP}/finalizer"

CONTAINER = "shard"
LINK_PORT = 7000
HEALTH_PORT = 7001
METRICS_PORT = 7002
METRICS_PORT_NAME = "metrics"

GRACE_S = 120
"""From SIGTERM to SIGKILL: long enough to hand a large cell over at a limited rate."""


def selector(fleet: str) -> str:
    """Of all objects of a fleet, in its namespace."""
    return f"{FLEET_LABEL}={fleet}"


def config_name(fleet: str) -> str:
    return f"{fleet}-config"


def redis_secret_name(fleet: str) -> str:
    """Of the Secret that the operator makes where the spec names none."""
    return f"{fleet}-redis"


def map_name(fleet: str) -> str:
    """Of the Deployment and the Secret of a fleet's own live map."""
    return f"{fleet}-map"


def map_policy_name(fleet: str) -> str:
    """With a dot, which no fleet's name has: one called ``map_name`` has a NetworkPolicy of that name."""
    return f"{fleet}.map"


def map_selector(fleet: str) -> str:
    return f"{MAP_LABEL}={fleet}"


def authority_secret_name(fleet: str) -> str:
    """Of the Secret with the fleet's certificate authorities, which no pod mounts."""
    return f"{fleet}-ca"


def tls_secret_name(shard: str) -> str:
    return f"{shard}-tls"
