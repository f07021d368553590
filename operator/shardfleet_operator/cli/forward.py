"""``kubectl`` as a subprocess: it knows every way to log in to a cluster, and whoever runs a plugin has it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from shardfleet_shard.errors import ShardfleetError, UsageError

KUBECTL = "kubectl"
OPERATOR_SELECTOR = "app.kubernetes.io/name=shardfleet,app.kubernetes.io/component=shardfleet-operator"
INSPECTION_PORT = 8081
"""On the loopback of the operator's pod, as the chart says."""
MAP_PORT = 8090
"""Of the map's pod."""
TIMEOUT_S = 20.0
END_S = 2.0
MAX_OUTPUT = 64 * 2**20

_FORWARDING = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) ->")


class ClusterError(ShardfleetError):
    """The cluster, or kubectl, said no; its own words."""

    code = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Which cluster, and as whom; '' leaves it to the kubeconfig."""

    kubeconfig: str = ""
    context: str = ""
    user: str = ""
    namespace: str = ""
    operator_namespace: str = ""

    @property
    def arguments(self) -> list[str]:
        given = (("--kubeconfig", self.kubeconfig), ("--context", self.context), ("--as", self.user))
        return [f"{option}={value}" for option, value in given if value]

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Raises ``UsageError`` where there is no kubectl."""
        pipe = asyncio.subprocess.PIPE
        command = (KUBECTL, *self.arguments, *arguments)
        try:
            return await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, limit=MAX_OUTPUT
            )
        except OSError as error:
            raise UsageError(
                f"{KUBECTL} is not on the PATH ({error.strerror}): install it, see "
                "https://kubernetes.io/docs/tasks/tools"
            ) from error

    async def run(self, *arguments: str) -> str:
        """What kubectl prints. Raises ``ClusterError`` with its words."""
        process = await self.start(*arguments)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                output, errors = await process.communicate()
        except TimeoutError:
            raise ClusterError(f"{KUBECTL} {arguments[0]}: no answer within {TIMEOUT_S:.0f} s") from None
        finally:
            await end(process)
        if process.returncode:
            raise ClusterError(f"{KUBECTL} {arguments[0]}: {errors.decode().strip() or f'exit {process.returncode}'}")
        return output.decode()

    async def fleet_namespace(self) -> str:
        """The one that was given, else the context's, else default."""
        return (
            self.namespace
            or (await self.run("config", "view", "--minify", "-o", "jsonpath={..namespace}"))
            or "default"
        )

    async def only_fleet(self, namespace: str) -> str:
        """The name of the only fleet there. Raises ``UsageError`` where there are none or several."""
        listed = await self.run("get", "shardfleets.shardfleet.dev", "-n", namespace, "-o", "name")
        names = [line.rpartition("/")[2] for line in listed.split()]
        if len(names) != 1:
            found = f"{len(names)} fleets ({', '.join(names)})" if names else "no fleet"
            raise UsageError(f"namespace {namespace} has {found}: name one, or another namespace with -n")
        return names[0]

    async def pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """'' for all namespaces."""
        where = ("-n", namespace) if namespace else ("--all-namespaces",)
        found = json.loads(await self.run("get", "pods", *where, "-l", selector, "-o", "json"))
        return list(found["items"])

    async def operator_pod(self) -> tuple[str, str]:
        """(namespace, name) of the operator that acts.

        Raises:
            UsageError: none is found.
            ClusterError: pods may not be listed there.
        """
        try:
            pods = await self.pods(self.operator_namespace, OPERATOR_SELECTOR)
        except ClusterError as error:
            hint = (
                ""
                if self.operator_namespace
                else "; if you may only look into its namespace, name that one with --operator-namespace"
            )
            raise ClusterError(f"the operator was not found: {error}{hint}") from error
        ready = sorted((pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in pods if _is_ready(pod))
        where = f"namespace {self.operator_namespace}" if self.operator_namespace else "this cluster"
        if not ready:
            state = "is not ready" if pods else "was not found: install the chart"
            raise UsageError(f"the operator in {where} {state}")
        namespaces = sorted({namespace for namespace, _ in ready})
        if len(namespaces) > 1:
            raise UsageError(f"operators in namespaces {', '.join(namespaces)}: choose one with --operator-namespace")
        return ready[0]

    async def map_pod(self, namespace: str, selector: str) -> str:
        """Name of the live map's pod. Raises ``UsageError`` where none is ready, and ``ClusterError``."""
        pods = await self.pods(namespace, selector)
        ready = sorted(pod["metadata"]["name"] for pod in pods if _is_ready(pod))
        if not ready:
            raise UsageError(
                f"the map's pod in namespace {namespace} is not {'ready' if pods else 'there'}: ask again; if it stays "
                f"so, 'kubectl get events -n {namespace}' may say why"
            )
        return str(ready[0])

    @contextlib.asynccontextmanager
    async def forwarded(self) -> AsyncIterator[str]:
        """The URL at which the operator's inspection port is to be had meanwhile.

        Raises:
            ClusterError: the forward is refused, or does not come up.
        """
        namespace, pod = await self.operator_pod()
        async with self.forward(namespace, pod, INSPECTION_PORT) as (url, _):
            yield url

    @contextlib.asynccontextmanager
    async def forward(
        self, namespace: str, pod: str, port: int, *, local_port: int = 0
    ) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
        """(the URL at which ``port`` of a pod is to be had meanwhile, a task that ends when the forward does).

        Args:
            local_port: 0 for a free one.
        Raises:
            ClusterError: the forward is refused, or does not come up.
        """
        ports = f"{local_port or ''}:{port}"
        process = await self.start("port-forward", "-n", namespace, "--address=127.0.0.1", pod, ports)
        draining: asyncio.Task[None] | None = None
        try:
            bound = await _port(process)
            draining = asyncio.create_task(_drain(process))
            yield f"http://127.0.0.1:{bound}", draining
        finally:
            await end(process)
            if draining is not None:
                await draining


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None and process.stderr is not None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while line := await process.stdout.readline():
                if found := _FORWARDING.match(line):
                    return int(found[1])
            words = (await process.stderr.read()).decode().strip()
            await process.wait()
    except TimeoutError:
        words = f"it does not come up within {TIMEOUT_S:.0f} s"
    raise ClusterError(f"{KUBECTL} port-forward: {words or 'it ended without a word'}")


async def _drain(process: asyncio.subprocess.Process) -> None:
    """kubectl says a line for each connection, and would stand still where nobody reads them."""

    async def read(stream: asyncio.StreamReader | None) -> None:
        while stream is not None and await stream.read(4096):
            pass

    await asyncio.gather(read(process.stdout), read(process.stderr))


async def end(process: asyncio.subprocess.Process) -> None:
    """Ends it, and waits for it; nothing where it has ended."""
    if process.returncode is not None:
        return
    # Not process.terminate: that asks for the exit code itself, and asyncio then finds it gone.
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
