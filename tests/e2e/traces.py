"""A folder on every node for the traces of shards, and the way back from there.

A claim that all shards can write to, on nodes that share no storage: a hostPath volume, so each node has a folder of
its own. A privileged collector on every node opens the folder to the shards' user, hands out what is in it, and kills.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .kubectl import Kubectl, say, until
from .release import WORLDS, image

COLLECTORS = "shardfleet-e2e-traces"
CLAIM = "traces"
FOLDER = "/var/lib/shardfleet-e2e-traces"
_LABELS = {"app": "traces"}


def _volume() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": COLLECTORS},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": COLLECTORS,
            "claimRef": {"namespace": WORLDS, "name": CLAIM},
            "hostPath": {"path": FOLDER, "type": "DirectoryOrCreate"},
        },
    }


def _claim() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": WORLDS},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": COLLECTORS,
            "volumeName": COLLECTORS,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def _collector() -> dict[str, Any]:
    container = {
        "name": "traces",
        "image": image(),
        "command": ["/bin/sh", "-c", "rm -rf /traces/*; chmod 0777 /traces; touch /tmp/open; exec sleep 1000000"],
        "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/open"]}, "periodSeconds": 1},
        "securityContext": {"runAsUser": 0, "privileged": True},
        "volumeMounts": [{"name": "traces", "mountPath": "/traces"}],
    }
    spec = {
        "hostPID": True,  # to kill a shard's process, which its own container does not let anybody do
        "terminationGracePeriodSeconds": 0,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "traces", "hostPath": {"path": FOLDER, "type": "DirectoryOrCreate"}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "traces", "namespace": COLLECTORS},
        "spec": {
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": spec},
        },
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """The claim ``traces`` in the namespace of the fleets."""

    kubectl: Kubectl
    """In the collectors' namespace."""

    def open(self) -> None:
        """Ready to be written to when this returns."""
        labels = {"pod-security.kubernetes.io/enforce": "privileged"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": COLLECTORS, "labels": labels}}
        self.kubectl.apply(namespace)
        self.kubectl.apply(_volume(), _claim(), _collector())
        until("collectors of traces on all nodes", self._all_ready, timeout_s=90)

    def _all_ready(self) -> bool:
        status = self.kubectl.json("get", "daemonset", "traces").get("status") or {}
        return bool(0 < status.get("desiredNumberScheduled", 0) == status.get("numberReady", 0))

    def collect(self, folder: Path, fleet: str) -> list[Path]:
        """All files of one fleet from all nodes into ``folder``, away from the nodes."""
        folder.mkdir(parents=True, exist_ok=True)
        command = f"cd /traces && tar cf - $(ls | grep '^{fleet}-[0-9]*[.]'; echo --files-from=/dev/null)"
        for pod in self.kubectl.items("pods", "-l", "app=traces"):
            name = pod["metadata"]["name"]
            words = [self.kubectl.tools.kubectl, "-n", COLLECTORS, "exec", name, "--", "/bin/sh", "-c", command]
            done = subprocess.run(words, capture_output=True, check=True, timeout=180)
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
                archive.extractall(folder, filter="data")
            self.kubectl("exec", name, "--", "/bin/sh", "-c", f"rm -f /traces/{fleet}-*")
        found = sorted(folder.iterdir())
        size = sum(path.stat().st_size for path in found)
        say(f"{len(found)} files of traces of {fleet}, {size / 1e6:.0f} MB")
        return found

    def kill(self, node: str, shard: str) -> None:
        """SIGKILL to a shard's process, as a machine without memory does it."""
        code = (
            "import os, pathlib, sys\n"
            "for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
            "    try: words = path.read_bytes().decode().split('\\0')\n"
            "    except OSError: continue\n"
            "    if '--shard' in words and sys.argv[1] in words and 'shard' in words:\n"
            "        os.kill(int(path.parent.name), 9); print(path.parent.name)\n"
        )
        (pod,) = self.kubectl.items("pods", "-l", "app=traces", "--field-selector", f"spec.nodeName={node}")
        words = ("--", "/opt/shardfleet/bin/python", "-c", code, shard)
        killed = self.kubectl("exec", pod["metadata"]["name"], *words).split()
        assert killed, f"no process of {shard} on {node}"

    def close(self) -> None:
        """The nodes' folders are emptied, and all objects go."""
        for pod in self.kubectl.items("pods", "-l", "app=traces"):
            self.kubectl("exec", pod["metadata"]["name"], "--", "/bin/sh", "-c", "rm -rf /traces/*")
        self.kubectl("delete", "namespace", COLLECTORS, "--ignore-not-found", timeout_s=120)
        self.kubectl("-n", WORLDS, "delete", "pvc", CLAIM, "--ignore-not-found")
        self.kubectl("delete", "pv", COLLECTORS, "--ignore-not-found", timeout_s=60)
