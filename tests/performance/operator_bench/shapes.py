"""One measurement: fleets of one shape, from nothing to Ready, at rest, with shards killed, and gone again."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.servers import RedisServer

from ..bench import processes
from ..bench.fleet import BenchmarkError
from .access import DRIVER, OPERATOR
from .control_plane import ControlPlane, Programs, Server
from .observer import by_kind, lists_between, read_calls, request_counts, writes
from .operator_run import OperatorRun
from .plan_time import plan_ms

NAMESPACE = "default"
FLEETS = f"/apis/shardfleet.dev/v1alpha1/namespaces/{NAMESPACE}/shardfleets"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LEASE_MS, PUBLISH_MS = 20_000, 5_000
"""Slower than the defaults, so that the stand-in for a thousand processes on as many machines is a small load here."""
POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """``fleets`` of ``shards`` each. ``label`` ends the figures' names; ``at_rest_s``: how long rest is measured."""

    label: str
    fleets: int
    shards: int
    at_rest_s: float
    timeout_s: float

    @property
    def all_shards(self) -> int:
        return self.fleets * self.shards


ONE_LARGE = Shape(label="large", fleets=1, shards=1_000, at_rest_s=30.0, timeout_s=600.0)
MANY_SMALL = Shape(label="many", fleets=200, shards=4, at_rest_s=30.0, timeout_s=600.0)
QUICK_LARGE = Shape(label="large", fleets=1, shards=50, at_rest_s=5.0, timeout_s=180.0)
QUICK_MANY = Shape(label="many", fleets=10, shards=4, at_rest_s=5.0, timeout_s=180.0)


def fleet_object(name: str, shards: int) -> dict[str, Any]:
    """All that is not said is the default."""
    return {
        "apiVersion": "shardfleet.dev/v1alpha1",
        "kind": "ShardFleet",
        "metadata": {"name": name},
        "spec": {
            "replicas": shards,
            "world": {"min": [-4096, -4096], "max": [4096, 4096]},
            "lease": f"{LEASE_MS}ms",
            "telemetry": {"interval": f"{PUBLISH_MS}ms"},
        },
    }


