"""How much a link carries, and what an idle one costs: ``python -m tests.integration.net.bench_links``.

Two processes, a shard's links each, over the loopback: offers of 512 rows one way and an answer for each the other
way, as fast as the queue takes them; then a shard with three idle links.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import time
from typing import Any

from shardfleet_shard.core.frames import Answer, Offer
from shardfleet_shard.net.limits import LinkLimits

from .fleet import Fleet, Node, answer, eventually, offer

ROWS = 512


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def serve(pipe: Any) -> None:
    """The target: answers every offer, and says at the end what that cost."""

    async def run() -> None:
        node = Node(1, limits=LinkLimits())

        def receive(peer: str, epoch: int, frame: Any) -> None:
            if isinstance(frame, Offer):
                node.manager.send(peer, answer(sequence=frame.transfer.sequence))

        node.manager._on_frame = receive
        await node.start()
        pipe.send(node.address)
        while not pipe.poll():  # noqa: ASYNC110 - the parent says when
            await asyncio.sleep(0.05)
        pipe.send(cpu_s())
        await node.stop()

    asyncio.run(run())


async def measure_throughput(address: str, seconds: float) -> dict[str, float]:
    node = Node(0, limits=LinkLimits())
    answers = 0

    def receive(peer: str, epoch: int, frame: Any) -> None:
        nonlocal answers
        answers += isinstance(frame, Answer)

    node.manager._on_frame = receive
    node.manager.set_peers({"arena-1": (address, 1, 1)}, {"arena-1"})
    await eventually(lambda: node.up)
    sequence, frame = 0, offer(count=ROWS)
    started_s, started_cpu_s = time.perf_counter(), cpu_s()
    while time.perf_counter() - started_s < seconds:
        while node.manager.send("arena-1", frame):
            sequence += 1
        await asyncio.sleep(0.002)
    await eventually(lambda: answers == sequence)
    took_s = time.perf_counter() - started_s
    figures = {
        "offers_per_second": sequence / took_s,
        "entities_per_second": sequence * ROWS / took_s,
        "megabytes_per_second": node.manager.bytes_sent / took_s / 1e6,
        "source_cpu_us_per_offer": (cpu_s() - started_cpu_s) / sequence * 1e6,
    }
    await node.stop()
    return figures


async def measure_idle(seconds: float) -> dict[str, float]:
    """CPU of four shards in one process, each linked to the three others."""
    nodes = [Node(n, limits=LinkLimits()) for n in range(4)]
    async with Fleet(*nodes) as fleet:
        fleet.observe()
        await eventually(lambda: all(len(node.up) == 3 for node in nodes))
        before_s = cpu_s()
        await asyncio.sleep(seconds)
        share = (cpu_s() - before_s) / seconds / len(nodes)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"idle_cpu_percent_per_shard": 100 * share, "memory_mb": memory_mb}


def main(seconds: float = 3.0) -> dict[str, float]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    figures = asyncio.run(measure_throughput(ours.recv(), seconds))
    ours.send("end")
    offers = figures["offers_per_second"] * seconds
    figures["target_cpu_us_per_offer"] = ours.recv() / offers * 1e6
    process.join()
    figures.update(asyncio.run(measure_idle(seconds)))
    for name, value in figures.items():
        print(f"{name:30} {value:12,.1f}")
    return figures


if __name__ == "__main__":
    main()
