"""A cluster in this process: an API server with the parts that the operator relies on, and a kubelet.

The API server keeps objects with uids and versions, applies, merges, deletes with finalizers, and tells its listeners
of every change. The kubelet runs a real shard process for each pod, with the pod's own arguments, an address of its own
and the Secrets that the pod names; all pods share one folder for traces. What an API server refuses is refused here too
where a test says so (``refuse``).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shardfleet_operator.kube import PODS, ApiError, ApiUnavailable, Kind, KubeObject
from shardfleet_operator.kube.kinds import kind_of

Key = tuple[str, str, str]
OnEvent = Callable[[str, KubeObject], None]


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class FakeCluster:
    """A ``KubeApi``. ``calls`` counts by (verb, kind)."""

    def __init__(self, folder: Path | None = None) -> None:
        self.objects: dict[Key, KubeObject] = {}
        self.listeners: list[OnEvent] = []
        self.calls: dict[tuple[str, str], int] = {}
        self.away = False
        """Nothing is answered, and nobody is told of anything; see ``come_back``."""
        self.refuse: Callable[[str, KubeObject], str | None] = lambda verb, body: None
        self.lost_events: Callable[[str, KubeObject], bool] = lambda kind, body: False
        self.before_call: Callable[[str, Kind], None] = lambda verb, kind: None
        """May raise what an API server answers."""
        self.changes = 0
        """Of any object, by anybody."""
        self.kubelet = Kubelet(self, folder) if folder is not None else None
        self._uids = itertools.count(1)
        self._versions = itertools.count(1)

    # --- KubeApi -----------------------------------------------------------------------------------------------

    async def get(self, kind: Kind, namespace: str, name: str) -> KubeObject | None:
        self._called("get", kind)
        return copy.deepcopy(self.objects.get((kind.kind, namespace, name)))

    async def list(self, kind: Kind, namespace: str, *, labels: str = "") -> list[KubeObject]:
        self._called("list", kind)
        label, _, value = labels.partition("=")
        return [
            copy.deepcopy(body)
            for (of_kind, where, _), body in sorted(self.objects.items())
            if of_kind == kind.kind and where == namespace and body["metadata"].get("labels", {}).get(label) == value
        ]

    async def create(self, body: KubeObject) -> KubeObject:
        kind = kind_of(body)
        self._called("create", kind)
        key = self._key(body)
        if key in self.objects:
            raise ApiError("create", status=409, reason="AlreadyExists", message="already exists")
        return self._made("create", body)

    async def apply(self, body: KubeObject) -> KubeObject:
        self._called("apply", kind_of(body))
        before = self.objects.get(self._key(body))
        if before is None:
            return self._made("apply", body)
        return self._changed(before, _merged(before, body))

    async def merge(
        self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str = ""
    ) -> KubeObject:
        self._called(f"patch {subresource}".strip(), kind)
        before = self._found(kind, namespace, name)
        version = patch.get("metadata", {}).get("resourceVersion")
        if version is not None and version != before["metadata"]["resourceVersion"]:
            raise ApiError("patch", status=409, reason="Conflict", message="the object has been modified")
        return self._changed(before, _merged(before, patch))

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str = "") -> KubeObject | None:
        self._called("delete", kind)
        before = self.objects.get((kind.kind, namespace, name))
        if before is None or (uid and before["metadata"]["uid"] != uid):
            return None
        return self.delete_now(before)

    # --- what people and controllers do ------------------------------------------------------------------------

    def delete_now(self, before: KubeObject, *, force: bool = False) -> KubeObject | None:
        """As kubectl delete: marks what has finalizers or a running pod, removes the rest."""
        has_process = before["kind"] == PODS.kind and before["spec"].get("nodeName") and not _has_ended(before)
        if not force and (before["metadata"].get("finalizers") or has_process):
            if "deletionTimestamp" in before["metadata"]:
                return copy.deepcopy(before)
            return self._changed(before, _merged(before, {"metadata": {"deletionTimestamp": now()}}))
        self.remove(before)
        return None

    def remove(self, body: KubeObject) -> None:
        """Takes an object away, and what it owns."""
        if self.objects.pop(self._key(body), None) is None:
            return
        self._tell("DELETED", body)
        for owned in list(self.objects.values()):
            if any(owner["uid"] == body["metadata"]["uid"] for owner in owned["metadata"].get("ownerReferences", ())):
                self.delete_now(owned)

    def put(self, body: KubeObject) -> KubeObject:
        """As kubectl apply by a person: a new generation where the spec changed."""
        before = self.objects.get(self._key(body))
        if before is None:
            body = copy.deepcopy(body)
            body["metadata"]["generation"] = 1
            return self._made("apply", body)
        changed = _merged(before, body)
        if changed["spec"] != before["spec"]:
            changed["metadata"]["generation"] += 1
        return self._changed(before, changed)

    def patch_status(self, body: KubeObject, status: Mapping[str, Any]) -> None:
        key = self._key(body)
        if key in self.objects and self.objects[key]["metadata"]["uid"] == body["metadata"]["uid"]:
            self._changed(self.objects[key], _merged(self.objects[key], {"status": status}))

    def of_kind(self, kind: Kind) -> dict[str, KubeObject]:
        return {name: body for (of, _, name), body in sorted(self.objects.items()) if of == kind.kind}

    def come_back(self) -> None:
        """As a watch that begins anew does, tells what is there, and nothing of what went meanwhile."""
        self.away = False
        for body in list(self.objects.values()):
            self._tell("", body)

    # --- inside ------------------------------------------------------------------------------------------------

    def _called(self, verb: str, kind: Kind) -> None:
        if self.away:
            raise ApiUnavailable(verb, "connection refused")
        self.before_call(verb, kind)
        self.calls[verb, kind.kind] = self.calls.get((verb, kind.kind), 0) + 1

    @staticmethod
    def _key(body: Mapping[str, Any]) -> Key:
        return body["kind"], body["metadata"]["namespace"], body["metadata"]["name"]

    def _found(self, kind: Kind, namespace: str, name: str) -> KubeObject:
        found = self.objects.get((kind.kind, namespace, name))
        if found is None:
            raise ApiError("patch", status=404, reason="NotFound", message=f"{kind.plural} {name!r} not found")
        return found

    def _made(self, verb: str, body: KubeObject) -> KubeObject:
        refused = self.refuse(verb, body)
        if refused:
            raise ApiError(verb, status=403, reason="Forbidden", message=refused)
        made = copy.deepcopy(body)
        made["metadata"] |= {
            "uid": f"uid-{next(self._uids)}",
            "resourceVersion": str(next(self._versions)),
            "creationTimestamp": now(),
        }
        self.objects[self._key(made)] = made
        self._tell("ADDED", made)
        if self.kubelet is not None and made["kind"] == PODS.kind:
            self.kubelet.take(made)
        return copy.deepcopy(made)

    def _changed(self, before: KubeObject, after: KubeObject) -> KubeObject:
        if after == before:
            return copy.deepcopy(before)
        after["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[self._key(after)] = after
        self._tell("MODIFIED", after)
        if "deletionTimestamp" in after["metadata"]:
            if after["kind"] == PODS.kind:
                if self.kubelet is not None and "deletionTimestamp" not in before["metadata"]:
                    self.kubelet.stop(after)
            elif not after["metadata"].get("finalizers"):
                self.remove(after)
        return copy.deepcopy(after)

    def _tell(self, event: str, body: KubeObject) -> None:
        self.changes += event != ""
        if not self.away and not self.lost_events(event, body):
            for listener in self.listeners:
                listener(event, copy.deepcopy(body))


def _has_ended(pod: KubeObject) -> bool:
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def _merged(before: Any, patch: Any) -> Any:
    """JSON merge patch; good enough for apply, whose lists the operator owns whole."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(copy.deepcopy(before)) if isinstance(before, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


