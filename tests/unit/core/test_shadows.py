"""What has left is remembered for as long as a Redis may forget it, despawns longer than released rows."""

import numpy as np
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.shadows import MARGIN_US, REMEMBER_US, Shadows
from shardfleet_shard.core.transfer import Outgoing, TransferId

OUTGOING = Outgoing(
    id=TransferId("a-0", 1, 1),
    target="a-1",
    target_epoch=1,
    cell="1",
    transfer_time_us=0,
    switch_tick=6,
    offer_tick=4,
    count=1,
    ids=b"",
    versions=b"",
    next_try_us=0,
)
IDS, VERSIONS = np.array([7], np.uint64), np.array([3], np.uint32)


def test_rows_and_despawns_are_forgotten_in_time() -> None:
    shadows = Shadows()
    shadows.release(OUTGOING, Schema(2).empty(), tick=5, now_us=0)
    shadows.despawn(IDS, VERSIONS, now_us=0)
    shadows.forget(REMEMBER_US - 1)
    assert len(shadows.released) == 1
    shadows.forget(REMEMBER_US)
    assert not shadows.released
    assert [part.tolist() for part in shadows.all_despawned()] == [[7], [3]]
    shadows.forget(REMEMBER_US + MARGIN_US)
    assert not shadows.despawned


def test_a_shard_that_only_despawns_forgets_too() -> None:
    shadows = Shadows()
    for at_us in range(0, 10 * REMEMBER_US, REMEMBER_US // 4):
        shadows.despawn(IDS, VERSIONS, now_us=at_us)
    assert len(shadows.despawned) <= 6
    shadows.despawn(IDS[:0], VERSIONS[:0], now_us=at_us)
    assert len(shadows.despawned) <= 6, "nothing is nothing to remember"
