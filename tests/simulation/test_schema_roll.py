"""A roll to other columns: shards of both schemas live, and every row is upgraded once, where it enters the new one."""

from __future__ import annotations

import itertools

import pytest
from shardfleet_shard.core.journal_requests import EntryKind
from shardfleet_shard.core.requests import Done
from shardfleet_shard.core.spawn_requests import Spawn, SpawnGroup
from shardfleet_shard.life import RuntimeState

from .cluster import START_US, Cluster, Faults
from .test_faults import NETWORK
from .test_layout_changes import give_away
from .wanderers import Birds

STEP_US = 1_500_000
"""Between two shards that are replaced."""
QUIET_US = 5_000_000


def roll(cluster: Cluster, *, from_us: int = START_US + 3_000_000) -> list[str]:
    """Replaces each shard by a new one of the second version, one after the other. Returns the new ones."""
    former = list(cluster.layout.shards)
    newcomers = [f"sim-{len(former) + number}" for number in range(len(former))]
    for number, (old, new) in enumerate(zip(former, newcomers, strict=True)):
        cluster.lives[new] = cluster.offsets_us[new] = 0
        cluster.newer.add(new)
        cluster.at(from_us + number * STEP_US, lambda new=new: cluster.start(new))
        cluster.at(from_us + number * STEP_US + 600_000, lambda old=old, new=new: give_away(cluster, old, new))
    return newcomers


@pytest.mark.parametrize("faults", [Faults(), NETWORK], ids=["no faults", "network"])
def test_every_row_is_upgraded_and_none_is_lost(faults: Faults) -> None:
    upgrades = 0
    for seed in range(3):
        cluster = Cluster(seed, shards=3, entities=30, faults=faults, quiet_us=QUIET_US)
        newcomers = roll(cluster)
        cluster.run()
        upgrades += cluster.counts["upgrade"]
        state = cluster.store.state
        for shard, process in cluster.processes.items():
            rows = process.runtime.context.tracker.rows
            if shard in newcomers:
                assert rows.schema.hash == cluster.newer_simulation.world.schema.hash
                seeded = rows.id <= 30
                assert (rows["former"][seeded] != 0).all()
            else:
                assert process.runtime.state is RuntimeState.RESIGNED and not len(rows)
        assert list(state.schemas) == [state.schema] == [cluster.newer_simulation.world.schema.hash]
    assert upgrades >= 3 * 30


def test_nobody_stands_still_for_long() -> None:
    cluster = Cluster(3, shards=3, entities=30, quiet_us=QUIET_US)
    roll(cluster)
    cluster.run()
    for entity, ticks in cluster.ledger.ticks.items():
        longest = max(after - before - 1 for before, after in itertools.pairwise(sorted(ticks)))
        assert longest <= 3, f"entity {entity} stood still for {longest} ticks"


def test_a_shard_of_the_former_schema_gets_no_row_of_the_new_one() -> None:
    """One cell stays with it for long, and everybody wants to cross into it."""
    cluster = Cluster(5, shards=2, entities=20, quiet_us=QUIET_US)
    cluster.lives["sim-2"] = cluster.offsets_us["sim-2"] = 0
    cluster.newer.add("sim-2")
    cluster.at(START_US + 2_000_000, lambda: cluster.start("sim-2"))
    cluster.at(START_US + 2_600_000, lambda: give_away(cluster, "sim-1", "sim-2"))
    cluster.run()
    assert cluster.store.state.election is not None
    assert cluster.store.state.election[0][0] == "sim-0", "arrivals go on: they are the former schema's"
    old, new = (cluster.processes[shard].runtime.context for shard in ("sim-0", "sim-2"))
    assert not len(old.tracker), "all that lived in the old cell has crossed over by now"
    outside = new.tracker.rows.position[:, 0] < 10.0 - new.config.border_margin
    assert outside.any(), "and waits, simulated, at the border that it cannot cross"
    entries = [entry for entry in cluster.store.state.journal("sim-0").entries if entry.kind is EntryKind.IN]
    assert not entries and not cluster.counts.get("frame lost")


def test_a_crashed_shard_comes_back_in_the_new_version() -> None:
    """Its pod is made from the new image: manifest and journal are of the former schema."""
    for seed in range(3):
        cluster = Cluster(seed, shards=2, entities=20, faults=Faults(confirmed_crash=1.0), quiet_us=QUIET_US)

        def crash(cluster: Cluster = cluster) -> None:
            cluster.newer.add("sim-1")
            cluster.crash(cluster.processes["sim-1"])

        cluster.at(START_US + 3_000_000, crash)
        cluster.run()
        rows = cluster.processes["sim-1"].runtime.context.tracker.rows
        assert rows.schema.hash == cluster.newer_simulation.world.schema.hash and len(rows)


def test_an_upgrade_that_fails_refuses_offers_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Birds, former: object, rows: object) -> None:
        raise KeyError("steps")

    monkeypatch.setattr(Birds, "upgrade", fail)
    cluster = Cluster(2, shards=2, entities=20, quiet_us=QUIET_US)
    cluster.lives["sim-2"] = cluster.offsets_us["sim-2"] = 0
    cluster.newer.add("sim-2")
    cluster.at(START_US + 2_000_000, lambda: cluster.start("sim-2"))
    cluster.at(START_US + 2_600_000, lambda: give_away(cluster, "sim-1", "sim-2"))
    with pytest.raises(AssertionError, match="A2: sim-1 is active at the end"):
        cluster.run()
    stats = cluster.processes["sim-2"].runtime.context.stats
    assert stats.offers_refused and not len(cluster.processes["sim-2"].runtime.context.tracker)
    owners = cluster.owners()
    assert all(len(held) == 1 for held in owners.values()) and set(range(1, 21)) <= set(owners)


@pytest.mark.parametrize("works", [True, False])
def test_rows_that_a_former_shard_spawned_are_upgraded_from_the_journal(
    works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They cannot be refused any more: where their upgrade fails, the process ends, and a better one takes them up."""

    def fail(self: Birds, former: object, rows: object) -> None:
        raise KeyError("steps")

    if not works:
        monkeypatch.setattr(Birds, "upgrade", fail)
    cluster = Cluster(2, shards=2, entities=20, quiet_us=QUIET_US)
    cluster.lives["sim-2"] = cluster.offsets_us["sim-2"] = 0
    cluster.newer.add("sim-2")
    rows = cluster.simulation.world.schema.rows(id=777, position=[[15.0, 5.0]], velocity=0.0, steps=4)

    def spawn() -> None:
        tick = cluster.grid.at(cluster.now_us) + 5
        group = SpawnGroup(cell="01", count=1, ids=rows.id.tobytes(), rows=rows.pack(), tick=tick)
        epoch = cluster.processes["sim-0"].runtime.context.epoch
        request = Spawn(shard="sim-0", epoch=epoch, groups=(group,))
        assert isinstance(cluster.store.execute(request, generation=cluster.store.run_id), Done)

    cluster.at(START_US + 2_000_000, lambda: cluster.start("sim-2"))
    cluster.at(START_US + 2_600_000, lambda: give_away(cluster, "sim-1", "sim-2"))
    cluster.at(START_US + 6_000_000, spawn)
    if not works:
        with pytest.raises(AssertionError, match="sim-2 ended with 4: while taking up rows of former columns"):
            cluster.run()
        return
    cluster.run()
    tracker = cluster.processes["sim-2"].runtime.context.tracker
    index = tracker.index_of(777)
    assert index is not None and tracker.rows["former"][index] == rows.hashes()[0]
    assert tracker.rows["steps"][index] > 4
