"""A Redis that is not the chart's: one pod, its password in a Secret, as somebody's own would be."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from .kubectl import Kubectl
from .release import SYSTEM, image


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRedis:
    """Pod, Service and Secret of one name. The Secret has the URL under ``url``, as the chart wants it."""

    kubectl: Kubectl
    name: str = "somebodys-redis"
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def start(self) -> None:
        """It takes connections when this returns."""
        self.kubectl.apply(self._secret(), self._service(), self._pod())
        self.kubectl("wait", "--for=condition=Ready", f"pod/{self.name}", "--timeout=90s")

    def stop(self) -> None:
        self.kubectl("delete", f"pod/{self.name}", f"service/{self.name}", f"secret/{self.name}", "--ignore-not-found")

    def _object(self, api_version: str, kind: str, **fields: Any) -> dict[str, Any]:
        labels = {"app": self.name}
        return {"apiVersion": api_version, "kind": kind, "metadata": {"name": self.name, "labels": labels}, **fields}

    def _secret(self) -> dict[str, Any]:
        lines = [f"requirepass {self.password}", "dir /data", "appendonly yes", "appendfsync always", 'save ""']
        url = f"redis://:{self.password}@{self.name}.{SYSTEM}.svc:6379/0"
        return self._object("v1", "Secret", stringData={"url": url, "valkey.conf": "\n".join(lines) + "\n"})

    def _service(self) -> dict[str, Any]:
        return self._object("v1", "Service", spec={"selector": {"app": self.name}, "ports": [{"port": 6379}]})

    def _pod(self) -> dict[str, Any]:
        container = {
            "name": "redis",
            "image": image(),
            "command": ["valkey-server", "/etc/valkey/valkey.conf"],
            "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [
                {"name": "data", "mountPath": "/data"},
                {"name": "config", "mountPath": "/etc/valkey", "readOnly": True},
            ],
        }
        spec = {
            "securityContext": {"runAsNonRoot": True, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": 5,
            "containers": [container],
            "volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "config", "secret": {"secretName": self.name, "defaultMode": 0o440}},
            ],
        }
        return self._object("v1", "Pod", spec=spec)