def measure(shape: Shape, programs: Programs, folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """One run. Returns the figures by name, and what belongs to them: calls by verb and resource, everybody's CPU time.

    Raises:
        BenchmarkError: something did not start, or did not come to rest in ``shape.timeout_s``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with _world(shape, programs, folder) as world:
        run = _Run(shape, world)
        run.converge()
        run.rest()
        run.kill()
        run.delete()
    shutil.rmtree(folder)
    figures = {f"{name}_{shape.label}": value for name, value in run.figures.items()}
    return figures, run.details


@dataclass(frozen=True, slots=True)
class _World:
    """What runs during a measurement. ``pids``: of all of it, by name."""

    plane: ControlPlane
    operator: OperatorRun
    driver: Server
    pids: dict[str, int]


@contextmanager
def _world(shape: Shape, programs: Programs, folder: Path) -> Iterator[_World]:
    """Everything that runs."""
    with ExitStack() as stack:
        # What the disk can do is not the question here; the shards' own benchmark asks that.
        redis = stack.enter_context(RedisServer("valkey", tcp=True, options=["--appendfsync", "everysec"]))
        plane = stack.enter_context(ControlPlane(programs, folder, pods=shape.all_shards))
        arguments = ["--kubeconfig", str(plane.kubeconfig(DRIVER)), "--redis", redis.url]
        arguments += ["--lease-ms", str(LEASE_MS), "--publish-ms", str(PUBLISH_MS)]
        command = [sys.executable, "-m", "tests.performance.operator_bench.driver", *arguments]
        driver = Server("driver", command, folder)
        stack.callback(driver.stop)
        operator = OperatorRun(folder, plane.kubeconfig(OPERATOR), redis.url)
        stack.callback(operator.stop)
        operator.wait_until_it_acts()
        assert redis.process is not None
        own = {"operator": operator.server.pid, "driver": driver.pid, "redis": redis.process.pid}
        yield _World(plane, operator, driver, {**plane.pids, **own})


class _Run:
    """The phases, each of which adds to ``figures`` (without the shape's label) and ``details``."""

    def __init__(self, shape: Shape, world: _World) -> None:
        self.figures: dict[str, float] = {}
        self.details: dict[str, Any] = {}
        self._shape = shape
        self._world = world
        self._plane = world.plane
        self._operator = world.operator
        self._born_s = 0.0

    def converge(self) -> None:
        """All fleets at once, until each says Available with every pod ready."""
        time.sleep(3.0)  # whoever has just started has its first lists behind it
        admin, shape = self._plane.admin, self._shape
        before, cpu_before = request_counts(admin.text("/metrics")), self._cpu_s()
        self._born_s = start_s = time.time()
        for number in range(shape.fleets):
            admin.create(FLEETS, fleet_object(f"f{number}", shape.shards))
        self._wait("the fleets are not Available", lambda: all(map(self._is_well, self._fleets())))
        end_s = time.time()
        cpu = {name: round(cpu_s - cpu_before[name], 2) for name, cpu_s in self._cpu_s().items()}
        everybody = request_counts(admin.text("/metrics")) - before
        calls = by_kind(list(read_calls(self._plane.audit_log)), start_s, end_s)
        self.figures |= {
            "converge_s": end_s - start_s,
            "api_writes_per_shard": writes(everybody) / shape.all_shards,
            "operator_writes_per_shard": writes(calls) / shape.all_shards,
            "operator_reads_per_shard": calls.total() / shape.all_shards - writes(calls) / shape.all_shards,
            "operator_cpu_s": cpu["operator"],
            "memory_mb_peak": self._operator.usage().memory_mb_peak,
            "plan_ms": plan_ms(shape.shards),
        }
        self._add_lists("converge", start_s, end_s)
        self.details |= {
            "operator_calls": _named(calls),
            "writes_of_all_clients": _named({key: n for key, n in everybody.items() if writes({key: n})}),
            "cpu_s": cpu,
        }

    def rest(self) -> None:
        """Nothing happens."""
        time.sleep(5.0)
        before, start_s = self._operator.usage(), time.time()
        time.sleep(self._shape.at_rest_s)
        after, end_s = self._operator.usage(), time.time()
        calls = by_kind(list(read_calls(self._plane.audit_log)), start_s, end_s)
        self.figures |= {
            "rest_cpu_percent": (after.cpu_s - before.cpu_s) / (end_s - start_s) * 100,
            "rest_calls_per_s": calls.total() / (end_s - start_s),
            "memory_mb": after.memory_mb,
        }
        self.details["calls_at_rest"] = _named(calls)
        self._add_lists("rest", start_s, end_s)

    def kill(self) -> None:
        """One shard of a hundred, or one at least, ends as by kill -9, until each has a pod that is ready again."""
        pods = self._plane.admin.get(f"{PODS}?limit={max(1, self._shape.all_shards // 100)}")["items"]
        start_s = time.time()
        for pod in pods:
            self._plane.admin.patch(f"{PODS}/{pod['metadata']['name']}/status", _killed(pod))
        old = {pod["metadata"]["uid"] for pod in pods}
        names = [pod["metadata"]["name"] for pod in pods]

        def are_ready() -> bool:
            found = {pod["metadata"]["name"]: pod for pod in self._plane.admin.get(PODS)["items"]}
            new = [found[name] for name in names if name in found and found[name]["metadata"]["uid"] not in old]
            return len(new) == len(names) and all(map(_is_ready, new))

        self._wait("killed shards have no ready pod", are_ready)
        self._wait("the fleets are not Available again", lambda: all(map(self._is_well, self._fleets())))
        end_s = time.time()
        calls = by_kind(list(read_calls(self._plane.audit_log)), start_s, end_s)
        self.figures |= {"again_s": end_s - start_s, "writes_per_killed_shard": writes(calls) / len(pods)}
        self.details["calls_after_kill"] = _named(calls)
        self._add_lists("kill", start_s, end_s)

    def delete(self) -> None:
        """All fleets, until the last finalizer is gone. What they own would be the garbage collector's; none runs."""
        start_s = time.time()
        for fleet in self._fleets():
            self._plane.admin.delete(f"{FLEETS}/{fleet['metadata']['name']}")
        self._wait("the fleets are not gone", lambda: not self._fleets())
        end_s = time.time()
        self.figures["delete_s"] = end_s - start_s
        self.figures["memory_mb_peak"] = self._operator.usage().memory_mb_peak
        self._add_lists("delete", start_s, end_s)

    # --- inside ------------------------------------------------------------------------------------------------

    def _fleets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._plane.admin.get(FLEETS)["items"]
        return found

    def _is_well(self, fleet: dict[str, Any]) -> bool:
        status = fleet.get("status") or {}
        available = {"type": "Available", "status": "True"}
        is_available = any(available.items() <= one.items() for one in status.get("conditions") or ())
        return is_available and status.get("readyReplicas") == self._shape.shards

    def _wait(self, what: str, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._shape.timeout_s
        while not true():
            self._operator.server.fail_if_ended()
            self._world.driver.fail_if_ended()
            if time.monotonic() > deadline:
                where = f"logs are in {self._plane.folder}"
                raise BenchmarkError(f"{what} after {self._shape.timeout_s:.0f} s; {self._trouble()}; {where}")
            time.sleep(POLL_S)

    def _trouble(self) -> str:
        """What the first fleet that is not well says of itself."""
        for fleet in self._fleets():
            if not self._is_well(fleet):
                said = [one["message"] for one in fleet.get("status", {}).get("conditions") or ()][:3]
                return f"{fleet['metadata']['name']}: {' '.join(said) or 'no conditions yet'}"
        return "all say that they are well"

    def _cpu_s(self) -> dict[str, float]:
        used = {process.pid: process.cpu_s for process in processes.table()}
        return {name: used.get(pid, 0.0) for name, pid in self._world.pids.items()}

    def _add_lists(self, phase: str, start_s: float, end_s: float) -> None:
        lists = lists_between(list(read_calls(self._plane.audit_log)), start_s, end_s, self._born_s)
        self.details.setdefault("lists", {})[phase] = {"resyncs": lists.resyncs, "others": lists.others}
        for name, count in (("lists_by_event", lists.others), ("lists_by_resync", lists.resyncs)):
            self.figures[name] = self.figures.get(name, 0) + count


def _named(counts: Any) -> dict[str, int]:
    """By 'verb resource', most first: JSON has no tuples for keys."""
    return {f"{verb} {resource}": n for (verb, resource), n in sorted(counts.items(), key=lambda item: -item[1])}


def _killed(pod: dict[str, Any]) -> dict[str, Any]:
    """What a kubelet writes when a container was killed."""
    container = pod["status"]["containerStatuses"][0]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    started = container["state"]["running"]["startedAt"]
    ended = {"exitCode": 137, "reason": "Error", "startedAt": started, "finishedAt": now}
    container = {**container, "ready": False, "started": False, "state": {"running": None, "terminated": ended}}
    conditions = [{"type": "Ready", "status": "False", "reason": "PodFailed"}]
    return {"status": {"phase": "Failed", "conditions": conditions, "containerStatuses": [container]}}


def _is_ready(pod: dict[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions") or ())
