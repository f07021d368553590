"""What of a confirmed census can be put right, and how. Pure: records in, requests out.

*Missing*: the ledger names an owner that shows no row, and somebody still has the row as it was before (the source of
the handoff, in a manifest that is older than its ``out``, or the journal of an earlier owner). That row goes to the
owner's journal under the ledger's version. Without such a row the entity is lost, and stays among the missing ones.

*Doubled*: the copy that is not the ledger's is taken away.

*Damaged*: while some record cannot be read whole, nothing is restored: what is missing may be in the rest of it, and
its shard may live and have it. The shard's next manifest, or its successor's first, replaces it.

The scripts look again before they write (store/scripts/restore_entity.lua, remove_copy.lua), since what was read here
is not of one moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from shardfleet_shard.core.census_requests import RemoveCopy, RestoreEntity
from shardfleet_shard.core.columns import Columns, packed_schema_hash
from shardfleet_shard.core.damage import damages_of, read_record
from shardfleet_shard.core.journal_requests import GAINS, EntryKind, ShardRecord
from shardfleet_shard.core.ledger import NOBODY, Ledger, evidence_of_fleet, fold_records, holdings
from shardfleet_shard.core.ledger import entry_rows as rows_of

MAX_REPAIRS = 64
"""In one census: each looks through the whole fleet's manifests in Redis. What is left comes with the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CensusRepairs:
    """``lost``: missing ids of which nobody has a row any more, sorted."""

    requests: tuple[RestoreEntity | RemoveCopy, ...] = ()
    lost: tuple[int, ...] = ()


@dataclass(slots=True)
class _Copies:
    """The best row of each missing id: (version, tick at whose end it is as it is, the packed row's columns)."""

    best: dict[int, tuple[int, int, Columns]] = field(default_factory=dict)

    def take(self, rows: Columns, tick: int, wanted: Sequence[int]) -> None:
        for place in np.flatnonzero(np.isin(rows.id, np.array(wanted, np.uint64))).tolist():
            entity, version = int(rows.id[place]), int(rows.version[place])
            if (version, tick) > self.best.get(entity, (-1, -1, None))[:2]:
                self.best[entity] = (version, tick, rows.take(np.array([place])))


def census_repairs(records: Sequence[ShardRecord], missing: Iterable[int], doubled: Iterable[int]) -> CensusRepairs:
    """The requests that put right what a census has confirmed.

    Args:
        records: those that the census was made from.
        missing, doubled: confirmed ids.
    """
    missing, doubled = sorted(missing), sorted(doubled)
    if not missing and not doubled:
        return CensusRepairs()
    ledger = fold_records(records)
    switched = _switch_ticks(records, {*missing, *doubled})
    requests: list[RestoreEntity | RemoveCopy] = []
    lost: list[int] = []
    damaged = bool(damages_of(records))
    copies = _copies(records, missing)
    for entity in missing:
        owner, version = _owner(ledger, entity)
        if not owner or entity not in copies.best:
            lost.append(entity)
            continue
        if damaged:
            continue
        _, tick, row = copies.best[entity]
        row = row.copy()
        row.arrays["version"][:] = version
        requests.append(
            RestoreEntity(
                owner=owner,
                entity=entity,
                version=version,
                tick=max(switched.get(entity, 0), tick + 1),
                offer_tick=tick,
                row=row.pack(),
            )
        )
    for entity in doubled:
        owner, _ = _owner(ledger, entity)
        for shard in _holders(records, entity):
            if owner and shard != owner:
                requests.append(RemoveCopy(shard=shard, owner=owner, entity=entity, tick=switched.get(entity, 0)))
    return CensusRepairs(requests=tuple(requests[:MAX_REPAIRS]), lost=tuple(lost))


def _owner(ledger: Ledger, entity: int) -> tuple[str, int]:
    """(shard, version), or ('', 0) where the ledger names nobody."""
    owner, version = ledger.owner_of([entity])
    return (ledger.owners[int(owner[0])], int(version[0])) if owner[0] != NOBODY else ("", 0)


def _copies(records: Sequence[ShardRecord], wanted: Sequence[int]) -> _Copies:
    copies = _Copies()
    read = {record.shard: read_record(record).manifest for record in records}
    manifests = {shard: manifest for shard, manifest in read.items() if manifest is not None}
    schemas = {manifest.rows.schema.hash: manifest.rows.schema for manifest in manifests.values()}
    for record in records:
        if (manifest := manifests.get(record.shard)) is not None:
            copies.take(manifest.rows, manifest.tick, wanted)
        for entry in record.entries:
            schema = schemas.get(packed_schema_hash(entry.rows))
            if entry.kind in GAINS and schema is not None:
                copies.take(schema.unpack(entry.rows, entry.count), entry.offer_tick, wanted)
    return copies


def _switch_ticks(records: Iterable[ShardRecord], wanted: set[int]) -> dict[int, int]:
    """The latest switch tick that any journal knows of each."""
    ticks: dict[int, int] = {}
    for record in records:
        for entry in record.entries:
            if entry.kind in (EntryKind.IN, EntryKind.OUT):
                for entity in wanted.intersection(rows_of(entry)[0].tolist()):
                    ticks[entity] = max(entry.tick, ticks.get(entity, 0))
    return ticks


def _holders(records: Iterable[ShardRecord], entity: int) -> list[str]:
    return [one.shard for one in evidence_of_fleet(records) if np.any(holdings(one)[0] == np.uint64(entity))]
