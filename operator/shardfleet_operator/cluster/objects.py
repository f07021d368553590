"""The Kubernetes objects of a fleet, as they should be. Pure: values in, objects out."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.environment import POD_IP_VARIABLE, REDIS_URL_VARIABLE, THREADS_VARIABLES

from ..plan import shard_name
from ..resource.schema import GROUP, KIND, VERSION
from . import names
from .template import lay_under

CONFIG_FOLDER = "/etc/shardfleet/config"
CONFIG_FILE = "fleet.json"
TLS_FOLDER = "/etc/shardfleet/tls"
TRACE_FOLDER = "/var/lib/shardfleet/trace"
READY_SERVICE = "shardfleet.v1.Handoff"
"""What a shard's health says SERVING of while it takes part in handoffs."""

_USER = 65532

_OPERATORS_OWN = ("replicas", "sources", "discrepancy_threshold_us", "audit_interval_us")
"""Of the configuration: a change is in force at once, and no pod is replaced for it."""

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSecret:
    """Where a fleet's pods read their Redis URL; ``url`` is set where the operator makes this Secret itself."""

    name: str
    key: str = "url"
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class FleetObjects:
    """Everything that the objects are made from.

    Attributes:
        uid: of the ShardFleet, which owns them all.
        image: of the shards.
        template: the user's pod template, as it was written.
        trace_claim: '' for no trace.
    """

    namespace: str
    name: str
    uid: str
    config: FleetConfig
    image: str
    redis: RedisSecret
    template: Any = None
    trace_claim: str = ""

    # --- what they share ---------------------------------------------------------------------------------------

    @property
    def labels(self) -> dict[str, str]:
        return {
            names.FLEET_LABEL: self.name,
            names.MANAGED_BY_LABEL: names.MANAGER,
            "app.kubernetes.io/name": "shardfleet",
            "app.kubernetes.io/instance": self.name,
        }

    def owned(self, api_version: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
        """An object that goes with the fleet."""
        owner = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
        metadata = {"name": name, "namespace": self.namespace, "labels": self.labels, "ownerReferences": [owner]}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}

    # --- objects of the fleet ----------------------------------------------------------------------------------

    def fleet_objects(self) -> list[dict[str, Any]]:
        """All but the pods, in the order in which they are to be applied: what pods need comes first."""
        objects = [self.service_account(), self.config_map(), self.service(), self.budget(), self.network_policy()]
        return [self.redis_secret(), *objects] if self.redis.url else objects

    def service_account(self) -> dict[str, Any]:
        return self.owned("v1", "ServiceAccount", self.name, automountServiceAccountToken=False)

    def config_map(self) -> dict[str, Any]:
        data = {CONFIG_FILE: self.config.to_json()}
        return self.owned("v1", "ConfigMap", names.config_name(self.name), data=data)

    def redis_secret(self) -> dict[str, Any]:
        return self.secret(self.redis.name, {self.redis.key: self.redis.url.encode()})

    def redis_variable(self) -> dict[str, Any]:
        """Of a container's environment."""
        reference = {"secretKeyRef": {"name": self.redis.name, "key": self.redis.key}}
        return {"name": REDIS_URL_VARIABLE, "valueFrom": reference}

    def secret(self, name: str, data: Mapping[str, bytes]) -> dict[str, Any]:
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        return self.owned("v1", "Secret", name, type="Opaque", data=encoded)

    def service(self) -> dict[str, Any]:
        """Headless: names for people and tools; shards find each other through Redis."""
        port = {"name": "links", "port": names.LINK_PORT, "targetPort": names.LINK_PORT, "appProtocol": "grpc"}
        spec = {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {names.FLEET_LABEL: self.name},
            "ports": [{**port, "protocol": "TCP"}],
        }
        return self.owned("v1", "Service", self.name, spec=spec)

    def budget(self) -> dict[str, Any]:
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": {names.FLEET_LABEL: self.name}}}
        return self.owned("policy/v1", "PodDisruptionBudget", self.name, spec=spec)

    def network_policy(self) -> dict[str, Any]:
        """Links come from the fleet's own pods and from the operator, health from anywhere (the node asks), and so do
        questions for metrics: where a Prometheus runs, nobody here knows."""
        pods = {"podSelector": {"matchLabels": {names.FLEET_LABEL: self.name}}}
        operator = {
            "namespaceSelector": {},
            "podSelector": {"matchLabels": {"app.kubernetes.io/component": names.MANAGER}},
        }
        ingress = [
            {"from": [pods, operator], "ports": [{"port": names.LINK_PORT, "protocol": "TCP"}]},
            {"ports": [{"port": port, "protocol": "TCP"} for port in (names.HEALTH_PORT, names.METRICS_PORT)]},
        ]
        spec = {
            "podSelector": {"matchLabels": {names.FLEET_LABEL: self.name}},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        }
        return self.owned("networking.k8s.io/v1", "NetworkPolicy", self.name, spec=spec)

    # --- pods --------------------------------------------------------------------------------------------------

    @cached_property
    def revision(self) -> str:
        """Changes with whatever a pod is made of, or its shard reads; not with what only the operator goes by."""
        config = {**json.loads(self.config.to_json()), **dict.fromkeys(_OPERATORS_OWN)}
        return _hash([self._template(0), config, self.redis.name, self.redis.key])

    def pod(self, ordinal: int, *, restarts: int = 0) -> dict[str, Any]:
        """One shard.

        Raises:
            SpecError: spec.template does not fit.
        """
        merged = self._template(ordinal)
        pod = self.owned("v1", "Pod", shard_name(self.name, ordinal), spec=merged["spec"])
        metadata = merged["metadata"]
        metadata["annotations"] = {
            **metadata.get("annotations", {}),
            names.RESTARTS_ANNOTATION: str(restarts),
            names.REVISION_ANNOTATION: self.revision,
        }
        pod["metadata"] = {**metadata, **pod["metadata"], "labels": metadata["labels"]}
        return pod

    def _template(self, ordinal: int) -> dict[str, Any]:
        defaulted = _with_defaults(self.template if self.template is not None else {})
        shard = shard_name(self.name, ordinal)
        labels = {**self.labels, names.SHARD_LABEL: shard, names.ORDINAL_LABEL: str(ordinal)}
        own = {
            # Named here, so that a template of another shape is refused by its field.
            "metadata": {"labels": labels},
            "spec": {
                "hostname": shard,
                "subdomain": self.name,
                "serviceAccountName": self.name,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": names.GRACE_S,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": _USER,
                    "runAsGroup": _USER,
                    "fsGroup": _USER,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [self._container(ordinal)],
                "volumes": self._volumes(shard),
            },
        }
        return lay_under(defaulted, own)

    def _container(self, ordinal: int) -> dict[str, Any]:
        shard = shard_name(self.name, ordinal)
        arguments = [
            "shard",
            *("--shard", shard, "--ordinal", str(ordinal)),
            *("--config", f"{CONFIG_FOLDER}/{CONFIG_FILE}"),
            *("--listen", f"0.0.0.0:{names.LINK_PORT}", "--advertise", f"$({POD_IP_VARIABLE})"),
            *("--health", f"0.0.0.0:{names.HEALTH_PORT}", "--metrics", f"0.0.0.0:{names.METRICS_PORT}"),
            *("--tls", TLS_FOLDER),
            *("--on-sigterm", "drain"),
        ]
        mounts: list[dict[str, Any]] = [
            {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True},
            {"name": "tls", "mountPath": TLS_FOLDER, "readOnly": True},
        ]
        if self.trace_claim:
            arguments += ["--trace", TRACE_FOLDER]
            mounts.append({"name": "trace", "mountPath": TRACE_FOLDER})
        live = {"grpc": {"port": names.HEALTH_PORT}, "timeoutSeconds": 2}
        ready = {"grpc": {"port": names.HEALTH_PORT, "service": READY_SERVICE}, "timeoutSeconds": 2}
        return {
            "name": names.CONTAINER,
            "image": self.image,
            "args": arguments,
            "env": [
                self.redis_variable(),
                {"name": POD_IP_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                *({"name": name, "value": "1"} for name in THREADS_VARIABLES),
            ],
            "ports": [
                {"name": "links", "containerPort": names.LINK_PORT, "protocol": "TCP"},
                {"name": "health", "containerPort": names.HEALTH_PORT, "protocol": "TCP"},
                {"name": names.METRICS_PORT_NAME, "containerPort": names.METRICS_PORT, "protocol": "TCP"},
            ],
            "volumeMounts": mounts,
            "securityContext": _RESTRICTED,
            "startupProbe": {**live, "periodSeconds": 1, "failureThreshold": 60},
            "livenessProbe": {**live, "periodSeconds": 5, "failureThreshold": 6},
            "readinessProbe": {**ready, "periodSeconds": 1, "failureThreshold": 3},
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }

    def _volumes(self, shard: str) -> list[dict[str, Any]]:
        volumes: list[dict[str, Any]] = [
            {"name": "config", "configMap": {"name": names.config_name(self.name)}},
            {"name": "tls", "secret": {"secretName": names.tls_secret_name(shard), "defaultMode": 0o440}},
        ]
        if self.trace_claim:
            volumes.append({"name": "trace", "persistentVolumeClaim": {"claimName": self.trace_claim}})
        return volumes


def _with_defaults(template: Any) -> Any:
    """What a template may overrule: a shard's share of a node, and that shards lie on different nodes if they can."""
    defaults = {
        "metadata": {},
        "spec": {
            "containers": [
                {"name": names.CONTAINER, "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}},
            ],
        },
    }
    # The template's own words win here, so the roles of the two are swapped.
    return lay_under(defaults, template) if isinstance(template, dict) else template


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
