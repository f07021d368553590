"""Reads snapshots of one fleet from Redis: two or three pipelines each, whatever the number of entities.

Only reads are sent, and none that holds Redis for long: manifests come chunk by chunk, and only where their tick is
new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shardfleet_shard.core.clock import Clock
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.manifest import AuthorityManifest
from shardfleet_shard.core.requests import Observe, Observed
from shardfleet_shard.errors import StoreUnavailable
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.handoff_transfer_manifest import HandoffTransferManifest
from shardfleet_shard.store.keys import link_pair
from shardfleet_shard.store.redis_store import READ_TIMEOUT_S, RedisStore

from .snapshot import Pair, Snapshot

MAX_TRANSFERS = 512
CHUNKS_A_READ = 32
"""8 MB at most in one answer."""
LINKS_EVERY_US = 1_000_000
MAX_LINKS = 4096


@dataclass(frozen=True, slots=True)
class _Place:
    """A manifest's row in Redis, without its chunks."""

    epoch: bytes
    tick: bytes
    chunks: int
    header: bytes


class Reader:
    """On a connected ``store``, of which it uses nothing that writes. Methods raise ``StoreError`` as it does."""

    def __init__(self, store: RedisStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._admin = FleetAdmin(store)
        self._transfers = HandoffTransferManifest(store)
        self._places: dict[str, _Place] = {}
        self._manifests: dict[str, AuthorityManifest] = {}
        self._links: Mapping[Pair, str] = {}
        self._links_us = 0

    async def read(self) -> Snapshot:
        """Raises ``StoreUnavailable``. Of a damaged manifest it shows what is whole."""
        (observed,) = await self._store.execute([Observe()])
        if not isinstance(observed, Observed):
            raise StoreUnavailable(f"no answer from Redis at {self._store.address}: {self._store.last_error}")
        layout = Layout.from_json(observed.layout) if observed.layout else None
        transfers = await self._transfers.active(limit=MAX_TRANSFERS)
        counters = await self._admin.counters()
        shards = {member.shard for member in observed.members}
        await self._read_manifests(sorted(shards.union(layout.shards if layout is not None else ())))
        await self._read_links(layout)
        return Snapshot(
            unix_us=self._clock.now_unix_us(),
            generation=observed.generation,
            phase=observed.phase,
            leader=observed.owner[0],
            layout=layout,
            members=observed.members,
            manifests=dict(self._manifests),
            transfers=transfers,
            counters=counters,
            links=self._links,
        )

    async def _read_manifests(self, shards: Sequence[str]) -> None:
        for gone in self._places.keys() - set(shards):
            self._manifests.pop(gone, None)
            del self._places[gone]
        changed = await self._changed(shards)
        await self._read_chunks(changed)
        again = [shard for shard in changed if self._places.get(shard) != changed[shard]]
        if again:  # they were published anew meanwhile; where it happens twice, what is there stays for this time
            await self._read_chunks(await self._changed(again))

    async def _changed(self, shards: Sequence[str]) -> dict[str, _Place]:
        calls = [("HMGET", f"{self._store.prefix}manifest:{shard}", "epoch", "tick", "chunks", "header")
                 for shard in shards]  # fmt: skip
        answers = await self._store.call(calls) if calls else []
        found = {}
        for shard, (epoch, tick, chunks, header) in zip(shards, answers, strict=True):
            before = self._places.get(shard)
            if header is not None and (before is None or (before.epoch, before.tick) != (epoch, tick)):
                found[shard] = _Place(epoch, tick, int(chunks), header)
        return found

    async def _read_chunks(self, places: Mapping[str, _Place]) -> None:
        wanted = [(shard, number) for shard, place in places.items() for number in range(1, place.chunks + 1)]
        chunks: dict[str, list[bytes | None]] = {shard: [] for shard in places}
        for at in range(0, len(wanted), CHUNKS_A_READ):
            some = wanted[at : at + CHUNKS_A_READ]
            calls = [("GET", self._chunk_key(shard, places[shard], number)) for shard, number in some]
            for (shard, _), chunk in zip(some, await self._store.call(calls, timeout_s=READ_TIMEOUT_S), strict=True):
                chunks[shard].append(chunk)
        for shard, parts in chunks.items():
            whole = [part for part in parts if part is not None]
            if len(whole) == len(parts):
                header = places[shard].header.decode("utf-8", "replace")
                manifest, _ = AuthorityManifest.from_stored(header, whole)
                self._places[shard] = places[shard]
                if manifest is not None:
                    self._manifests[shard] = manifest

    def _chunk_key(self, shard: str, place: _Place, number: int) -> str:
        return f"{self._store.prefix}chunk:{shard}:{place.epoch.decode()}:{place.tick.decode()}:{number}"

    async def _read_links(self, layout: Layout | None) -> None:
        """Who dials whom, of neighbours; a shard has no other links of note."""
        now_us = self._clock.now_unix_us()
        if layout is None or now_us - self._links_us < LINKS_EVERY_US:
            return
        pairs = sorted({(min(one, other), max(one, other)) for one in layout.shards
                        for other in layout.neighbours_of(one)})[:MAX_LINKS]  # fmt: skip
        calls: list[Any] = [("GET", f"{self._store.prefix}link:{link_pair(*pair)}") for pair in pairs]
        holders = await self._store.call(calls) if calls else []
        self._links = {pair: (holder or b"").decode().partition(" ")[0]
                       for pair, holder in zip(pairs, holders, strict=True)}  # fmt: skip
        self._links_us = now_us
