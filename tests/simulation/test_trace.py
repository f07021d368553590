"""The trace of a simulated run proves what its own judge saw: the checker reads files, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from shardfleet_operator.checker import check_directory
from shardfleet_shard.core.trace_events import TraceEvent, TraceTick
from shardfleet_shard.trace import TraceWriter

from .cluster import Cluster, Process
from .test_faults import CRASHES, EVERYTHING, NETWORK

BOUND_S = 9.0
"""Of a hole, which faults that follow each other make longer than one: Redis is away, and then the shard is stopped."""


class Tracing:
    """Writes what each process of a cluster tells its ledger, as authority_manager.py would."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.cluster = cluster
        self.directory = directory
        self.writers: dict[Process, TraceWriter] = {}
        self.pass_on: Any = cluster.ledger
        cluster.ledger = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pass_on, name)

    def writer(self, process: Process) -> TraceWriter:
        context = process.runtime.context
        if process not in self.writers:
            self.writers[process] = TraceWriter(
                self.directory,
                process.shard,
                context.epoch,
                dimensions=2,
                dt_us=50_000,
                origin_tick=context.origin_tick,
            )
        return self.writers[process]

    def event(self, process: Process, event: TraceEvent) -> None:
        self.writer(process).write_events([event])
        self.pass_on.event(process, event)

    def simulated(self, process: Process, tick: TraceTick) -> None:
        self.writer(process).write(tick)
        self.pass_on.simulated(process, tick)


@pytest.mark.parametrize("kind", ["network", "crashes", "everything"])
def test_the_checker_proves_a_run_from_its_trace(kind: str, tmp_path: Path) -> None:
    faults = {"network": NETWORK, "crashes": CRASHES, "everything": EVERYTHING}[kind]
    for seed in range(4):
        cluster = Cluster(seed, shards=2 + seed % 3, faults=faults)
        tracing = Tracing(cluster, tmp_path / str(seed))
        cluster.run()
        for writer in tracing.writers.values():
            writer.close(end=False)
        report = check_directory(tmp_path / str(seed), bound_s=BOUND_S)
        assert report.ok, report.to_text()
        assert report.handoffs > 20
