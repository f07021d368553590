"""Makes one fleet so: its objects applied, its pods planned and performed, one look at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.core.requests import Observed
from shardfleet_shard.errors import SpecError

from ..kube import PODS, SHARD_FLEETS, KubeApi, kind_of
from ..local.world import World, layout_of
from ..plan import Absences, Desired, Surroundings, is_changing, plan_elastic, splits_next
from ..plan import Observed as PlanObserved
from ..platforms import give, perform
from ..platforms.kubernetes import KubernetesPlatform
from ..surroundings import claims_of, loads_of, read_owned, read_positions
from . import names
from .conditions import named
from .copies import CopyTask
from .counts import OperatorCounts
from .events import EventRecorder
from .fleet_map import FleetMap
from .objects import FleetObjects
from .ownership import refuse_foreign
from .pods import PodFacts, pod_facts
from .redis_link import RedisLink
from .redis_restart import RedisRestart
from .settings import OperatorSettings
from .situation import Situation
from .spec import FleetSpec, read_spec
from .watch import WatchdogTask

SETTLED_S = 1.0
UNSETTLED_S = 0.25
"""How often Redis is looked at; events of the cluster come at once."""
RESYNC_US = 120_000_000
"""An event that was lost costs at most so long."""


class Reconciler:
    """Of one fleet.

    Attributes:
        platform: None before the first look at the spec.
        map: the fleet's own live map.
        resynced_us: when all pods were listed last.
    """

    def __init__(
        self,
        situation: Situation,
        api: KubeApi,
        clock: Clock,
        settings: OperatorSettings,
        say: EventRecorder,
        *,
        redis: RedisLink,
        watchdog: WatchdogTask,
        copies: CopyTask,
        counts: OperatorCounts,
    ) -> None:
        self.platform: KubernetesPlatform | None = None
        self.map = FleetMap(api, clock, say)
        self._situation = situation
        self._api = api
        self._clock = clock
        self._settings = settings
        self._redis = redis
        self._restart = RedisRestart(situation, say, redis)
        self._watchdog = watchdog
        self._copies = copies
        self._counts = counts
        self._spec_generation = -1
        self._applied: dict[tuple[str, str], dict[str, Any]] = {}
        self._own: set[tuple[str, str]] = set()
        """Those that nobody else made."""
        self._all_applied: FleetObjects | None = None
        """Those of which all are; nothing need be compared as long as they are the same."""
        self.resynced_us = clock.now_unix_us()
        self._out_of_touch = False
        self._say = say
        self._absences = Absences()

    def forget(self, kind: str, name: str) -> None:
        """Somebody deleted an object of the fleet: it is to be applied again."""
        self._applied.pop((kind, name), None)
        self._own.discard((kind, name))
        self._all_applied = None
        self.map.recheck()

    def lost_touch(self) -> None:
        """The API server was away: of what was deleted meanwhile no event tells, so all is looked at once more."""
        self._out_of_touch = True
        self.map.recheck()
        if self.platform is not None:
            self.platform.certificates.recheck()

    async def step(self) -> float:
        """One look and what follows from it. Returns the seconds after which to look again.

        Raises:
            ShardfleetError: what stopped it; call again.
        """
        here = self._situation
        await self._hold()
        spec = self.read_spec()
        secret, url = await self._redis.find(here.namespace, here.name, spec)
        image = spec.image or self._settings.image
        if not image:
            raise SpecError([("spec.image", "is left out, and the operator does not know its own image: set it")])
        objects = FleetObjects(
            namespace=here.namespace,
            name=here.name,
            uid=here.uid,
            config=spec.config,
            image=image,
            redis=secret,
            template=spec.template,
            trace_claim=spec.trace_claim,
        )
        platform = self._platform_for(objects)
        await self._apply(platform.objects)
        await self.resync()
        await platform.certificates.renew(platform.objects, here.pods.pods)
        running = any(facts.began and not facts.ended for facts in here.pods.pods.values())
        world = await self._redis.open(url, spec.config, founds=not running)
        await self.map.keep(platform.objects, url, enabled=spec.own_map)
        here.observed = observed = await world.observe()
        platform.learn(observed.members)
        here.layout = layout_of(observed)
        if observed.generation != self._redis.stored:
            await self._watchdog.stop()
            await self._copies.stop()
            if not await self._restart.step(platform):
                return UNSETTLED_S
            here.observed = observed = await world.observe()
            platform.learn(observed.members)
            here.layout = layout_of(observed)
        now_us = self._clock.now_unix_us()
        await here.figures.gather(world, now_us, [pod.name for pod in here.pods.pods.values()])
        await self._drive(world, platform, spec, observed)
        is_settled = here.claimed == here.cells > 0
        if is_settled:
            self._watchdog.start(world.reader, spec.config)
            self._copies.start(world.store, observed.generation)
        return SETTLED_S if is_settled and not here.changing else UNSETTLED_S

    # --- objects -----------------------------------------------------------------------------------------------

    async def _hold(self) -> None:
        """The finalizer first: nothing is made that could be left behind."""
        here = self._situation
        metadata = here.body["metadata"]
        finalizers = list(metadata.get("finalizers") or ())
        if names.FINALIZER in finalizers:
            return
        patch = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": [*finalizers, names.FINALIZER],
            }
        }
        here.body = await self._api.merge(SHARD_FLEETS, here.namespace, here.name, patch)

    def read_spec(self) -> FleetSpec:
        """Read anew where it changed. Raises ``SpecError``."""
        here = self._situation
        if here.spec is None or here.generation != self._spec_generation:
            here.spec = read_spec(here.body, self._settings.environ)
            self._spec_generation = here.generation
        return here.spec

    def _platform_for(self, objects: FleetObjects) -> KubernetesPlatform:
        if self.platform is None:
            self.platform = KubernetesPlatform(objects, self._api, self._clock, self._situation.pods, self._tell_ended)
        if self.platform.objects != objects:  # what was made from equal ones is made already
            self.platform.objects = objects
        return self.platform

    async def _tell_ended(self, shard: str, epoch: int) -> None:
        assert self._redis.world is not None
        await self._redis.world.confirm_ended(shard, epoch)

    async def _apply(self, objects: FleetObjects) -> None:
        """What differs from what was applied last; everything after a restart, which changes nothing there."""
        if objects is self._all_applied:
            return
        for body in objects.fleet_objects():
            key = (body["kind"], body["metadata"]["name"])
            if self._applied.get(key) != body:
                if key not in self._own:
                    metadata = body["metadata"]
                    refuse_foreign(await self._api.get(kind_of(body), metadata["namespace"], metadata["name"]), body)
                    self._own.add(key)
                await self._api.apply(body)
                self._applied[key] = body
        self._all_applied = objects

    async def resync(self, *, every_us: int = RESYNC_US) -> None:
        """Looks at all pods, unless it did a moment ago: of some, no event may have told. Raises ``ApiError``."""
        now_us, here = self._clock.now_unix_us(), self._situation
        if now_us - self.resynced_us < every_us and not self._out_of_touch:
            return
        self.resynced_us, self._out_of_touch = now_us, False
        found = await self._api.list(PODS, here.namespace, labels=names.selector(here.name))
        here.pods.resync(facts for body in found if (facts := pod_facts(body)) is not None)
        self._applied.clear()
        self._all_applied = None

    # --- pods --------------------------------------------------------------------------------------------------

    async def _drive(self, world: World, platform: KubernetesPlatform, spec: FleetSpec, observed: Observed) -> None:
        """Plans and performs."""
        here = self._situation
        outdated = platform.outdated()
        # One that never began holds nothing, and may be stuck: its image cannot be pulled, say.
        await give([partial(platform.stop_shard, facts.ordinal)] for facts in outdated if not facts.began)
        desired = Desired(config=spec.config, gives_up=False)
        seen = PlanObserved(
            layout=here.layout,
            processes=tuple(platform.observe()),
            members=observed.members,
            phase=observed.phase,
        )
        around = Surroundings(max_surge=spec.max_surge)
        if here.layout is not None:
            around = Surroundings(
                leaving=frozenset(here.leaving),
                outdated=frozenset(facts.name for facts in outdated),
                claims=claims_of(observed),
                owned=await read_owned(world, here.layout, here.figures.stats),
                loads=loads_of(here.layout, here.figures.stats),
                max_surge=spec.max_surge,
                absent_us=self._absences.see(observed.members, self._clock.now_unix_us()),
                cannot_run=here.unplaced,
                stranded=here.stranded,
            )
            if splits_next(desired, seen, around):
                around = replace(around, positions=await read_positions(world, here.layout))
        began_us = self._clock.boottime_us()
        actions = plan_elastic(desired, seen, around, self._clock.now_unix_us())
        self._counts.plan_us.add(self._clock.boottime_us() - began_us)
        performed = await perform(actions, platform, world.admin)
        for words in performed.taken_over:
            await self._say.say("Warning", "TakenOver", words)
        if performed.failed:
            raise SpecError([("spec", performed.failed)])
        here.misfits = here.pods.misfits(platform.objects.revision, here.living)
        here.changing = self._describe_change(spec, outdated) if is_changing(desired, seen, around) else ""

    def _describe_change(self, spec: FleetSpec, outdated: Sequence[PodFacts]) -> str:
        here, words = self._situation, []
        if here.cells != spec.config.replicas:
            words.append(f"scaling from {here.cells} to {spec.config.replicas} shards")
        if outdated:
            words.append(f"rolling out, {len(outdated)} pods are still of the old spec")
        if leaving := here.leaving:
            words.append(f"moving shards off nodes that are about to go: {_named(leaving)}")
        ending = {facts.name: "" for facts in here.pods.pods.values() if facts.deleting and not facts.ended}
        if ending := {shard: "" for shard in sorted(ending) if shard not in leaving}:
            words.append(f"moving the entities of {_named(ending)}")
        return " and ".join(words) or "moving entities to the shards that have the cells now"


def _named(shards: Mapping[str, str]) -> str:
    """'arena-0 (node worker-1 is cordoned), arena-2 (...)'."""
    return named([f"{shard} ({why})" if why else shard for shard, why in shards.items()])
