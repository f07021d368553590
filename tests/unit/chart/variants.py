"""Values that together switch everything of the chart on and off."""

from __future__ import annotations

from typing import Any

EVERYTHING: dict[str, Any] = {
    "operator.namespaces": ["play", "test"],
    "operator.nodeSelector": {"disk": "fast"},
    "operator.tolerations": [{"operator": "Exists"}],
    "operator.podAnnotations": {"a": "b"},
    "operator.logFormat": "json",
    "operator.env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
    "imagePullSecrets": [{"name": "hub"}],
    "fleets.deleteOnUninstall": True,
    "redis.persistence.storageClass": "fast",
    "redis.podDisruptionBudget.enabled": True,
    "metrics.serviceMonitor.enabled": True,
    "metrics.podMonitor.enabled": True,
    "metrics.prometheusRule.enabled": True,
    "metrics.dashboard.enabled": True,
}
EXTERNAL: dict[str, Any] = {"redis.enabled": False, "redis.existingSecret": "our-redis"}
NOTHING: dict[str, Any] = {"redis.enabled": False, "crds.install": False, "networkPolicy.enabled": False}
UNKEPT: dict[str, Any] = {"redis.persistence.enabled": False, "crds.keep": False}
VARIANTS = {"default": {}, "everything": EVERYTHING, "external": EXTERNAL, "nothing": NOTHING, "unkept": UNKEPT}
