"""The worker of one fleet: woken by events and by time, it looks, acts, and says what is, again and again.

Level-triggered. An event only wakes it; what it does follows from what is there at that moment, so that a restart, a
lost event or a change in the middle of another one needs no code of its own. ``reconciler`` makes the fleet so,
``deletion`` ends it, ``reporter`` writes its status.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.errors import InvariantError, ShardfleetError, SpecError, StoreUnavailable

from ..dialing import dial_with
from ..inspection import FleetSight, MapSight, NotNow
from ..kube import SECRETS, SHARD_FLEETS, ApiError, ApiUnavailable, KubeApi
from ..local.loops import within
from ..platforms.kubernetes import PodProcess
from . import names
from .copies import CopyTask
from .counts import OperatorCounts
from .deletion import Deletion
from .events import EventRecorder
from .nodes import LeavingNodes
from .pods import pod_facts
from .reconciler import UNSETTLED_S, Reconciler
from .redis_link import RedisLink
from .reporter import StatusReporter
from .settings import OperatorSettings
from .situation import Situation, problem_of
from .watch import WatchdogTask

log = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
MAX_RETRY_S = 30.0
"""Between two tries of something that the API server or Redis refused: what changes there makes no event."""
MAX_AWAY_S = 5.0
"""Between two tries of an API server that is away, or has too much to do: soon after it is back, all goes on."""
BUSY_PATIENCE_US = 20_000_000
"""An API server that asks to be tried again is no trouble of the fleet's unless it goes on for so long."""
DELETING_RESYNC_US = 10_000_000
"""A pod that went unseen would hold a fleet's end up: once none was heard of for so long, all are looked at."""
MIN_PAUSE_S = 0.05


