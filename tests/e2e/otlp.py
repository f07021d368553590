"""An OTLP collector in the cluster, as somebody's own would be: a pod that writes down what it is sent."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from tests.integration.local.collector import Received

from .kubectl import Kubectl
from .release import image

PORT = 4318
_SERVER = f"""
import base64, gzip
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        data = gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data
        print(f"{{self.path}} {{base64.b64encode(data).decode()}}\\n", end="", flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass

ThreadingHTTPServer(("", {PORT}), Handler).serve_forever()
"""
"""A line of stdout for each request, by the image's Python: so the cluster needs no image more, and no volume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpCollector:
    """Pod and Service of one name."""

    kubectl: Kubectl
    name: str = "collector"

    @property
    def endpoint(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT, from any namespace."""
        return f"http://{self.name}.{self.kubectl.namespace}.svc:{PORT}"

    def start(self) -> None:
        """It takes connections when this returns."""
        self.kubectl.apply(self._service(), self._pod())
        self.kubectl("wait", "--for=condition=Ready", f"pod/{self.name}", "--timeout=90s")

    def stop(self) -> None:
        self.kubectl("delete", f"pod/{self.name}", f"service/{self.name}", "--ignore-not-found")

    def received(self) -> Received:
        """All that came until now."""
        received = Received()
        for line in self.kubectl("logs", self.name).splitlines():
            path, _, data = line.partition(" ")
            received.take(path, base64.b64decode(data))
        return received

    def _service(self) -> dict[str, Any]:
        spec = {"selector": {"app": self.name}, "ports": [{"port": PORT}]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": self.name}, "spec": spec}

    def _pod(self) -> dict[str, Any]:
        container = {
            "name": "collector",
            "image": image(),
            "command": ["/opt/shardfleet/bin/python", "-c", _SERVER],
            "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        spec = {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        }
        metadata = {"name": self.name, "labels": {"app": self.name}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
