"""Snapshots made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from shardfleet_operator.map.snapshot import Snapshot
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.histogram import Histogram
from shardfleet_shard.core.layout import INFINITY, Cell, Layout
from shardfleet_shard.core.manifest import AuthorityManifest
from shardfleet_shard.core.requests import Member
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.store.handoff_transfer_manifest import ActiveTransfer

SECOND = 1_000_000
BEGAN = 1_700_000_000 * SECOND
RATE = 20
LAYOUT = Layout(
    1,
    (
        Cell("0", "a-0", (-INFINITY, -INFINITY), (0.0, INFINITY)),
        Cell("1", "a-1", (0.0, -INFINITY), (INFINITY, INFINITY)),
    ),
)

Row = tuple[int, int, float, float]
"""id, version, x, y"""


def manifest(
    shard: str,
    rows: Sequence[Row],
    *,
    unix_us: int = BEGAN,
    epoch: int = 1,
    states: Sequence[int] | None = None,
    dimensions: int = 2,
    **stats: Any,
) -> AuthorityManifest:
    ids, versions, x, y = ([row[column] for row in rows] for column in range(4))
    position = np.zeros((len(rows), dimensions))
    position[:, 0], position[:, 1] = x, y
    return AuthorityManifest(
        shard=shard,
        epoch=epoch,
        tick=unix_us * RATE // SECOND,
        unix_us=unix_us,
        position="0-0",
        rows=Schema(dimensions).rows(
            id=np.array(ids, np.uint64), version=np.array(versions, np.uint32), position=position
        ),
        states=np.array(states if states is not None else [0] * len(rows), np.uint8),
        stats={"state": "active", "entities": len(rows), **stats},
    )


def member(shard: str, *, epoch: int = 1, living: bool = True) -> Member:
    return Member(shard=shard, ordinal=int(shard[-1]), epoch=epoch, address="127.0.0.1:1", living=living)


def transfer(
    source: str,
    target: str,
    ids: Sequence[int],
    *,
    state: str = "started",
    holders: Sequence[str] | None = None,
    time_us: int = BEGAN,
) -> ActiveTransfer:
    return ActiveTransfer(
        id=TransferId(source, 1, 5),
        target=target,
        target_epoch=1,
        cell="1",
        state=state,
        transfer_time_us=time_us,
        switch_tick=time_us * RATE // SECOND,
        count=len(ids),
        ids=np.array(ids, np.uint64),
        versions=np.ones(len(ids), np.uint32),
        holders=frozenset(holders if holders is not None else [source]),
    )


def snapshot(
    manifests: Sequence[AuthorityManifest],
    *,
    unix_us: int = BEGAN,
    members: Sequence[Member] | None = None,
    layout: Layout | None = LAYOUT,
    transfers: Sequence[ActiveTransfer] = (),
    counters: Mapping[str, int] | None = None,
    **more: Any,
) -> Snapshot:
    return Snapshot(
        unix_us=unix_us,
        generation=more.pop("generation", "g"),
        layout=layout,
        members=tuple(members if members is not None else [member(one.shard) for one in manifests]),
        manifests={one.shard: one for one in manifests},
        transfers=transfers,
        counters=counters or {},
        **more,
    )


def ticks(*durations_us: int) -> dict[str, Any]:
    histogram = Histogram()
    for duration_us in durations_us:
        histogram.add(duration_us)
    return histogram.to_dict()
