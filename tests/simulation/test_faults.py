"""A1 to A5 on virtual time: the production runtime under lost, doubled and late messages, crashes, pauses and cuts."""

from dataclasses import replace

import pytest
from shardfleet_shard.core import transfer
from shardfleet_shard.core.lease import Lease
from shardfleet_shard.core.transfer import OutgoingAction, OutgoingInput, OutgoingState
from shardfleet_shard.errors import InvariantError

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
def test_nothing_is_lost_or_doubled_by_faults_of_one_kind(kind: str) -> None:
    completed = 0
    for seed in range(SEEDS_PER_KIND):
        cluster = Cluster(seed, faults=KINDS[kind])
        cluster.run()
        completed += cluster.ledger.completed
    assert completed >= 20 * SEEDS_PER_KIND


@pytest.mark.parametrize("shards", [2, 3, 4])
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


def refused_runs(faults: Faults, seeds: int = 30) -> int:
    """How many of ``seeds`` runs the judge, or an invariant of the runtime's own, refuses."""
    refused = 0
    for seed in range(seeds):
        try:
            Cluster(seed, faults=faults).run()
        except (AssertionError, InvariantError):
            refused += 1
    return refused


def test_the_seeds_unacknowledged_drop_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for state in (OutgoingState.OFFERED, OutgoingState.CANCELING):
        wrong = (OutgoingAction.RELEASE, OutgoingState.RELEASED)
        monkeypatch.setitem(transfer.OUTGOING, (state, OutgoingInput.SWITCH), wrong)
    assert refused_runs(EVERYTHING) > 0


def test_a_cancel_without_compare_and_set_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for state in (OutgoingState.OFFERED, OutgoingState.CANCELING):
        wrong = (OutgoingAction.RESUME, OutgoingState.KEPT)
        monkeypatch.setitem(transfer.OUTGOING, (state, OutgoingInput.DEADLINE), wrong)
    assert refused_runs(NETWORK) > 0


def test_a_shard_that_ignores_its_lease_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "held", lambda self, boottime_us: self.valid_until_us > 0)
    assert refused_runs(replace(STALLS, pauses=0, stalls_with_successor=3)) > 0
