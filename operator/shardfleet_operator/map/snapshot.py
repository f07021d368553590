"""What is read of a fleet for one frame of the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.manifest import AuthorityManifest
from shardfleet_shard.core.requests import Member
from shardfleet_shard.store.handoff_transfer_manifest import ActiveTransfer

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """One reading; its parts are not of one moment.

    Attributes:
        unix_us: when it ended.
        leader: the shard that owns the entity stream, or ''.
        manifests: the newest of each shard that has published one, rows included.
        transfers: the open ones, at most ``reader.MAX_TRANSFERS``, oldest first.
        links: who dials, by the pair's sorted names; '' where nobody holds the lease.
    """

    unix_us: int
    generation: str = ""
    phase: str = "run"
    leader: str = ""
    layout: Layout | None = None
    members: tuple[Member, ...] = ()
    manifests: Mapping[str, AuthorityManifest] = field(default_factory=dict)
    transfers: Sequence[ActiveTransfer] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    links: Mapping[Pair, str] = field(default_factory=dict)

    @property
    def living(self) -> frozenset[str]:
        return frozenset(member.shard for member in self.members if member.living)

    @property
    def shards(self) -> list[str]:
        """All that are meant to be there or still are, members by ordinal first."""
        named = [member.shard for member in self.members]
        cells = self.layout.shards if self.layout is not None else []
        return named + [shard for shard in cells if shard not in named]
