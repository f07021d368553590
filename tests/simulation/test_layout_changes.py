"""Cells that move between living shards: nobody pauses, nothing is lost, and a shard without a cell ends."""

import itertools
from dataclasses import replace

import pytest
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.life import RuntimeState

from .cluster import START_US, Cluster, Faults
from .test_faults import NETWORK


def write_layout(cluster: Cluster, layout: Layout) -> None:
    cluster.layout = layout
    cluster.store.state.layout, cluster.store.state.layout_version = layout.to_json(), layout.version


def give_away(cluster: Cluster, shard: str, to: str) -> None:
    """All of ``shard``'s cells go to ``to``."""
    cells = tuple(replace(cell, shard=to) if cell.shard == shard else cell for cell in cluster.layout.cells)
    write_layout(cluster, Layout(version=cluster.layout.version + 1, cells=cells))


@pytest.mark.parametrize("faults", [Faults(), NETWORK], ids=["no faults", "network"])
def test_a_shard_that_loses_its_cell_hands_everything_over_and_resigns(faults: Faults) -> None:
    for seed in range(8):
        cluster = Cluster(seed, shards=3, entities=30, faults=faults)
        cluster.at(START_US + 4_000_000, lambda c=cluster: give_away(c, "sim-2", "sim-1"))
        cluster.run()
        last = cluster.processes["sim-2"].runtime
        assert last.state is RuntimeState.RESIGNED
        assert len(last.context.tracker) == 0
        assert set(cluster.store.state.claims.values()) == {
            (p.shard, p.runtime.context.epoch) for p in cluster.processes.values() if p.shard != "sim-2"
        }


def test_a_planned_move_leaves_nobody_unsimulated_for_more_than_three_ticks() -> None:
    for seed in range(8):
        cluster = Cluster(seed, shards=3, entities=30)
        cluster.at(START_US + 4_000_000, lambda c=cluster: give_away(c, "sim-2", "sim-1"))
        cluster.run()
        for entity, ticks in cluster.ledger.ticks.items():
            ordered = sorted(ticks)
            longest = max(after - before - 1 for before, after in itertools.pairwise(ordered))
            assert longest <= 3, f"entity {entity} stood still for {longest} ticks"


def test_a_shard_that_is_asked_to_drain_keeps_its_cell_until_the_layout_takes_it() -> None:
    cluster = Cluster(1, shards=2, entities=10)
    cluster.at(START_US + 3_000_000, lambda: cluster.processes["sim-1"].runtime.drain())
    seen: list[int] = []
    cluster.at(START_US + 6_000_000, lambda: seen.append(len(cluster.processes["sim-1"].runtime.context.tracker)))
    cluster.at(START_US + 6_000_000, lambda: give_away(cluster, "sim-1", "sim-0"))
    cluster.run()
    assert seen[0] > 0
    assert cluster.processes["sim-1"].runtime.state is RuntimeState.RESIGNED
