"""A folder on every node for the traces of shards, and the way back from there.

A claim that all shards can write to, on nodes that share no storage: a hostPath volume, so each node has a folder of
its own. A privileged collector on every node opens the folder to the shards' user, hands out what is in it, and kills.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .kubectl import Kubectl, say, until
from .release import REDIS, SYSTEM, WORLDS, Release, image

COLLECTORS = "shardfleet-e2e-traces"
CLAIM = "traces"
FOLDER = "/var/lib/shardfleet-e2e-traces"
EXEC_TRIES = 3
_END = "that is all"
_LABELS = {"app": "traces"}

_FIND = (
    "import os, pathlib, subprocess, sys\n"
    "def words(path):\n"
    "    try: return path.read_bytes().decode().split('\\0')\n"
    "    except OSError: return []\n"
    "found = [int(path.parent.name) for path in pathlib.Path('/proc').glob('[0-9]*/cmdline')\n"
    "         if int(path.parent.name) != os.getpid() and set(sys.argv[1:]) <= set(words(path))]\n"
)
"""Process ids into ``found``, of those that have all words of our own command line on theirs."""


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
        # An interrupted run's volume stays bound to the claim that it had, which went with its namespace.
        self.kubectl("delete", "pv", COLLECTORS, "--ignore-not-found", timeout_s=60)
        self.kubectl.apply(_volume(), _claim(), _collector())
        until("collectors of traces on all nodes", self._all_ready, timeout_s=90)

    def _all_ready(self) -> bool:
        status = self.kubectl.json("get", "daemonset", "traces").get("status") or {}
        return bool(0 < status.get("desiredNumberScheduled", 0) == status.get("numberReady", 0))

    def collect(self, folder: Path, fleet: str) -> list[Path]:
        """All files of one fleet from all nodes into ``folder``, away from the nodes."""
        folder.mkdir(parents=True, exist_ok=True)
        command = (
            f"cd /traces && tar cf - $(ls | grep '^{fleet}-[0-9]*[.]'; echo --files-from=/dev/null) && echo '{_END}'"
        )
        for pod in self.kubectl.items("pods", "-l", "app=traces"):
            name = pod["metadata"]["name"]
            with tarfile.open(fileobj=io.BytesIO(self._output(name, command))) as archive:
                archive.extractall(folder, filter="data")
            self.kubectl("exec", name, "--", "/bin/sh", "-c", f"rm -f /traces/{fleet}-*")
        found = sorted(folder.iterdir())
        size = sum(path.stat().st_size for path in found)
        say(f"{len(found)} files of traces of {fleet}, {size / 1e6:.0f} MB")
        return found

    def _output(self, pod: str, command: str) -> bytes:
        """What ``command`` wrote before ``_END``. `kubectl exec` now and then ends before all of it has come."""
        words = [self.kubectl.tools.kubectl, "-n", COLLECTORS, "exec", pod, "--", "/bin/sh", "-c", command]
        for _ in range(EXEC_TRIES):
            done = subprocess.run(words, capture_output=True, check=True, timeout=180)
            archive, end, _ = done.stdout.rpartition(f"{_END}\n".encode())
            if end:
                return archive
            say(f"{pod}: {len(done.stdout):,} bytes of its traces came, not all; once more")
        raise AssertionError(f"{pod}: its traces were cut short {EXEC_TRIES} times")

    def kill(self, node: str, *words: str) -> None:
        """SIGKILL to the process with these words on its command line, as a machine without memory does it."""
        killed = self._run(node, _FIND + "for pid in found: os.kill(pid, 9); print(pid)", *words).split()
        assert killed, f"no process with {words} on {node}"

    def kill_operator(self, release: Release) -> None:
        """SIGKILL; the kubelet starts it again in the same pod, and it must wait until its own Lease has run out."""
        pod = until("an operator's pod", release.operator_pod, timeout_s=90)
        say(f"SIGKILL to {pod}")
        node = release.system.json("get", "pod", pod)["spec"]["nodeName"]
        self.kill(node, "operator", f"--lease-namespace={SYSTEM}")

    def pause_api_server(self, seconds: int, *, after_s: int) -> None:
        """SIGSTOP soon, SIGCONT after a while: requests and watches hang, and nobody is told why."""
        script = f"sleep {after_s}; kill -STOP {{0}}; sleep {seconds}; kill -CONT {{0}}"
        self._detached(self._control_plane(), script, "kube-apiserver")

    def kill_redis(self, release: Release) -> None:
        """SIGKILL; the kubelet starts it again on its data. It takes requests again when this returns."""
        pod = release.system.json("get", "pod", REDIS)
        before = release.redis_restarts()
        say(f"SIGKILL to {REDIS}")
        self.kill(pod["spec"]["nodeName"], "valkey-server *:6379")
        until("Redis begins again", lambda: release.redis_restarts() > before, timeout_s=90)
        release.system("wait", "--for=condition=Ready", f"pod/{REDIS}", "--timeout=90s")

    def stop_kubelet(self, node: str, seconds: int, *, shard: str, stop_s: int = 0) -> float:
        """SIGSTOP to the kubelet, SIGCONT after so long, and meanwhile nobody tells what becomes of a shard there.

        Args:
            shard: gets a SIGKILL; or, with ``stop_s``, a SIGSTOP, and after so long a SIGCONT. If it has ended when the
                kubelet goes on, a file SHARD.ended is among its traces.
        Returns:
            When the shard gets it, Unix seconds.
        """
        found = " ".join(self._run(node, _FIND + "print(*found)", "shard", "--shard", shard).split())
        assert found, f"no shard {shard} on {node}"
        strike = f"kill -STOP {found}; sleep {stop_s}; kill -CONT {found}" if stop_s else f"kill -KILL {found}"
        look = f"kill -0 {found} || touch /traces/{shard}.ended"
        script = f"sleep 1; kill -STOP {{0}}; sleep 1; {strike}; sleep {seconds - stop_s}; {look}; kill -CONT {{0}}"
        self._detached(node, script, "/usr/bin/kubelet")
        return time.time() + 2

    def audit_log(self) -> str:
        """What the API server wrote down of the operator's requests; '' where it keeps no such log."""
        code = "import pathlib, sys\nfor log in pathlib.Path('/proc/1/root/var/log/kubernetes').glob('audit*.log'): "
        return self._run(self._control_plane(), code + "sys.stdout.write(log.read_text())")

    def _control_plane(self) -> str:
        nodes = self.kubectl.items("nodes", "-l", "node-role.kubernetes.io/control-plane")
        assert nodes, "this cluster shows no control plane among its nodes"
        return str(nodes[0]["metadata"]["name"])

    def _detached(self, node: str, script: str, *words: str) -> None:
        """A shell script on a node that goes on by itself; {0} is the process with these words on its command line."""
        code = _FIND + (
            f"assert found, 'no {words[0]}'\n"
            f"script = {script!r}.format(found[0])\n"
            "quiet = subprocess.DEVNULL\n"
            "subprocess.Popen(['sh', '-c', script], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)\n"
        )
        self._run(node, code, *words)

    def _run(self, node: str, code: str, *words: str) -> str:
        """Python as root among all processes of a node."""
        (pod,) = self.kubectl.items("pods", "-l", "app=traces", "--field-selector", f"spec.nodeName={node}")
        return self.kubectl("exec", pod["metadata"]["name"], "--", "/opt/shardfleet/bin/python", "-c", code, *words)

    def close(self) -> None:
        """The nodes' folders are emptied, and all objects go."""
        for pod in self.kubectl.items("pods", "-l", "app=traces"):
            self.kubectl("exec", pod["metadata"]["name"], "--", "/bin/sh", "-c", "rm -rf /traces/*")
        self.kubectl("delete", "namespace", COLLECTORS, "--ignore-not-found", timeout_s=120)
        self.kubectl("-n", WORLDS, "delete", "pvc", CLAIM, "--ignore-not-found")
        self.kubectl("delete", "pv", COLLECTORS, "--ignore-not-found", timeout_s=60)
