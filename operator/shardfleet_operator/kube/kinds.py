"""The kinds that the operator touches, and where the API has them."""

from __future__ import annotations

from dataclasses import dataclass

from ..resource.schema import GROUP, KIND, VERSION


@dataclass(frozen=True, slots=True)
class Kind:
    """``api_version`` and ``kind`` as objects carry them; ``plural`` as paths do."""

    api_version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        """'' for the core group."""
        group, slash, _ = self.api_version.rpartition("/")
        return group if slash else ""

    def path(self, namespace: str, name: str = "", *, subresource: str = "") -> str:
        """Without a namespace: all of them."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        scope = ["namespaces", namespace] if namespace else []
        parts = [root, *scope, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


SHARD_FLEETS = Kind(f"{GROUP}/{VERSION}", KIND, "shardfleets")
PODS = Kind("v1", "Pod", "pods")
CONFIG_MAPS = Kind("v1", "ConfigMap", "configmaps")
SECRETS = Kind("v1", "Secret", "secrets")
SERVICES = Kind("v1", "Service", "services")
SERVICE_ACCOUNTS = Kind("v1", "ServiceAccount", "serviceaccounts")
EVENTS = Kind("v1", "Event", "events")
POD_DISRUPTION_BUDGETS = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICIES = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
DEPLOYMENTS = Kind("apps/v1", "Deployment", "deployments")
LEASES = Kind("coordination.k8s.io/v1", "Lease", "leases")
NODES = Kind("v1", "Node", "nodes")
"""Watched only, and of no namespace."""

BY_KIND = {
    kind.kind: kind
    for kind in (
        SHARD_FLEETS, PODS, CONFIG_MAPS, SECRETS, SERVICES, SERVICE_ACCOUNTS, EVENTS, POD_DISRUPTION_BUDGETS,
        NETWORK_POLICIES, DEPLOYMENTS, LEASES,
    )
}  # fmt: skip


def kind_of(body: dict[str, object]) -> Kind:
    """Raises ``KeyError`` for a kind that the operator does not touch."""
    return BY_KIND[str(body["kind"])]