class Kubelet:
    """Runs pods as processes of this machine; each has a loopback address of its own."""

    def __init__(self, cluster: FakeCluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.image_fault = ""
        self.images: dict[str, Path] = {}
        """An image's name -> a folder with the packages that it brings along."""

    def take(self, pod: KubeObject) -> None:
        task = asyncio.get_running_loop().create_task(self._run(pod))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def stop(self, pod: KubeObject) -> None:
        process = self.processes.get(pod["metadata"]["uid"])
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        elif not pod["spec"].get("nodeName"):
            self.cluster.remove(pod)

    def kill(self, shard: str) -> None:
        for (kind, _, name), body in self.cluster.objects.items():
            if kind == PODS.kind and name == shard:
                self.processes[body["metadata"]["uid"]].kill()

    async def close(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        # Not canceled before they have ended: what asyncio keeps of a process would outlive its loop.
        await asyncio.gather(*(process.wait() for process in self.processes.values()))
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _run(self, pod: KubeObject) -> None:
        uid, container = pod["metadata"]["uid"], pod["spec"]["containers"][0]
        if self.image_fault:
            waiting = {"reason": "ImagePullBackOff", "message": self.image_fault}
            self._status(pod, "Pending", {"waiting": waiting})
            return
        number = int(uid.removeprefix("uid-"))
        address = f"127.1.{number // 250}.{2 + number % 250}"
        current = self.cluster.objects[self.cluster._key(pod)]
        self.cluster._changed(current, _merged(current, {"spec": {"nodeName": "node"}}))
        folder = self.folder / uid
        folder.mkdir(parents=True)
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command(pod, container, folder, address),
                env={**os.environ, **self._environment(pod, container), **self._packages(container["image"])},
                stdout=log,
                stderr=log,
            )
        self.processes[uid] = process
        started = now()
        running = {"running": {"startedAt": started}}
        self._status(pod, "Running", running, address=address)
        ready = asyncio.create_task(self._ready(pod, running, address))
        try:
            code = await process.wait()
        finally:
            ready.cancel()
        words = (folder / "log").read_text().strip().splitlines()
        ended = {"exitCode": code if code >= 0 else 128 - code, "startedAt": started, "finishedAt": now()}
        ended |= {"reason": "Completed" if code == 0 else "Error", "message": words[-1] if words else ""}
        self._status(pod, "Succeeded" if code == 0 else "Failed", {"terminated": ended}, address=address)
        current = self.cluster.objects.get(self.cluster._key(pod), {})
        if "deletionTimestamp" in current.get("metadata", {}) and current["metadata"]["uid"] == uid:
            self.cluster.remove(current)

    async def _ready(self, pod: KubeObject, running: Mapping[str, Any], address: str) -> None:
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        seen = False
        async with grpc.aio.insecure_channel(f"{address}:7001") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="shardfleet.v1.Handoff")
            while True:
                try:
                    reply = await stub.Check(request, timeout=1)
                    is_ready = reply.status == health_pb2.HealthCheckResponse.SERVING
                except grpc.aio.AioRpcError:
                    is_ready = False
                if is_ready != seen:
                    seen = is_ready
                    self._status(pod, "Running", running, address=address, ready=seen)
                await asyncio.sleep(0.1)

    def _command(self, pod: KubeObject, container: KubeObject, folder: Path, address: str) -> list[str]:
        for volume in pod["spec"]["volumes"]:
            key = ("ConfigMap", pod["metadata"]["namespace"], volume.get("configMap", {}).get("name", ""))
            if key in self.cluster.objects:
                for name, text in self.cluster.objects[key]["data"].items():
                    (folder / name).write_text(text)
        for volume in pod["spec"]["volumes"]:
            key = ("Secret", pod["metadata"]["namespace"], volume.get("secret", {}).get("secretName", ""))
            if key in self.cluster.objects:
                (folder / volume["name"]).mkdir()
                for name, text in self.cluster.objects[key]["data"].items():
                    (folder / volume["name"] / name).write_bytes(base64.b64decode(text))
        words = [word.replace("$(POD_IP)", address).replace("0.0.0.0", address) for word in container["args"]]
        words = [str(folder / Path(word).name) if word.startswith("/etc/") else word for word in words]
        words = [str(self.folder / "trace") if word.startswith("/var/") else word for word in words]
        assert words.pop(0) == "shard"
        return [sys.executable, "-m", "shardfleet_shard.process", *words]

    def _environment(self, pod: KubeObject, container: KubeObject) -> dict[str, str]:
        result = {}
        for variable in container["env"]:
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                secret = self.cluster.objects["Secret", pod["metadata"]["namespace"], reference["name"]]
                result[variable["name"]] = base64.b64decode(secret["data"][reference["key"]]).decode()
            elif "value" in variable:
                result[variable["name"]] = variable["value"]
        return result

    def _packages(self, image: str) -> dict[str, str]:
        folders = [str(self.images[image])] if image in self.images else []
        return {"PYTHONPATH": os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])}

    def _status(
        self, pod: KubeObject, phase: str, state: Mapping[str, Any], *, address: str = "", ready: bool = False
    ) -> None:
        self.cluster.patch_status(
            pod,
            {
                "phase": phase,
                "podIP": address or None,
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                "containerStatuses": [{"name": "shard", "state": dict(state)}],
            },
        )


def fleet(name: str = "arena", namespace: str = "play", **spec: Any) -> KubeObject:
    """A ShardFleet as a person writes it, small and quick."""
    return {
        "apiVersion": "shardfleet.dev/v1alpha1",
        "kind": "ShardFleet",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 2,
            "simulation": {"name": "orbit", "seedEntities": 50},
            **json.loads(json.dumps(spec)),
        },
    }
