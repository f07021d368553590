"""``HandoffTransferManifest``: the active transfer records and who holds their entities, for watchdog and command.

A record and its holders are read by one script, so they are of one moment; the shards' own rows are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.columns import U32, U64
from ..core.transfer import TransferId
from .redis_store import RedisStore

READ_LIMIT = 4096
"""Records in one read: with 4096 entities in each that is 200 MB at worst; a fleet has a few hundred open."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActiveTransfer:
    """One record. ``ids`` u64 (count,) and ``versions`` u32 (count,), the target's, are read-only."""

    id: TransferId
    target: str
    target_epoch: int
    cell: str
    state: str
    """'started' or 'accepted'."""
    transfer_time_us: int
    switch_tick: int
    count: int
    ids: U64
    versions: U32
    holders: frozenset[str]
    """Empty between the source's release and the target's adoption."""

    @property
    def source(self) -> str:
        return self.id.source

    @property
    def source_epoch(self) -> int:
        return self.id.epoch


class HandoffTransferManifest:
    """Reads the active transfers of ``store``'s fleet. Raises ``StoreError`` and ``StoreUnavailable`` as it does."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def active(self, *, through_us: int | None = None, limit: int = READ_LIMIT) -> list[ActiveTransfer]:
        """The open transfers, oldest transfer time first.

        Args:
            through_us: only those with a transfer time (Unix us) up to this.
            limit: at most so many.
        """
        highest = "+inf" if through_us is None else through_us
        flat = await self._store.run_script("active", highest, limit)
        return [_transfer(flat[at], flat[at + 1]) for at in range(0, len(flat), 2)]

    async def holders(self, entity: int) -> frozenset[str] | None:
        """Who holds ``entity`` as its active transfer has it; None where it has none (its owner holds it alone).

        Of two transfers that name it (it moved on before the first was cleared) the later one answers.
        """
        found = [transfer for transfer in await self.active() if np.any(transfer.ids == np.uint64(entity))]
        return max(found, key=lambda transfer: transfer.switch_tick).holders if found else None


def _transfer(fields: Sequence[Any], holders: Sequence[bytes]) -> ActiveTransfer:
    source, epoch, sequence, target, target_epoch, cell, state, time_us, switch_tick, count, ids, versions = fields
    return ActiveTransfer(
        id=TransferId(source.decode(), int(epoch), int(sequence)),
        target=target.decode(),
        target_epoch=int(target_epoch),
        cell=cell.decode(),
        state=state.decode(),
        transfer_time_us=int(time_us),
        switch_tick=int(switch_tick),
        count=int(count),
        ids=np.frombuffer(ids, "<u8"),
        versions=np.frombuffer(versions, "<u4"),
        holders=frozenset(holder.decode() for holder in holders),
    )
