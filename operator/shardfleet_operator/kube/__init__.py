"""The Kubernetes API, as little of it as the operator calls."""

from .api import ApiError, ApiUnavailable, KubeApi, KubeObject
from .kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    NETWORK_POLICIES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    SHARD_FLEETS,
    Kind,
    kind_of,
)

__all__ = [
    "CONFIG_MAPS",
    "DEPLOYMENTS",
    "EVENTS",
    "LEASES",
    "NETWORK_POLICIES",
    "NODES",
    "PODS",
    "POD_DISRUPTION_BUDGETS",
    "SECRETS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "SHARD_FLEETS",
    "ApiError",
    "ApiUnavailable",
    "Kind",
    "KubeApi",
    "KubeObject",
    "kind_of",
]