class FleetWorker:
    """One fleet, from its first object to the end of its finalizer.

    Attributes:
        done: the fleet is gone; nothing is left to do.
        situation: what is known of it; to be read.
        watchdog: its watchdog; to be read.
    """

    def __init__(
        self,
        body: Mapping[str, Any],
        api: KubeApi,
        clock: Clock,
        settings: OperatorSettings,
        nodes: LeavingNodes,
        counts: OperatorCounts,
    ) -> None:
        self.done = False
        self.situation = here = Situation(body, nodes)
        self.namespace, self.name, self.uid = here.namespace, here.name, here.uid
        self._named = {"fleet": self.name, "namespace": self.namespace}
        """For the log."""
        self._api = api
        self._clock = clock
        self._changed = asyncio.Event()
        self._changed.set()
        self._retry_s = 0.0
        self._busy_since_us = 0
        self._heard_us = clock.now_unix_us()
        say = EventRecorder(api, clock, namespace=here.namespace, fleet=here.name, uid=here.uid)
        self._redis = RedisLink(api, clock, settings.redis_url)
        self._counts = counts
        self.watchdog = WatchdogTask(clock, say, self.wake)
        self._copies = CopyTask(settings.copies, settings.copy_interval_us, clock, say)
        self._reconciler = Reconciler(
            here,
            api,
            clock,
            settings,
            say,
            redis=self._redis,
            watchdog=self.watchdog,
            copies=self._copies,
            counts=counts,
        )
        self._deletion = Deletion(api, clock, say, self._redis)
        self._reporter = StatusReporter(
            here, api, clock, say, redis=self._redis, watchdog=self.watchdog, copies=self._copies
        )

    @property
    def status(self) -> Mapping[str, Any]:
        """As it was written last."""
        return self._reporter.written

    @property
    def resynced_us(self) -> int:
        """When all its pods were listed last, Unix microseconds."""
        return self._reconciler.resynced_us

    # --- what wakes it -----------------------------------------------------------------------------------------

    def wake(self) -> None:
        self._changed.set()

    def take_body(self, body: Mapping[str, Any]) -> None:
        """The fleet's object as it is. A change of its status alone, which is our own, wakes nobody."""
        before, self.situation.body = self.situation.body["metadata"], body
        now = body["metadata"]
        if before.get("deletionTimestamp") != now.get("deletionTimestamp"):
            self._heard_us = self._clock.now_unix_us()  # its pods have had no reason to say anything before
        if any(before.get(key) != now.get(key) for key in ("generation", "deletionTimestamp", "finalizers")):
            self._retry_s = 0.0
            self.wake()

    def take_pod(self, body: Mapping[str, Any], *, gone: bool) -> None:
        facts, pods = pod_facts(body), self.situation.pods
        self._heard_us = self._clock.now_unix_us()
        if facts is not None and (pods.take_gone(facts) if gone else pods.take(facts)):
            self.wake()

    def node_changed(self, name: str) -> None:
        """A node is about to go, or stays after all."""
        if any(pod.node == name for pod in self.situation.pods.pods.values()):
            self.wake()

    def object_gone(self, kind: str, name: str) -> None:
        """Somebody deleted an object of the fleet."""
        platform = self._reconciler.platform
        if kind == SECRETS.kind and platform is not None:
            platform.certificates.forget(name)
        self._reconciler.forget(kind, name)
        self.wake()

    # --- the loop ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the fleet is gone, or canceled."""
        try:
            while not self.done:
                self._changed.clear()
                pause_s = await self._step()
                await asyncio.sleep(MIN_PAUSE_S)
                await within(self._changed.wait(), pause_s)
        finally:
            await self.watchdog.stop()
            await self._copies.stop()
            await self._redis.close()

    async def _step(self) -> float:
        """One look and what follows from it. Returns the seconds after which to look again."""
        here = self.situation
        before, here.problems = here.problems, []
        try:
            pause_s = await self._act()
            self._retry_s, self._busy_since_us = 0.0, 0
        except InvariantError:
            raise
        except ApiUnavailable as error:
            # Nobody is there to read a condition about it, and by the time that one can be written it is over.
            log.warning("%s", error, extra=self._named)
            here.problems = before
            self._reconciler.lost_touch()
            return self._next_retry_s(error)
        except ShardfleetError as error:
            if await self._is_gone(error):
                self.done = True
                return 0.0
            if self._is_passing(error):
                here.problems = before
            else:
                here.problems.insert(0, problem_of(error))
            if isinstance(error, StoreUnavailable):
                here.observed = None
            pause_s = self._next_retry_s(error)
        return await self._report(pause_s)

    async def _act(self) -> float:
        """What a look leads to, counted by how it ended. Raises as the reconciler does."""
        began_us, result = self._clock.boottime_us(), "canceled"
        try:
            pause_s = await (self._delete() if self.situation.deleting else self._reconciler.step())
            result = "ok"
            return pause_s
        except ShardfleetError as error:
            result = error.code
            raise
        finally:
            self._counts.looks[result] += 1
            self._counts.look_us.add(self._clock.boottime_us() - began_us)

    async def _report(self, pause_s: float) -> float:
        """Writes the status. Returns the seconds after which to look again, ``pause_s`` where all went well."""
        if self.done:
            return pause_s
        try:
            await self._reporter.write()
        except ApiError as error:
            self.done = await self._is_gone(error)
            log.warning("the status was not written: %s", error, extra=self._named)
            if isinstance(error, ApiUnavailable):
                self._reconciler.lost_touch()
            return min(pause_s, FIRST_RETRY_S)
        return pause_s

    def _is_passing(self, error: ShardfleetError) -> bool:
        """Whether trying again is all that is needed: a conflict, or an API server that is busy, for a while."""
        if not isinstance(error, ApiError) or not error.retryable:
            return False
        now_us = self._clock.now_unix_us()
        self._busy_since_us = self._busy_since_us or now_us
        return now_us - self._busy_since_us < BUSY_PATIENCE_US

    async def _is_gone(self, error: ShardfleetError) -> bool:
        """Whether the fleet was deleted while nobody looked: by force, its finalizer taken away by hand."""
        if not isinstance(error, ApiError) or error.status != 404:
            return False
        try:
            found = await self._api.get(SHARD_FLEETS, self.namespace, self.name)
        except ApiError:
            return False
        return found is None or found["metadata"]["uid"] != self.uid

    def _next_retry_s(self, error: ShardfleetError) -> float:
        """Soon where another try may help, then ever more rarely."""
        limit_s = MAX_RETRY_S
        if isinstance(error, StoreUnavailable):
            limit_s = FIRST_RETRY_S
        elif isinstance(error, ApiError) and error.retryable:
            limit_s = MAX_AWAY_S
        self._retry_s = min(limit_s, max(FIRST_RETRY_S, self._retry_s * 2))
        return UNSETTLED_S if isinstance(error, ApiError) and error.status == 409 else self._retry_s

    async def _delete(self) -> float:
        await self.watchdog.stop()
        await self._copies.stop()
        with contextlib.suppress(SpecError):
            self._reconciler.read_spec()
        if self._clock.now_unix_us() - self._heard_us >= DELETING_RESYNC_US:
            await self._reconciler.resync(every_us=DELETING_RESYNC_US)
        here = self.situation
        self.done = await self._deletion.step(here.body, here.spec, here.pods)
        here.observed = None
        return UNSETTLED_S

    # --- for the inspection port -------------------------------------------------------------------------------

    def look(self) -> FleetSight:
        """What the inspection port may know. Raises ``NotNow``."""
        world, platform, spec = self._redis.world, self._reconciler.platform, self.situation.spec
        files = platform.certificates.asker(now_us=self._clock.now_unix_us()) if platform is not None else None
        if world is None or platform is None or files is None or spec is None:
            raise NotNow(f"fleet {self.namespace}/{self.name}: its Redis was not reached yet; its conditions say why")
        created = datetime.fromisoformat(self.situation.body["metadata"]["creationTimestamp"])
        return FleetSight(
            world=world,
            dial=dial_with(files),
            since_us=round(created.timestamp() * 1_000_000),
            conditions=self._reporter.written.get("conditions") or (),
            processes=lambda: [PodProcess(process=process) for process in platform.observe()],
            map=MapSight(
                own=spec.own_map,
                own_redis=bool(spec.redis_secret),
                selector=names.map_selector(self.name),
                token=self._reconciler.map.token,
            ),
        )
