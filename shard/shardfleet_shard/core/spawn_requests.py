"""How entities enter the world and leave it. Part of core/requests.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SpawnGroup:
    """Rows for one cell, which must have a claimant, also where there are none. ``ids`` packed u64, as in the rows."""

    cell: str
    count: int
    ids: bytes
    rows: bytes
    tick: int
    """First grid tick to be simulated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn:
    """Any shard: a ``spawn`` entry in the journal of each cell's claimant, all or nothing.

    Refused: UNCLAIMED, DUPLICATE. Takes effect with the answer ``Done(OK)``. Counters: spawned.
    """

    shard: str
    epoch: int
    groups: tuple[SpawnGroup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """The election's holder: as ``Spawn``, and the world's origin and mark. Once in a world's life.

    Refused: NOT_OWNER, SEEDED (mark set or any id alive), UNCLAIMED, DUPLICATE. ``groups``: one for each cell.
    """

    shard: str
    epoch: int
    origin_tick: int
    groups: tuple[SpawnGroup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrive:
    """The election's holder: arrivals of world ticks ``after + 1 .. through``, exactly once.

    Refused: NOT_OWNER, UNCLAIMED, DUPLICATE, OLDER (``arrivals_through`` is not ``after``).
    """

    shard: str
    epoch: int
    after: int
    through: int
    groups: tuple[SpawnGroup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Despawn:
    """The owner: a ``despawn`` entry in its journal for those of ``ids`` that are alive. Counters: despawned.

    Answer ``Done(OK)``, also where none is alive any more.
    """

    shard: str
    epoch: int
    ids: bytes
    versions: bytes
