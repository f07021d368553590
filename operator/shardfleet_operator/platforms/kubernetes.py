"""Shards as pods. A shard's pod has the shard's name, so the API server itself keeps them from being two.

Pods never restart by themselves: the plan decides when and whether, as it does on one machine.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.core.requests import Member
from shardfleet_shard.errors import InvariantError

from ..cluster.objects import FleetObjects
from ..cluster.pods import FleetPods, PodFacts, pod_facts
from ..cluster.secrets import FleetCertificates
from ..kube import PODS, KubeApi
from ..plan import Process, ProcessState, shard_name

log = logging.getLogger(__name__)

NEVER_ANNOUNCED = 1
"""An epoch below any real one: this process is known not to be the one that holds the shard."""
CLOCKS_AGREE_US = 5_000_000
"""A node's clock, which says when a container started, may be so far from the shard's own."""


@dataclass(frozen=True, slots=True)
class PodProcess:
    """A shard's newest process, as commands show it."""

    process: Process

    @property
    def shard(self) -> str:
        return self.process.shard

    @property
    def running(self) -> bool:
        return self.process.state is not ProcessState.ENDED

    @property
    def pid(self) -> None:
        return None  # of another machine

    @property
    def starts(self) -> int:
        return self.process.restarts + 1


class KubernetesPlatform:
    """``Platform`` on a cluster, for one fleet.

    Args:
        pods: kept up to date by whoever gets the events.
        tell_ended: tells Redis that a shard's process of an epoch has ended (``Ended``); raises ``StoreError``.
    Attributes:
        objects: what the next pod is made from; replace it when the spec has changed.
        certificates: each pod's own is made before it.
    """

    def __init__(
        self,
        objects: FleetObjects,
        api: KubeApi,
        clock: Clock,
        pods: FleetPods,
        tell_ended: Callable[[str, int], Awaitable[None]],
    ) -> None:
        self.objects = objects
        self.pods = pods
        self.certificates = FleetCertificates(api, clock)
        self._api = api
        self._clock = clock
        self._tell_ended = tell_ended
        self._members: dict[str, Member] = {}
        self._fleet = {"fleet": objects.name, "namespace": objects.namespace}
        """For the log."""

    # --- as the plan sees it -----------------------------------------------------------------------------------

    def observe(self) -> list[Process]:
        shards = {**self.pods.ended, **self.pods.pods}
        return sorted((self._process(facts) for facts in shards.values()), key=lambda process: process.ordinal)

    async def start_shard(self, ordinal: int, *, restarts: int = 0) -> None:
        """Makes the pod. One that has ended is removed first; while it is still going, nothing happens.

        Raises:
            ApiError: the API server refuses the pod (quota, admission, a template that it will not have).
            SpecError: spec.template does not fit.
        """
        body = self.objects.pod(ordinal, restarts=restarts)
        name = body["metadata"]["name"]
        before = self.pods.pods.get(name)
        if before is not None:
            if not before.ended:
                return
            left = await self._api.delete(PODS, before.namespace, name, uid=before.uid)
            if left is not None:
                return  # its deletion takes a while; the event of its end comes back here
            self.pods.take_gone(before)
        await self.certificates.ensure(self.objects, name)
        made = pod_facts(await self._api.apply(body))
        assert made is not None
        if before is None or made.uid != before.uid:
            self.pods.take(made)
            log.info("pod made", extra={**self._fleet, "shard": name, "restarts": restarts})

    async def stop_shard(self, ordinal: int) -> None:
        """Deletes the pod, in its grace: the shard gets SIGTERM, and ends in order. Raises ``ApiError``.

        What is left of a pod that has ended goes too.
        """
        name = shard_name(self.objects.name, ordinal)
        facts = self.pods.pods.get(name)
        if facts is None:
            self.pods.forget(name)
        if facts is None or facts.deleting:
            return
        left = await self._api.delete(PODS, facts.namespace, facts.name, uid=facts.uid)
        if left is None:
            self.pods.take_gone(facts)
        elif (stopping := pod_facts(left)) is not None:
            self.pods.take(stopping)
        log.info("pod deleted", extra={**self._fleet, "shard": facts.name})

    async def confirm_ended(self, shard: str, epoch: int) -> None:
        facts = self.pods.pods.get(shard)
        if facts is not None and not facts.ended:
            raise InvariantError(f"{shard} runs, and Redis was to be told that it has ended")
        await self._tell_ended(shard, epoch)

    # --- what only a cluster needs -----------------------------------------------------------------------------

    def learn(self, members: Iterable[Member]) -> None:
        """Who announced itself in Redis, and from where."""
        self._members = {member.shard: member for member in members}

    def outdated(self) -> list[PodFacts]:
        """Living pods that were made from something else than what is wanted now, by ordinal."""
        revision = self.objects.revision
        living = (facts for facts in self.pods.pods.values() if not facts.ended and not facts.deleting)
        return sorted((facts for facts in living if facts.revision != revision), key=lambda facts: facts.ordinal)

    def _process(self, facts: PodFacts) -> Process:
        process = Process(
            shard=facts.name,
            ordinal=facts.ordinal,
            state=ProcessState.RUNNING,
            epoch=self._epoch_of(facts),
            started_us=facts.started_us or facts.created_us,
            restarts=facts.restarts,
            detail=facts.message,
        )
        if facts.ended:
            process = replace(process, state=ProcessState.ENDED, ended_us=facts.ended_us, exit_code=facts.exit_code)
            # Of another spec: what ended it may be mended, so the next one is not waited for.
            return process if facts.revision == self.objects.revision else replace(process, restarts=0)
        return replace(process, state=ProcessState.STOPPING) if facts.deleting else process

    def _epoch_of(self, facts: PodFacts) -> int:
        """Of the announcement that came from this pod's address in this pod's time; 0 where none is known.

        A pod without an address never announced itself, whatever Redis says.
        """
        member = self._members.get(facts.name)
        if member is None:
            return 0
        host = member.address.rpartition(":")[0]
        if facts.address and host == facts.address and member.epoch >= facts.started_us - CLOCKS_AGREE_US:
            return member.epoch
        return NEVER_ANNOUNCED
