"""Attacks on the protocol: each kind runs a few seeds here; many more were run when it was written."""

import pytest

from .attacks import Attack, AttackCluster
from .cluster import Faults

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
@pytest.mark.timeout(120)
def test_an_attack_changes_nothing(kind: str) -> None:
    attack, faults = KINDS[kind]
    completed = 0
    for seed in range(4):
        cluster = AttackCluster(seed, attack, shards=2 + seed % 3, faults=faults)
        cluster.run()
        completed += cluster.ledger.completed
    assert completed > 60
