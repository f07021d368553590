"""Attacks on the protocol: each kind runs a few seeds here; many more were run when it was written."""

import asyncio
import heapq
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from shardfleet_shard.authority_manager import RequestLane
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.frames import Answer, Final, Frame, Offer
from shardfleet_shard.core.requests import Done, Join, Observe, Recover, Refused, RefusedReason, Reject, Renew
from shardfleet_shard.core.spawn_requests import Despawn, Spawn, SpawnGroup
from shardfleet_shard.errors import StoreError, StoreUnavailable
from shardfleet_shard.service import ShardService
from shardfleet_shard.store.memory import MemoryStore

from .attacks import Attack, AttackCluster, AttackProcess
from .cluster import START_US, Cluster, Faults, Process

HARSH = Faults(
    frame_lost=0.1,
    frame_doubled=0.1,
    frame_late=0.15,
    request_lost=0.04,
    reply_lost=0.04,
    request_doubled=0.1,
    crashes=4,
    pauses=3,
    link_cuts=3,
    clock_offset_us=5_000,
)
KINDS = {
    "pauses inside a tick": (Attack(pause_inside=0.0005, zombies=3), HARSH),
    "zombies": (Attack(zombies=5, speed=90.0), HARSH),
    "requests late by seconds": (Attack(request_very_late=0.05), HARSH),
    "settling": (Attack(settles=5, zombies=2, request_very_late=0.03), HARSH),
    "layouts": (Attack(layouts=3), HARSH),
    "a plugin that fails": (Attack(step_fails=0.02), Faults(frame_lost=0.4, frame_late=0.3)),
    "slow steps": (Attack(slow_step_us=60_000), HARSH),
    "spawns and despawns": (Attack(spawns=15, despawns=15), HARSH),
    "clocks": (Attack(clock_drift_us=200_000), Faults(crashes=5)),
    "everything": (
        Attack(pause_inside=0.0002, zombies=2, request_very_late=0.02, settles=2, spawns=8, despawns=8, speed=50.0),
        HARSH,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_attack_changes_nothing(kind: str) -> None:
    attack, faults = KINDS[kind]
    completed = 0
    for seed in range(4):
        cluster = AttackCluster(seed, attack, shards=2 + seed % 3, faults=faults)
        cluster.run()
        completed += cluster.ledger.completed
    assert completed > 60


def test_shards_that_swap_cells_do_not_wait_for_each_other() -> None:
    cluster = AttackCluster(7, Attack(layouts=6), shards=3, faults=Faults())
    cluster.run()
    for cell in cluster.layout.cells:
        assert cluster.store.state.claims[cell.path][0] == cell.shard


def _adopting(cluster: AttackCluster) -> tuple[AttackProcess, Offer]:
    """Runs until some offer comes, and returns it with the process that it is for."""
    found: list[tuple[AttackProcess, Offer]] = []
    for process in cluster.all_processes:
        receive = process.runtime.mailbox.incoming.handle_offer

        def handle(peer: str, offer: Offer, process: AttackProcess = process, receive: Any = receive) -> None:
            found.append((process, offer))
            receive(peer, offer)

        process.runtime.mailbox.incoming.handle_offer = handle  # type: ignore[method-assign]
    while not found:
        cluster.now_us, _, call = heapq.heappop(cluster._events)
        call()
    return found[0]


def test_an_offer_from_long_ago_is_refused_not_simulated_forward() -> None:
    cluster = AttackCluster(1, Attack(), faults=Faults())
    process, offer = _adopting(cluster)
    runtime = process.runtime
    old = replace(offer, transfer=offer.transfer._replace(sequence=999), offer_tick=1)
    runtime.receive_frame(offer.transfer.source, old)
    assert old.transfer not in runtime.mailbox.incoming.open
    rejects = [r for r in runtime.take_effects().requests if isinstance(r, Reject)]
    assert [r.transfer for r in rejects] == [old.transfer]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_final_that_is_not_finite_ends_no_process(value: float) -> None:
    cluster = AttackCluster(1, Attack(), faults=Faults(frame_lost=1.0))
    cluster.faults_end_us = START_US
    process, offer = _adopting(cluster)
    cluster.faults_end_us = cluster.end_us  # the real final is lost
    incoming = process.runtime.mailbox.incoming
    while not incoming._unmatched:
        cluster.now_us, _, call = heapq.heappop(cluster._events)
        call()
    rows = cluster.schema.unpack(offer.columns, offer.count).copy()
    rows.position[:] = value
    final = Final(
        transfer=offer.transfer, tick=offer.switch_tick - 1, unix_us=cluster.now_us, count=offer.count,
        columns=rows.pack(),
    )  # fmt: skip
    process.runtime.receive_frame(offer.transfer.source, final)
    assert process.runtime.context.stats.continuity_checked == 0


async def test_a_script_that_fails_ends_the_process() -> None:
    async def execute(*_: Any) -> Any:
        raise StoreError("script")

    failures: list[Exception] = []
    lane = RequestLane(execute, lambda *_: None, failures.append)
    lane.submit([Observe()], "run")
    await asyncio.sleep(0.01)
    assert [str(error) for error in failures] == ["script"]
    lane.submit([Observe()], "run")
    await asyncio.sleep(0.01)
    assert len(failures) == 2, "and it is as free as before"
    await lane.close()


async def test_what_waits_for_a_former_redis_is_never_sent() -> None:
    sent: list[tuple[int, str]] = []
    answered: list[tuple[Any, str]] = []
    free = asyncio.Event()

    async def execute(requests: Any, generation: str) -> Any:
        sent.append((len(requests), generation))
        await free.wait()
        return ["answer"] * len(requests)

    lane = RequestLane(
        execute, lambda _, reply, generation: answered.append((reply, generation)), pytest.fail, pipelines=1
    )
    for generation in ("old", "old", "new"):
        lane.submit([Observe()], generation)
        await asyncio.sleep(0)
    free.set()
    await asyncio.sleep(0.01)
    assert sent == [(1, "old"), (1, "new")]
    assert answered == [("answer", "old"), (None, "old"), ("answer", "new")]
    await lane.close()


async def test_nothing_is_spawned_before_the_seed() -> None:
    cluster = AttackCluster(1, Attack(), faults=Faults())
    runtime = cluster.all_processes[0].runtime
    runtime.context.epoch, runtime.membership.layout = 1, cluster.layout
    service = ShardService(SimpleNamespace(runtime=runtime))  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable, match="still starting"):
        await service.spawn(cluster.schema.rows(id=7, position=[[1.0, 1.0]]))


def test_catching_up_is_held_against_the_lease() -> None:
    cluster = AttackCluster(1, Attack(), faults=Faults(), faulty_us=1_000_000, quiet_us=4_000_000)
    cluster.run()
    runtime = next(p.runtime for p in cluster.all_processes if len(p.runtime.context.tracker))
    context, tick = runtime.context, runtime.context.current_tick
    assert context.catch_up(context.tracker.rows, tick - 3, tick) is not None
    assert len(runtime.take_effects().ticks) == 4
    runtime.membership.lease.valid_until_us = 0
    assert context.catch_up(context.tracker.rows, tick - 3, tick) is None
    assert not runtime.take_effects().ticks


def test_an_id_is_not_spawned_again_while_a_journal_holds_its_despawn() -> None:
    """a-0 despawned it and has been down for minutes: the fold of all journals would let the despawn win."""
    now_ms = 1_000
    store = MemoryStore(run_id="run", now_ms=lambda: now_ms)
    store.execute(Join(founds=True), generation="")
    epochs = {}
    for number, shard in enumerate(("a-0", "a-1")):
        recover = Recover(shard=shard, ordinal=number, address="", unix_us=1)
        epochs[shard] = store.execute(recover, generation="run").epoch  # type: ignore[union-attr]
    store.state.living.add(7)
    packed = (np.array([7], "<u8").tobytes(), np.array([5], "<u4").tobytes())
    store.execute(Despawn(shard="a-0", epoch=epochs["a-0"], ids=packed[0], versions=packed[1]), generation="run")
    store.state.claims["1"] = ("a-1", epochs["a-1"])
    rows = Schema(2).rows(id=7, position=[[1.0, 1.0]])
    group = SpawnGroup(cell="1", count=1, ids=rows.id.tobytes(), rows=rows.pack(), tick=9)
    spawn = Spawn(shard="a-1", epoch=epochs["a-1"], groups=(group,))
    now_ms += 600_000
    store.execute(Renew(shard="a-1", epoch=epochs["a-1"], ttl_ms=3_000), generation="run")
    refused = store.execute(spawn, generation="run")
    assert isinstance(refused, Refused) and refused.reason is RefusedReason.DUPLICATE
    store.state.journal("a-0").entries.clear()  # a-0 came back and published without it
    assert isinstance(store.execute(spawn, generation="run"), Done)


class TakingBack(Cluster):
    """Every target that says 'accepted' says 'rejected' soon after it."""

    def send(self, process: Process, peer: str, frame: Frame) -> None:
        super().send(process, peer, frame)
        if isinstance(frame, Answer) and frame.accepted:
            other = replace(frame, accepted=False, reason="on second thoughts")
            self.at(self.now_us + 5_000, lambda: Cluster.send(self, process, peer, other))


def test_a_peer_that_takes_its_word_back_stops_nobody() -> None:
    cluster = TakingBack(5, shards=3)
    cluster.run()
    assert cluster.ledger.completed > 20
    refused = sum(process.runtime.context.stats.frames_refused for process in cluster.processes.values())
    assert refused > 0
