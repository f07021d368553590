"""The worker of one fleet: looks at everything, plans, carries out, says what is.

Level-triggered. An event only wakes it; what it does follows from what is there at that moment, so that a restart, a
lost event or a change in the middle of another one needs no code of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.requests import Observed
from shardfleet_shard.errors import InvariantError, ShardfleetError, SpecError, StoreRefused, StoreUnavailable

from ..dialing import dial_with
from ..inspection import FleetSight, NotNow
from ..kube import PODS, SECRETS, SHARD_FLEETS, ApiError, KubeApi
from ..local.loops import within
from ..local.world import World, layout_of
from ..plan import Desired, Surroundings, is_changing, plan_elastic, splits_next
from ..plan import Observed as PlanObserved
from ..platforms import perform
from ..platforms.kubernetes import KubernetesPlatform, PodProcess
from . import names
from .conditions import Facts, Problem, conditions, turned
from .deletion import Deletion
from .events import EventRecorder, api_time
from .figures import FleetFigures
from .objects import FleetObjects
from .pods import FleetPods, PodFacts, pod_facts
from .redis_link import NoRedis, RedisLink
from .spec import FleetSpec, read_spec
from .status import Picture, build_status, is_due
from .surroundings import claims_of, loads_of, read_owned, read_positions
from .watch import WatchdogTask

log = logging.getLogger(__name__)

SETTLED_S = 1.0
UNSETTLED_S = 0.25
"""How often Redis is looked at; events of the cluster come at once."""
FIRST_RETRY_S = 1.0
MAX_RETRY_S = 30.0
"""Between two tries of something that the API server or Redis refused: what changes there makes no event."""
RESYNC_US = 120_000_000
"""An event that was lost costs at most so long."""
MIN_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """What all fleets of an operator share.

    Attributes:
        image: of shards whose spec names none; '' where the operator does not know its own.
        redis_url: the Redis of fleets whose spec names none; '' for none. May hold a password.
        environ: for the handoff delay.
    """

    image: str = ""
    redis_url: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)


class FleetWorker:
    """One fleet, from its first object to the end of its finalizer.

    Attributes:
        pods: filled by whoever gets the events.
        done: the fleet is gone; nothing is left to do.
    """

    def __init__(self, body: Mapping[str, Any], api: KubeApi, clock: Clock, settings: OperatorSettings) -> None:
        metadata = body["metadata"]
        self.namespace: str = metadata["namespace"]
        self.name: str = metadata["name"]
        self.uid: str = metadata["uid"]
        self.pods = FleetPods()
        self.done = False
        self._body: Mapping[str, Any] = body
        self._api = api
        self._clock = clock
        self._settings = settings
        self._changed = asyncio.Event()
        self._changed.set()
        self._say = EventRecorder(api, clock, namespace=self.namespace, fleet=self.name, uid=self.uid)
        self._redis = RedisLink(api, clock, settings.redis_url)
        self._figures = FleetFigures()
        self._watchdog = WatchdogTask(clock, self._say, self.wake)
        self._deletion = Deletion(api, clock, self._say, self._redis)
        self._platform: KubernetesPlatform | None = None
        self._spec: FleetSpec | None = None
        self._spec_generation = -1
        self._applied: dict[tuple[str, str], dict[str, Any]] = {}
        self._resynced_us = clock.now_unix_us()
        self._observed: Observed | None = None
        self._layout: Layout | None = None
        self._problems: list[Problem] = []
        self._retry_s = 0.0
        self._changing = ""
        self._written: dict[str, Any] = dict(body.get("status") or {})
        self._written_us = 0

    # --- what wakes it -----------------------------------------------------------------------------------------

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self._body["metadata"]

    def wake(self) -> None:
        self._changed.set()

    def take_body(self, body: Mapping[str, Any]) -> None:
        """The fleet's object as it is. A change of its status alone, which is our own, wakes nobody."""
        before, self._body = self._body["metadata"], body
        now = body["metadata"]
        if any(before.get(key) != now.get(key) for key in ("generation", "deletionTimestamp", "finalizers")):
            self._retry_s = 0.0
            self.wake()

    def take_pod(self, body: Mapping[str, Any], *, gone: bool) -> None:
        facts = pod_facts(body)
        if facts is not None and (self.pods.take_gone(facts) if gone else self.pods.take(facts)):
            self.wake()

    def object_gone(self, kind: str, name: str) -> None:
        """Somebody deleted an object of the fleet."""
        if kind == SECRETS.kind and self._platform is not None:
            self._platform.certificates.forget(name)
        self._applied.pop((kind, name), None)
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
            await self._watchdog.stop()
            await self._redis.close()

    async def _step(self) -> float:
        """One look and what follows from it. Returns the seconds after which to look again."""
        self._problems = []
        try:
            if self.deleting:
                pause_s = await self._delete()
            else:
                pause_s = await self._reconcile()
            self._retry_s = 0.0
        except InvariantError:
            raise
        except ShardfleetError as error:
            if await self._is_gone(error):
                self.done = True
                return 0.0
            self._problems.insert(0, _problem_of(error))
            if isinstance(error, StoreUnavailable):
                self._observed = None
            pause_s = self._next_retry_s(error)
        if not self.done:
            try:
                await self._write_status()
            except ApiError as error:
                self.done = await self._is_gone(error)
                log.warning("the status was not written: %s", error, extra={"fleet": self.name})
                pause_s = min(pause_s, FIRST_RETRY_S)
        return pause_s

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
        limit_s = FIRST_RETRY_S if isinstance(error, StoreUnavailable) else MAX_RETRY_S
        self._retry_s = min(limit_s, max(FIRST_RETRY_S, self._retry_s * 2))
        return UNSETTLED_S if isinstance(error, ApiError) and error.status == 409 else self._retry_s

    # --- making it so ------------------------------------------------------------------------------------------

    async def _reconcile(self) -> float:
        await self._hold()
        spec = self._read_spec()
        secret, url = await self._redis.find(self.namespace, self.name, spec)
        image = spec.image or self._settings.image
        if not image:
            raise SpecError([("spec.image", "is left out, and the operator does not know its own image: set it")])
        objects = FleetObjects(
            namespace=self.namespace,
            name=self.name,
            uid=self.uid,
            config=spec.config,
            image=image,
            redis=secret,
            template=spec.template,
            trace_claim=spec.trace_claim,
        )
        platform = self._platform_for(objects)
        await self._apply(objects)
        await self._resync()
        await platform.certificates.renew(objects, self.pods.pods)
        world = await self._redis.open(url, spec.config)
        self._observed = observed = await world.observe()
        platform.learn(observed.members)
        self._layout = layout_of(observed)
        if observed.generation != self._redis.stored:
            return await self._change_generation(platform)
        now_us = self._clock.now_unix_us()
        await self._figures.gather(world, now_us, [pod.name for pod in self.pods.pods.values()])
        await self._drive(world, platform, spec, observed)
        is_settled = self._claimed == self._cells > 0
        if is_settled:
            self._watchdog.start(world.reader, spec.config)
        return SETTLED_S if is_settled and not self._changing else UNSETTLED_S

    async def _drive(self, world: World, platform: KubernetesPlatform, spec: FleetSpec, observed: Observed) -> None:
        """Plans and performs."""
        outdated = platform.outdated()
        for facts in outdated:
            if not facts.began:  # it holds nothing, and may be stuck: its image cannot be pulled, say
                await platform.stop_shard(facts.ordinal)
        desired = Desired(config=spec.config, gives_up=False)
        seen = PlanObserved(
            layout=self._layout,
            processes=tuple(platform.observe()),
            members=observed.members,
            phase=observed.phase,
        )
        around = Surroundings(max_surge=spec.max_surge)
        if self._layout is not None:
            around = Surroundings(
                outdated=frozenset(facts.name for facts in outdated),
                claims=claims_of(observed),
                owned=await read_owned(world, self._layout, self._figures.stats),
                loads=loads_of(self._layout, self._figures.stats),
                max_surge=spec.max_surge,
            )
            if splits_next(desired, seen, around):
                around = replace(around, positions=await read_positions(world, self._layout))
        actions = plan_elastic(desired, seen, around, self._clock.now_unix_us())
        performed = await perform(actions, platform, world.admin)
        if performed.failed:
            raise SpecError([("spec", performed.failed)])
        self._changing = self._describe_change(spec, outdated) if is_changing(desired, seen, around) else ""

    def _describe_change(self, spec: FleetSpec, outdated: Sequence[PodFacts]) -> str:
        words = []
        if self._cells != spec.config.replicas:
            words.append(f"scaling from {self._cells} to {spec.config.replicas} shards")
        if outdated:
            words.append(f"rolling out, {len(outdated)} pods are still of the old spec")
        if leaving := sorted(facts.name for facts in self.pods.pods.values() if facts.deleting and not facts.ended):
            words.append(f"moving the entities of {', '.join(leaving)}")
        return " and ".join(words) or "moving entities to the shards that have the cells now"

    async def _hold(self) -> None:
        """The finalizer first: nothing is made that could be left behind."""
        metadata = self._body["metadata"]
        finalizers = list(metadata.get("finalizers") or ())
        if names.FINALIZER in finalizers:
            return
        patch = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": [*finalizers, names.FINALIZER],
            }
        }
        self._body = await self._api.merge(SHARD_FLEETS, self.namespace, self.name, patch)

    def _read_spec(self) -> FleetSpec:
        generation = int(self._body["metadata"].get("generation", 0))
        if self._spec is None or generation != self._spec_generation:
            self._spec = read_spec(self._body, self._settings.environ)
            self._spec_generation = generation
        return self._spec

    def _platform_for(self, objects: FleetObjects) -> KubernetesPlatform:
        if self._platform is None:
            self._platform = KubernetesPlatform(objects, self._api, self._clock, self.pods, self._tell_ended)
        self._platform.objects = objects
        return self._platform

    async def _tell_ended(self, shard: str, epoch: int) -> None:
        assert self._redis.world is not None
        await self._redis.world.confirm_ended(shard, epoch)

    async def _apply(self, objects: FleetObjects) -> None:
        """What differs from what was applied last; everything after a restart, which changes nothing there."""
        for body in objects.fleet_objects():
            key = (body["kind"], body["metadata"]["name"])
            if self._applied.get(key) != body:
                await self._api.apply(body)
                self._applied[key] = body

    async def _resync(self) -> None:
        now_us = self._clock.now_unix_us()
        if now_us - self._resynced_us < RESYNC_US:
            return
        self._resynced_us = now_us
        found = await self._api.list(PODS, self.namespace, labels=names.selector(self.name))
        self.pods.resync(facts for body in found if (facts := pod_facts(body)) is not None)
        self._applied.clear()

    async def _change_generation(self, platform: KubernetesPlatform) -> float:
        """Redis restarted. No shard acts on its new life before all of them have ended; they do so by themselves."""
        await self._watchdog.stop()
        running = [facts for facts in self.pods.pods.values() if facts.began and not facts.ended]
        if running:
            self._problems.append(
                Problem(
                    reason="RedisRestarted",
                    message=f"Redis restarted: {len(running)} shards end, then recover from what Redis kept",
                )
            )
            now_us = self._clock.now_unix_us()
            for facts in running:
                # One that cannot reach Redis does not know that it must end.
                if self._spec is not None and now_us - self._started_changing(now_us) > 2 * self._spec.config.lease_us:
                    await platform.stop_shard(facts.ordinal)
            return UNSETTLED_S
        for process in platform.observe():
            await platform.confirm_ended(process.shard, process.epoch)
        holder = await self._redis.reopen()
        if holder:
            self._problems.append(
                Problem(reason="RedisRestarted", message=f"Redis restarted: the lease of {holder} must run out first")
            )
        else:
            self._changing_since_us = 0
            await self._say.say("Warning", "RedisRestarted", "Redis restarted; shards recover from what it kept")
        return UNSETTLED_S

    _changing_since_us = 0

    def _started_changing(self, now_us: int) -> int:
        self._changing_since_us = self._changing_since_us or now_us
        return self._changing_since_us

    async def _delete(self) -> float:
        await self._watchdog.stop()
        with contextlib.suppress(SpecError):
            self._read_spec()
        self.done = await self._deletion.step(self._body, self._spec, self.pods)
        self._observed = None
        return UNSETTLED_S

    def look(self) -> FleetSight:
        """For the inspection port. Raises ``NotNow``."""
        world, platform = self._redis.world, self._platform
        files = platform.certificates.asker(now_us=self._clock.now_unix_us()) if platform is not None else None
        if world is None or platform is None or files is None:
            raise NotNow(f"fleet {self.namespace}/{self.name}: its Redis was not reached yet; its conditions say why")
        created = datetime.fromisoformat(self._body["metadata"]["creationTimestamp"])
        return FleetSight(
            world=world,
            dial=dial_with(files),
            since_us=round(created.timestamp() * 1_000_000),
            conditions=self._written.get("conditions") or (),
            processes=lambda: [PodProcess(process=process) for process in platform.observe()],
        )

    # --- saying what is ----------------------------------------------------------------------------------------

    @property
    def _cells(self) -> int:
        return len(self._layout.cells) if self._layout is not None else 0

    @property
    def _claimed(self) -> int:
        observed = self._observed
        if observed is None or self._layout is None:
            return 0
        living = {member.shard for member in observed.members if member.living}
        claims = observed.claims
        return sum(path in claims and claims[path][0] in living for path in self._layout.by_path)

    def _facts(self) -> Facts:
        pods = sorted(self.pods.pods.values(), key=lambda facts: facts.ordinal)
        census, world = self._watchdog.census, self._redis.world
        info = world.store.info if world is not None else None
        return Facts(
            problems=self._problems,
            pods=pods,
            wanted=self._spec.config.replicas if self._spec is not None else 0,
            cells=self._cells,
            claimed=self._claimed,
            redis_answers=self._observed is not None,
            durable=info.durable if info is not None else None,
            findings=self._watchdog.findings,
            missing=len(census.missing) if census is not None else None,
            doubled=len(census.doubled) if census is not None else None,
            skewed=self._figures.skewed,
            changing=self._changing,
            deleting=self.deleting,
        )

    async def _write_status(self) -> None:
        now_us = self._clock.now_unix_us()
        picture = Picture(
            generation=int(self._body["metadata"].get("generation", 0)),
            fleet=self.name,
            pods=list(self.pods.pods.values()),
            layout=self._layout,
            claims=self._observed.claims if self._observed is not None else None,
            stats=self._figures.stats,
            counters=self._figures.counters,
            handoffs_per_second=self._figures.handoffs_per_second,
            active_transfers=self._figures.active_transfers,
            census=self._watchdog.census,
        )
        status = build_status(picture, conditions(self._facts()), self._written, time=api_time(now_us))
        if not is_due(status, self._written, since_us=now_us - self._written_us):
            return
        await self._api.merge(SHARD_FLEETS, self.namespace, self.name, {"status": status}, subresource="status")
        for kind, one in turned(self._written.get("conditions") or (), status["conditions"]):
            await self._say.say(kind, one["reason"], one["message"])
        self._written, self._written_us = status, now_us


def _problem_of(error: ShardfleetError) -> Problem:
    match error:
        case StoreRefused():
            return Problem(reason="RedisRefused", message=str(error))
        case StoreUnavailable():
            return Problem(reason="RedisUnavailable", message=str(error))
        case NoRedis():
            return Problem(reason="NoRedis", message=str(error))
        case ApiError():
            return Problem(reason="ApiUnavailable" if error.retryable else "ApiRefused", message=str(error))
        case SpecError():
            return Problem(reason="InvalidSpec", message=str(error))
        case _:
            return Problem(reason="Error", message=f"{error.code}: {error}")
