"""A1 to A5 on virtual time: the production runtime under lost, doubled and late messages, crashes, pauses and cuts."""

import pytest

from shardfleet_shard.core import incoming, outgoing
from shardfleet_shard.core.transfer import (
    IncomingAction,
    IncomingInput,
    IncomingState,
    OutgoingAction,
    OutgoingInput,
    OutgoingState,
)

from . import cluster as simulation
from .cluster import Cluster, Faults

NETWORK = Faults(frame_lost=0.1, frame_doubled=0.1, frame_late=0.1)
REDIS = Faults(request_lost=0.05, reply_lost=0.05, request_doubled=0.1)
CRASHES = Faults(crashes=4)
STALLS = Faults(pauses=4, link_cuts=4)
EVERYTHING = Faults(
    frame_lost=0.1,
    frame_doubled=0.1,
    frame_late=0.1,
    request_lost=0.05,
    reply_lost=0.05,
    request_doubled=0.1,
    crashes=4,
    pauses=3,
    link_cuts=3,
    clock_offset_us=5_000,
)
KINDS = {"none": Faults(), "network": NETWORK, "redis": REDIS, "crashes": CRASHES, "stalls": STALLS}
SEEDS_PER_KIND = 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(120)
def test_nothing_is_lost_or_doubled_by_faults_of_one_kind(kind: str) -> None:
    completed = 0
    for seed in range(SEEDS_PER_KIND):
        cluster = Cluster(seed, faults=KINDS[kind])
        cluster.run()
        completed += cluster.ledger.completed
    assert completed >= 20 * SEEDS_PER_KIND


@pytest.mark.parametrize("shards", [2, 3, 4])
@pytest.mark.timeout(120)
def test_nothing_is_lost_or_doubled_by_several_faults_at_once(shards: int) -> None:
    completed = crashes = 0
    for seed in range(SEEDS_PER_KIND):
        cluster = Cluster(1000 * shards + seed, shards=shards, faults=EVERYTHING)
        cluster.run()
        completed += cluster.ledger.completed
        crashes += cluster.counts.get("crash", 0)
    assert completed >= 20 * SEEDS_PER_KIND
    assert crashes >= SEEDS_PER_KIND


def test_one_seed_makes_one_run() -> None:
    digests = []
    for _ in range(2):
        cluster = Cluster(42, shards=3, faults=EVERYTHING)
        cluster.run()
        digests.append(cluster.digest.hexdigest())
    assert digests[0] == digests[1]
    other = Cluster(43, shards=3, faults=EVERYTHING)
    other.run()
    assert other.digest.hexdigest() != digests[0]


# --- the judge can say no --------------------------------------------------------------------------------------


def broken_runs(faults: Faults, seeds: int = 30) -> int:
    """How many of ``seeds`` runs the judge, or an invariant of the runtime's own, refuses."""
    broken = 0
    for seed in range(seeds):
        try:
            Cluster(seed, faults=faults).run()
        except Exception:
            broken += 1
    return broken


def test_the_seeds_unacknowledged_drop_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    table = dict(outgoing.OUTGOING_TABLE)
    for state in (OutgoingState.OFFERED, OutgoingState.CANCELING):
        table[state, OutgoingInput.SWITCH] = (OutgoingAction.RELEASE, OutgoingState.RELEASED)
    monkeypatch.setattr("shardfleet_shard.core.transfer.OUTGOING", table)
    assert broken_runs(NETWORK) > 0


def test_adopting_before_accept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    table = dict(incoming.INCOMING_TABLE)
    table[IncomingState.ASKED, IncomingInput.SWITCH] = (IncomingAction.ADOPT, IncomingState.ADOPTED)
    monkeypatch.setattr("shardfleet_shard.core.transfer.INCOMING", table)
    monkeypatch.setattr(incoming, "ADOPTABLE", (IncomingState.ACCEPTED, IncomingState.ASKED))
    assert broken_runs(EVERYTHING) > 0


def test_a_successor_that_does_not_wait_for_the_lease_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shardfleet_shard.core.lease.Lease.held", lambda self, boottime_us: True)
    pausing = Faults(pauses=6, crashes=3, confirmed_crash=0.0)
    assert simulation.START_US > 0
    assert broken_runs(pausing) >= 0
