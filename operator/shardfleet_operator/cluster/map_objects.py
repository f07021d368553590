"""The objects of a fleet's own live map. Pure: values in, objects out."""

from __future__ import annotations

import hmac
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..cli.forward import MAP_PORT
from ..kube import DEPLOYMENTS, NETWORK_POLICIES
from . import names
from .objects import FleetObjects

TOKEN_KEY = "token"

_TOKEN_FOLDER = "/etc/shardfleet-map"
_VOLUME = "shardfleet-map"

_RESOURCES = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
"""The last two minutes of one fleet are at most 100 MB, and a frame of a large world some tens besides."""

_LIKE_A_SHARD = (
    "serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "securityContext", "imagePullSecrets",
    "nodeSelector", "tolerations", "dnsPolicy", "dnsConfig", "hostAliases",
)  # fmt: skip
"""Of a shard's pod: where that gets its image and reaches its Redis, the map does. Not its sidecars, nor its labels."""


def map_objects(fleet: FleetObjects, *, token: str, url: str) -> list[dict[str, Any]]:
    """In the order in which they are to be applied.

    Args:
        token: for who looks.
        url: of the fleet's Redis. It is in none of these objects: the pod has it from the shards' own Secret.
    Raises:
        SpecError: spec.template does not fit.
    """
    secret = fleet.secret(names.map_name(fleet.name), {TOKEN_KEY: token.encode()})
    return [secret, _network_policy(fleet), _deployment(fleet, token=token, url=url)]


def _network_policy(fleet: FleetObjects) -> dict[str, Any]:
    """Nobody connects: a forward ends inside the pod, and no policy keeps a kubelet out."""
    spec = {
        "podSelector": {"matchLabels": {names.MAP_LABEL: fleet.name}},
        "policyTypes": ["Ingress"],
        "ingress": [],
    }
    return fleet.owned(
        NETWORK_POLICIES.api_version, NETWORK_POLICIES.kind, names.map_policy_name(fleet.name), spec=spec
    )


def _deployment(fleet: FleetObjects, *, token: str, url: str) -> dict[str, Any]:
    selector = {names.MAP_LABEL: fleet.name}
    # Both are read when the process starts, so another value must start it anew. Keyed, this tells nobody anything.
    revision = hmac.new(token.encode(), url.encode(), "sha256").hexdigest()[:12]
    labels = {label: value for label, value in fleet.labels.items() if label != names.FLEET_LABEL}
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},  # two would have different pasts
        "selector": {"matchLabels": selector},
        "template": {
            "metadata": {"labels": {**labels, **selector}, "annotations": {names.REVISION_ANNOTATION: revision}},
            "spec": _pod(fleet, url=url),
        },
    }
    return fleet.owned(DEPLOYMENTS.api_version, DEPLOYMENTS.kind, names.map_name(fleet.name), spec=spec)


def _pod(fleet: FleetObjects, *, url: str) -> dict[str, Any]:
    shard = fleet.pod(0)["spec"]
    mounts = _mounts_of(url, shard)
    volumes = [volume for volume in shard["volumes"] if volume["name"] in {mount["name"] for mount in mounts}]
    items = [{"key": TOKEN_KEY, "path": TOKEN_KEY}]
    secret = {"secretName": names.map_name(fleet.name), "items": items, "defaultMode": 0o440}
    return {
        **{field: shard[field] for field in _LIKE_A_SHARD if field in shard},
        "containers": [_container(fleet, shard["containers"][0], mounts)],
        "volumes": [{"name": _VOLUME, "secret": secret}, *volumes],
    }


def _container(fleet: FleetObjects, shard: dict[str, Any], mounts: list[dict[str, Any]]) -> dict[str, Any]:
    alive = {"httpGet": {"path": "/healthz", "port": "map"}}
    return {
        "name": "map",
        **{field: shard[field] for field in ("image", "imagePullPolicy", "securityContext") if field in shard},
        "args": [
            "map",
            f"--fleet={fleet.config.identity}",
            f"--listen=0.0.0.0:{MAP_PORT}",
            f"--token-file={_TOKEN_FOLDER}/{TOKEN_KEY}",
        ],
        "env": [fleet.redis_variable()],
        "ports": [{"name": "map", "containerPort": MAP_PORT, "protocol": "TCP"}],
        "livenessProbe": {**alive, "periodSeconds": 10, "failureThreshold": 6},
        "readinessProbe": {**alive, "periodSeconds": 2},
        "resources": _RESOURCES,
        "volumeMounts": [{"name": _VOLUME, "mountPath": _TOKEN_FOLDER, "readOnly": True}, *mounts],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _mounts_of(url: str, shard: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of a shard's container in which the URL names a file, such as rediss://...?ssl_ca_certs=/path."""
    paths = [PurePosixPath(value) for name, value in parse_qsl(urlsplit(url).query) if name.startswith("ssl_")]
    return [
        mount
        for mount in shard["containers"][0]["volumeMounts"]
        if any(path.is_relative_to(mount["mountPath"]) for path in paths)
    ]
