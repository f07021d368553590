"""Watchdogs beside a fleet on virtual time: they repair what stands, and do no harm, however late and however many."""

from __future__ import annotations

from dataclasses import replace

from .cluster import Cluster, Faults
from .test_faults import EVERYTHING
from .watchdog import SimulatedWatchdog

LONG_DEAD = replace(EVERYTHING, crashes=8, pauses=6, dead_us=(2_500_000, 5_000_000), frame_lost=0.5)
"""A source that is away for longer than the threshold leaves what it began to the watchdogs; offers are often lost."""


def watched(seed: int, faults: Faults) -> tuple[Cluster, list[SimulatedWatchdog]]:
    cluster = Cluster(seed, shards=3, faults=faults)
    watchdogs = [SimulatedWatchdog(cluster), SimulatedWatchdog(cluster, latest_us=3_000_000)]
    cluster.run()
    return cluster, watchdogs


def test_two_watchdogs_one_of_them_slow_repair_and_do_no_harm() -> None:
    repaired = findings = 0
    for seed in range(8):
        cluster, watchdogs = watched(seed, LONG_DEAD)
        repaired += cluster.store.state.counters["repaired_transfers"]
        findings += sum(watchdog.book.total for watchdog in watchdogs)
        assert not any(watchdog.book.standing for watchdog in watchdogs), f"seed {seed}"
    assert repaired >= 3 and findings > repaired


def test_a_healthy_fleet_gets_no_verdict() -> None:
    for seed in range(3):
        cluster, watchdogs = watched(seed, Faults())
        assert cluster.ledger.completed > 50
        assert [watchdog.book.total for watchdog in watchdogs] == [0, 0]
