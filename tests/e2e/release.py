"""The chart's release: installed once for all tests, into a namespace that takes restricted pods alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .kubectl import REPOSITORY, Kubectl, Refused, Tools, run, say, until

SYSTEM = "shardfleet-system"
WORLDS = "shardfleet-worlds"
WORLDS_TOO = "shardfleet-worlds-too"
RELEASE = "shardfleet"
REDIS = "shardfleet-redis-0"
"""Pod of the bundled one."""
CRD = "shardfleets.shardfleet.dev"
OPERATOR_LABELS = "app.kubernetes.io/component=shardfleet-operator"


def restricted_namespace(name: str) -> dict[str, object]:
    """A namespace that refuses every pod below the Pod Security level ``restricted``."""
    labels = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": "latest",
        "shardfleet.dev/e2e": "true",
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def image() -> str:
    """The project's image, as the nodes can have it."""
    return os.environ.get("SHARDFLEET_IMAGE") or "shardfleet:dev"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The chart as installed. ``system``: kubectl in its namespace; ``worlds``: in that of the fleets."""

    tools: Tools
    system: Kubectl
    worlds: Kubectl

    @classmethod
    def of(cls, tools: Tools) -> Release:
        return cls(
            tools=tools,
            system=Kubectl(tools=tools, namespace=SYSTEM),
            worlds=Kubectl(tools=tools, namespace=WORLDS),
        )

    def helm(self, *words: str, timeout_s: float = 300) -> str:
        return run([self.tools.helm, "-n", SYSTEM, *words], timeout_s=timeout_s)

    def values(self) -> list[str]:
        repository, _, tag = image().rpartition(":")
        pairs = {
            "image.repository": repository,
            "image.tag": tag,
            "redis.persistence.size": "1Gi",
        }
        return [word for name, value in pairs.items() for word in ("--set-string", f"{name}={value}")]

    def install(self, *more: str) -> None:
        chart = str(REPOSITORY / "charts" / "shardfleet")
        say(f"helm install {RELEASE}, image {image()} {' '.join(more)}")
        self.helm("install", RELEASE, chart, *self.values(), *more, "--wait", "--timeout", "4m")
        say("installed")

    def upgrade(self, *more: str) -> None:
        chart = str(REPOSITORY / "charts" / "shardfleet")
        self.helm("upgrade", RELEASE, chart, *self.values(), *more, "--wait", "--timeout", "4m")

    def uninstall(self) -> None:
        self.helm("uninstall", RELEASE, "--wait", "--timeout", "4m")

    def is_installed(self) -> bool:
        return any(one["name"] == RELEASE for one in json.loads(self.helm("list", "--all", "-o", "json")))

    def operator_pod(self) -> str:
        """Name of the one that is ready; '' where there is none."""
        for pod in self.system.items("pods", "-l", OPERATOR_LABELS):
            ready = any(
                one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions") or ()
            )
            if ready and "deletionTimestamp" not in pod["metadata"]:
                return str(pod["metadata"]["name"])
        return ""

    def restart_redis(self) -> None:
        """The pod of the bundled Redis is deleted; another one is ready when this returns."""

        def uid() -> str:
            exists = self.system.exists("pod", REDIS)
            return str(self.system.json("get", "pod", REDIS)["metadata"]["uid"]) if exists else ""

        before = uid()
        self.system("delete", "pod", REDIS)
        until("another Redis", lambda: uid() not in ("", before), timeout_s=90)
        self.system("wait", "--for=condition=Ready", f"pod/{REDIS}", "--timeout=90s")

    def redis_restarts(self) -> int:
        """Of the bundled Redis' container."""
        return int(self.system.json("get", "pod", REDIS)["status"]["containerStatuses"][0]["restartCount"])

    def redis_keys(self, pattern: str) -> list[str]:
        """Keys in the bundled Redis, asked for from within the operator's pod."""
        code = (
            "import os, redis; r = redis.Redis.from_url(os.environ['SHARDFLEET_REDIS_URL']); "
            f"print('\\n'.join(sorted(key.decode() for key in r.scan_iter({pattern!r}, count=1000))))"
        )
        pod = until("an operator's pod", self.operator_pod, timeout_s=90)
        return self.system("exec", pod, "--", "/opt/shardfleet/bin/python", "-c", code).split()


def clear(release: Release) -> None:
    """What an interrupted run left."""
    tools = release.tools
    for namespace in (WORLDS, WORLDS_TOO):
        kubectl = Kubectl(tools=tools, namespace=namespace)
        if not kubectl.exists("namespace", namespace):
            continue
        say(f"an interrupted run left namespace {namespace}: clearing it")
        if kubectl.exists("crd", CRD):
            kubectl("delete", "shardfleets", "--all", "--wait=false")
            for fleet in kubectl.items("shardfleets") if not release.operator_pod() else []:
                patch = '{"metadata":{"finalizers":null}}'
                kubectl("patch", "sf", fleet["metadata"]["name"], "--type=merge", "-p", patch)
        kubectl("delete", "namespace", namespace, "--timeout=300s", timeout_s=320)
    if release.is_installed():
        release.uninstall()
    release.system("delete", "namespace", SYSTEM, "--ignore-not-found", "--timeout=180s", timeout_s=200)
    release.system("delete", "crd", CRD, "--ignore-not-found")


@contextmanager
def installed(release: Release) -> Iterator[Release]:
    """The chart installed, and everything of it gone afterwards, also where a test failed."""
    clear(release)
    for namespace in (SYSTEM, WORLDS):
        release.system.apply(restricted_namespace(namespace))
    try:
        release.install()
        yield release
    except Refused:
        say(release.system("get", "pods,events", "--ignore-not-found"))
        raise
    finally:
        if not os.environ.get("SHARDFLEET_E2E_KEEP"):
            clear(release)
