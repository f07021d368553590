"""ShardStats: what goes into a manifest's header comes out of it, also of another version's."""

from __future__ import annotations

import json

from shardfleet_shard.core.stats import ShardStats


def test_it_survives_a_header() -> None:
    stats = ShardStats(state="active", ticks=3, continuity_error_max=0.5)
    stats.gap_us.add(-40, 3)
    read = ShardStats.from_dict(json.loads(json.dumps(stats.to_dict())))
    assert read.to_dict() == stats.to_dict()
    assert read.gap_us.lowest == -40 and read.gap_us.count == 3


def test_a_newer_one_s_fields_are_ignored_and_an_older_one_s_gaps_are_defaults() -> None:
    read = ShardStats.from_dict({"ticks": 9, "warp_factor": 5})
    assert read.ticks == 9 and read.state == "starting" and read.tick_us.count == 0
