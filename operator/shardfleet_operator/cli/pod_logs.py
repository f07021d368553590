"""``kubectl shardfleet logs``: what the shards of a fleet say. With --follow, pods that come later are followed too."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

from shardfleet_shard.errors import UsageError

from .forward import Cluster, ClusterError, end

FLEET_LABEL, SHARD_LABEL, CONTAINER = "shardfleet.dev/fleet", "shardfleet.dev/shard", "shard"
LOOK_AGAIN_S = 2.0
"""How soon a new pod is followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """``shard`` '': all. ``tail``: lines of each shard; -1: all."""

    shard: str = ""
    follow: bool = False
    tail: int = -1


async def logs(cluster: Cluster, fleet: str, options: LogOptions) -> None:
    """Prints, line by line, 'SHARD | what it said'.

    Raises:
        UsageError: no such shard, or no pod at all.
        ClusterError: what the cluster refused.
    """
    namespace = await cluster.fleet_namespace()
    name = fleet or await cluster.only_fleet(namespace)
    selector = f"{FLEET_LABEL}={name}" + (f",{SHARD_LABEL}={options.shard}" if options.shard else "")
    pods = _begun(await cluster.pods(namespace, selector))
    if not pods and not options.follow:
        what = f"shard {options.shard} of fleet" if options.shard else "a shard of fleet"
        raise UsageError(f"no pod of {what} {name} has begun in namespace {namespace}: 'kubectl get sf,pods' says why")
    if not options.follow:
        for pod in pods:
            await _print(cluster, namespace, pod, options)
        return
    async with asyncio.TaskGroup() as tasks:
        seen: set[str] = set()
        while True:
            for pod in pods:
                uid = pod["metadata"]["uid"]
                if uid not in seen:
                    tasks.create_task(_print(cluster, namespace, pod, options))
            seen = {pod["metadata"]["uid"] for pod in pods}
            await asyncio.sleep(LOOK_AGAIN_S)
            try:
                pods = _begun(await cluster.pods(namespace, selector))
            except ClusterError as error:  # an API server that is away comes back
                print(error, file=sys.stderr, flush=True)


def _begun(pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose container has run: of the others there is nothing to show, and kubectl would say so as an error."""

    def began(pod: dict[str, Any]) -> bool:
        states = (one.get("state") or {} for one in pod.get("status", {}).get("containerStatuses") or ())
        return any("running" in state or "terminated" in state for state in states)

    return sorted(filter(began, pods), key=lambda pod: str(pod["metadata"]["name"]))


async def _print(cluster: Cluster, namespace: str, pod: dict[str, Any], options: LogOptions) -> None:
    name = pod["metadata"]["name"]
    follow = ("--follow",) if options.follow else ()
    process = await cluster.start("logs", "-n", namespace, name, "-c", CONTAINER, f"--tail={options.tail}", *follow)
    assert process.stdout is not None and process.stderr is not None
    complaint = asyncio.create_task(process.stderr.read())
    try:
        async for line in process.stdout:
            print(f"{name} | {line.decode(errors='replace').rstrip()}", flush=True)
        words = (await complaint).decode().strip()
        if await process.wait():
            if not options.follow:
                raise ClusterError(f"kubectl logs {name}: {words}")
            print(f"{name}: {words}", file=sys.stderr, flush=True)  # it may be gone already; the others go on
    finally:
        complaint.cancel()
        await end(process)
