"""What a census asks of Redis to put right; kept like requests.py, of which this is a part.

Readings are not of one moment, so both scripts look again, at one moment, at the shards' manifests and journals. A
shard *holds* an id where its manifest or an entry with rows shows it at a version above all that its journal lost.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreEntity:
    """A ``restore`` entry in the journal of ``owner``, whom the ledger names and who shows no row.

    Done(OK); Done(DECIDED) where the id is not alive; Refused(HELD, shard) where some shard holds it; Refused(OLDER,
    shard) where a higher version of it was given away. Nobody's epoch counts, only the generation. Counters: repaired.

    Attributes:
        version: the ledger's, which the row has too.
        tick: the first tick to be simulated, the switch tick by which the owner should have got it.
        offer_tick: the row is as of its end.
        row: one packed row.
    """

    owner: str
    entity: int
    version: int
    tick: int
    offer_tick: int
    row: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveCopy:
    """An ``out`` of no transfer in the journal of ``shard``, which holds a copy of what ``owner`` holds.

    Done(OK); Refused(HELD) where not both hold it, or ``shard`` at the higher version; Refused(OLDER) unless both
    manifests are at ticks >= ``tick``. Nobody's epoch counts, only the generation. Counters: repaired.

    Attributes:
        tick: the latest switch tick that any journal knows of the id; 0 for none.
    """

    shard: str
    owner: str
    entity: int
    tick: int
