"""A shard that does not come back: when it is given up, who takes over what it held, and whose its cell is then. Pure.

The entities of a dead shard move again by its own restart or by this, and by nothing else. A restart comes first, and
has some time. A shard that is given up loses its cell to a neighbour, which takes over what it held; should it come
back after all, it starts with nothing, as a newcomer, and the plan cuts a cell for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.requests import Member

from .layout import merge, reassign

TAKE_OVER_AFTER_US = 10_000_000
"""Without a lease, where the platform knows that it cannot run."""
GIVE_UP_AFTER_US = 20_000_000
"""Without a lease, whatever the platform says: a node that is gone looks alive to a cluster for most of a minute. With
the lease before it and the takeover after it these are the 30 s that an entity may be without an owner."""
HOPELESS_RESTARTS = 3
"""Quick ends in a row after which a process is said not to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver:
    """``shard``, which lives under ``epoch``, takes over what ``gone`` held, unless that one is back by then.

    ``unix_us``: now. ``reason`` is for people.
    """

    shard: str
    epoch: int
    gone: str
    gone_epoch: int
    unix_us: int
    reason: str


@dataclass(slots=True)
class Absences:
    """Since when shards have had no lease, by one who looks again and again, and may begin to look at any time."""

    _since_us: dict[tuple[str, int], int] = field(default_factory=dict)

    def see(self, members: Iterable[Member], now_us: int) -> dict[str, int]:
        """Shard -> Unix microseconds, of those in Redis without a lease. A new epoch is a sign of life."""
        absent = {(member.shard, member.epoch) for member in members if not member.living}
        self._since_us = {one: self._since_us.get(one, now_us) for one in sorted(absent)}
        return {shard: since_us for (shard, _), since_us in self._since_us.items()}


def given_up(
    members: Iterable[Member],
    here: Collection[str],
    absent_us: Mapping[str, int],
    cannot_run: Collection[str],
    now_us: int,
) -> list[Member]:
    """Shards that are not waited for any longer, those that have been away longest first.

    Args:
        here: shards with a cell.
        absent_us: as ``Absences.see`` has it.
        cannot_run: shards that the platform knows not to run soon.
    """
    members = list(members)
    living = {member.shard for member in members if member.living}
    # Where most are away at once it is not the shards: they come back together once the common cause has gone.
    most_live = 2 * len(living.intersection(here)) >= len(here)
    found = []
    for member in members:
        if member.living or member.shard not in absent_us:
            continue
        waited_us = now_us - absent_us[member.shard]
        for_long = waited_us >= GIVE_UP_AFTER_US and most_live
        if for_long or (waited_us >= TAKE_OVER_AFTER_US and member.shard in cannot_run):
            found.append(member)
    return sorted(found, key=lambda member: (absent_us[member.shard], member.ordinal))


def next_look_us(absent_us: Mapping[str, int], now_us: int) -> int | None:
    """When the next shard may be given up; None where none is away."""
    ends = [since_us + wait_us for since_us in absent_us.values() for wait_us in (TAKE_OVER_AFTER_US, GIVE_UP_AFTER_US)]
    return min((end_us for end_us in ends if end_us > now_us), default=None)


def taker_of(layout: Layout, gone: str, living: Mapping[str, Member], owned: Mapping[str, int]) -> Member | None:
    """Who takes over: the shard of the sibling cell, else the one with the fewest entities among the nearest cells,
    else one without a cell. None where ``living`` has no other shard.
    """
    paths = [cell.path for cell in layout.cells_of(gone)] or [""]
    path = paths[0]
    for length in range(max(len(path) - 1, 0), -1, -1):
        near = {cell.shard for cell in layout.cells if cell.path.startswith(path[:length])}
        if able := [living[shard] for shard in near if shard in living and shard != gone]:
            break
    else:
        able = [member for shard, member in living.items() if shard != gone]
    return min(able, key=lambda member: (owned.get(member.shard, 0), member.ordinal), default=None)


def give_away(layout: Layout, gone: str, taker: str) -> Layout:
    """All cells of ``gone`` go to ``taker``: joined with its own where that is the sibling, else as they are."""
    for cell in layout.cells_of(gone):
        sibling = layout.by_path.get(cell.path[:-1] + ("1" if cell.path.endswith("0") else "0"))
        if cell.path and sibling is not None and sibling.shard == taker:
            layout = merge(layout, cell.path[:-1], keep=taker)
        else:
            layout = reassign(layout, cell.path, taker)
    return layout
