"""The watchdog's reads, from a real Redis, and its one write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shardfleet_shard.core.columns import U64
from shardfleet_shard.core.journal_requests import FleetRecords, ReadFleet, ShardRecord
from shardfleet_shard.core.manifest import AuthorityManifest
from shardfleet_shard.core.requests import Done, Outcome, Refused
from shardfleet_shard.core.takeover_requests import is_alias
from shardfleet_shard.errors import StoreUnavailable
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.handoff_transfer_manifest import ActiveTransfer, HandoffTransferManifest
from shardfleet_shard.store.redis_store import RedisStore

from .judge import ManifestSummary
from .repairs import AnyRepair


class StoreReader:
    """Reads on a connected ``RedisStore``; it needs no ``join``, for it changes nothing."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._transfers = HandoffTransferManifest(store)
        self._admin = FleetAdmin(store)

    @property
    def prefix(self) -> str:
        """Of the fleet's keys in Redis."""
        return self._store.prefix

    async def open_transfers(self, before_us: int | None) -> Sequence[ActiveTransfer]:
        """Active records with a transfer time before ``before_us`` (Unix us), or all of them, holders included.

        Bounded: of more than ``READ_LIMIT`` overdue ones the oldest come first, the others in a later audit.
        """
        return await self._transfers.active(through_us=None if before_us is None else before_us - 1)

    async def manifest_summaries(self) -> Mapping[str, ManifestSummary]:
        """Header of every shard's last manifest, by shard; without those that never published, and damaged ones."""
        prefix = self._store.prefix
        (flat,) = await self._store.call([("HGETALL", f"{prefix}epoch")])
        epochs = {name.decode(): epoch for name, epoch in zip(flat[::2], flat[1::2], strict=True)}
        shards = sorted(shard for shard in epochs if not is_alias(shard))
        manifests = await self._store.call([("HGET", f"{prefix}manifest:{shard}", "header") for shard in shards])
        leases = await self._store.call([("GET", f"{prefix}lease:{shard}") for shard in shards])
        found = {}
        for shard, header, lease in zip(shards, manifests, leases, strict=True):
            manifest, _ = AuthorityManifest.from_stored((header or b"").decode("utf-8", "replace"), ())
            if manifest is not None:  # else it never published, or the census says what is wrong with it
                found[shard] = ManifestSummary(
                    shard=shard,
                    epoch=manifest.epoch,
                    current_epoch=int(epochs[shard]),
                    tick=manifest.tick,
                    unix_us=manifest.unix_us,
                    living=lease == epochs[shard],
                )
        return found

    async def records_and_living(self) -> tuple[Sequence[ShardRecord], U64]:
        """Every manifest and journal with rows, and the registry of living ids."""
        (reply,) = await self._store.execute([ReadFleet()])
        if not isinstance(reply, FleetRecords):
            raise StoreUnavailable(f"no answer from Redis at {self._store.address}: {self._store.last_error}")
        return reply.records, await self._admin.living_ids()


class RepairingStore(StoreReader):
    """A ``WatchdogStore``; its ``RedisStore`` has joined, for a repair is refused once Redis is another."""

    async def repair(self, request: AnyRepair) -> Outcome | None:
        """None: refused, for what was to be put right is not so any more, or Redis is another than the joined one.

        Raises ``StoreUnavailable``.
        """
        (reply,) = await self._store.execute([request])
        if isinstance(reply, Refused):
            return None
        if not isinstance(reply, Done):
            raise StoreUnavailable(f"no answer from Redis at {self._store.address}: {self._store.last_error}")
        return reply.outcome
