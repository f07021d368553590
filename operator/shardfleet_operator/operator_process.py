"""The operator process: log in, wait for the Lease, watch, until it is told to end or loses the Lease."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import kopf
from aiohttp import web
from shardfleet_shard.core.clock import Clock
from shardfleet_shard.environment import KUBECONFIG_VARIABLE
from shardfleet_shard.errors import UsageError
from shardfleet_shard.monitoring.endpoint import metrics_served
from shardfleet_shard.monitoring.otlp import MetricsExport, is_wanted, resource
from shardfleet_shard.monitoring.table import Reading

from .cluster.fleets import Fleets
from .cluster.metrics import OperatorSight, operator_text, read_operator
from .cluster.settings import OperatorSettings
from .handlers import quieten_kopf, watch
from .inspection import FleetSight, Inspection, NotNow
from .kube import NODES, SHARD_FLEETS, ApiError
from .kube.http_api import HttpKubeApi
from .kube.lease import LeaderLease
from .serving import served

log = logging.getLogger(__name__)

LEASE_NAME = "shardfleet-operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorOptions:
    """How the operator runs.

    Attributes:
        namespaces: whose fleets it serves; none: all.
        lease_namespace: '' for the one that the login names, or default.
        health: host:port of /healthz and /readyz; '' for none.
        inspection: host:port of the read-only inspection port; '' for none.
        map_folder: the live map's Secret, mounted; None where there is no map.
        metrics: host:port of GET /metrics; '' for none.
    """

    settings: OperatorSettings = field(default_factory=OperatorSettings)
    namespaces: Sequence[str] = ()
    lease_namespace: str = ""
    lease_name: str = LEASE_NAME
    health: str = ""
    inspection: str = ""
    map_folder: Path | None = None
    metrics: str = ""


def log_in() -> kopf.ConnectionInfo:
    """As a pod by its ServiceAccount, else as KUBECONFIG says.

    Raises:
        UsageError: neither is there.
    """
    settings = kopf.OperatorSettings()
    try:
        found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    except (OSError, KeyError, ValueError, kopf.LoginError) as error:
        raise UsageError(f"{KUBECONFIG_VARIABLE} cannot be used: {error}") from error
    if found is None:
        raise UsageError(f"no cluster to serve: run in a pod with a ServiceAccount, or set {KUBECONFIG_VARIABLE}")
    return found


class Operator:
    """One run of the operator."""

    def __init__(self, options: OperatorOptions, clock: Clock) -> None:
        self.options = options
        self._clock = clock
        connection = log_in()
        namespace = options.lease_namespace or connection.default_namespace or "default"
        self._identity = f"{socket.gethostname()}_{os.getpid()}_{clock.now_unix_us()}"
        self.api = HttpKubeApi(log_in)
        # Connections of its own: hundreds of fleets that start at once must not keep the Lease from being renewed.
        self._lease_api = HttpKubeApi(log_in)
        self.lease = LeaderLease(
            self._lease_api,
            clock,
            namespace=namespace,
            name=options.lease_name,
            identity=self._identity,
        )
        self.fleets = Fleets(self.api, clock, options.settings, on_failure=self._fail)
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._lost = False

    async def run(self) -> int:
        """Returns the exit code: 0 where it was told to end, 1 where the Lease was lost.

        Raises:
            BaseException: a bug in a worker.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.api.close)
            stack.push_async_callback(self._lease_api.close)
            if self.options.health:
                await stack.enter_async_context(served("--health", self.options.health, _health(self.lease)))
            if self.options.inspection:
                application = Inspection(self._look, map_folder=self.options.map_folder).application()
                await stack.enter_async_context(served("--inspection", self.options.inspection, application))
            await self._begin_metrics(stack)
            await self._check_kind()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
            if not await self._acquire():
                return 0
            stack.push_async_callback(self.lease.release)
            keeping = asyncio.create_task(self._keep_lease())
            try:
                await self._watch()
            finally:
                keeping.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await keeping
        if self._failure is not None:
            raise self._failure
        return 1 if self._lost else 0

    async def _check_kind(self) -> None:
        """Raises ``UsageError`` where the cluster has no ShardFleets: kopf would watch nothing and say nothing."""
        try:
            await self.api.list(SHARD_FLEETS, next(iter(self.options.namespaces), ""))
        except ApiError as error:
            if error.retryable:  # it is away, or has only just started
                log.warning("%s", error)
                return
            if error.status != 404:
                raise
            raise UsageError(
                "the cluster does not know ShardFleets: install the chart, or kubectl apply -f crds/shardfleets.yaml"
            ) from error

    async def _may_watch_nodes(self) -> bool:
        try:
            await self.api.list(NODES, "")
        except ApiError as error:
            if error.retryable:
                log.warning("%s", error)
                return True
            if error.status != 403:
                raise
            log.warning(
                "%s: shards leave a node only when their pods are deleted, not when it is cordoned; to change that, "
                "let the operator list and watch nodes, as the chart's ClusterRole does",
                error,
            )
            return False
        return True

    def _look(self, namespace: str, name: str) -> FleetSight:
        if not self.lease.held:
            raise NotNow("this operator waits for its Lease: ask the one that has it")
        return self.fleets.look(namespace, name)

    def _sight(self) -> OperatorSight:
        answers: Counter[tuple[str, str, int]] = Counter(self.api.answers)
        answers.update(self._lease_api.answers)
        return OperatorSight(
            leads=self.lease.held,
            workers=self.fleets.workers,
            answers=answers,
            counts=self.fleets.counts,
            now_us=self._clock.now_unix_us(),
        )

    def _text(self) -> bytes:
        return operator_text(self._sight())

    def _readings(self) -> list[Reading]:
        return read_operator(self._sight())

    async def _begin_metrics(self, stack: contextlib.AsyncExitStack) -> None:
        """For Prometheus, and by OTLP, as far as they are wanted. Raises ``UsageError``."""
        if self.options.metrics:
            await stack.enter_async_context(metrics_served("--metrics", self.options.metrics, self._text))
        if is_wanted("metrics", os.environ):
            about = resource(LEASE_NAME, self._identity, {}, os.environ)
            began_us = self._clock.now_unix_us()
            export = MetricsExport(self._readings, about, start_us=began_us, environ=os.environ)
            stack.push_async_callback(export.close)

    def stop(self) -> None:
        """Ends the run in order, once what is under way in the loop has had its turn."""
        self._stop.set()

    async def _acquire(self) -> bool:
        acquiring = asyncio.create_task(self.lease.acquire())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((acquiring, stopping), return_when=asyncio.FIRST_COMPLETED)
            return self.lease.held
        finally:
            for task in (acquiring, stopping):
                task.cancel()
            await asyncio.gather(acquiring, stopping, return_exceptions=True)

    async def _keep_lease(self) -> None:
        await self.lease.keep()
        self._lost = True
        await self.fleets.close()  # before anything else: another may act in a few seconds
        self._stop.set()

    async def _watch(self) -> None:
        """Until told to stop. Workers end first, and what they began stays as it is."""
        quieten_kopf()
        namespaces = list(self.options.namespaces)
        log.info("operator begins", extra={"namespaces": namespaces or "all", "kind": SHARD_FLEETS.kind})
        stop_kopf = threading.Event()
        watches_nodes = await self._may_watch_nodes()
        watching = asyncio.create_task(watch(self.fleets, log_in, namespaces, stop_kopf, watches_nodes=watches_nodes))
        watching.add_done_callback(lambda _: self.stop())
        try:
            await self._stop.wait()
        finally:
            await self.fleets.close()
            stop_kopf.set()
            await watching

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._stop.set()


def _health(lease: LeaderLease) -> web.Application:
    """/healthz says that the process turns, /readyz that it is the one that acts."""

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def acts(_: web.Request) -> web.Response:
        return web.Response(text="acts\n") if lease.held else web.Response(status=503, text="waits for the Lease\n")

    application = web.Application()
    application.router.add_get("/healthz", alive)
    application.router.add_get("/readyz", acts)
    return application
