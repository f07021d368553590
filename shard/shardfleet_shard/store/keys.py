"""Where everything lies in Redis. All keys of a fleet start with ``sf:<fleet>:``.

| key | type | content |
| --- | --- | --- |
| meta | hash | generation, roll, format, schema (newest hash), seeded, origin_tick, ..., resigned:<shard> (epoch) |
| layout | hash | version, json |
| epoch | hash | shard -> its epoch; every shard that ever was, and aliases of taken ones, ``shard@epoch`` |
| lease:<shard> | string, PX | the epoch that may simulate |
| claims | hash | cell path -> "shard epoch" |
| members | hash | shard -> "ordinal epoch address" |
| election | string, PX | "shard epoch" of the entity stream's owner |
| link:<a>\\|<b> | string, PX | "shard epoch" of who dials; the names sorted |
| record:<id> | hash | an open transfer: state, source, source_epoch, sequence, target, target_epoch, cell, ... |
| holders:<id> | set | the shards that hold its entities |
| active | zset | transfer ids by transfer_time_us |
| decided:<shard>:<epoch> | hash | floor (this and all lower sequences are decided), and a field for each one above |
| journal:<shard> | stream | h "kind transfer peer count tick offer_tick", i ids, v versions, c "CRC-32 of rows, seal" |
| rows:<shard> | hash | journal entry id -> its rows, where it has some; apart, so that tailing never touches them |
| manifest:<shard> | hash | epoch, tick, position, header, chunks (their number) |
| chunk:<shard>:<epoch>:<tick>:<n> | string | a manifest's chunks, n from 1 |
| stage:<shard>:<epoch>:<tick>:<n> | string, PX | chunks on their way to a manifest; PUBLISH renames them |
| stage:<shard>:<epoch>:<tick>:rejoin<n> | string, PX | rows on their way to journals; REJOIN takes them |
| ids | hash | living entities: upper 7 bytes of the id (little-endian) -> 32-byte bitmap of the low byte |
| schemas | hash | schema hash -> its columns as JSON, of every schema that something in the fleet may still have |
| schema_of | hash | shard -> the schema hash of its newest process |
| gone | zset | despawned ids (8 bytes, little-endian) by Unix ms, for 60 s and while a journal may hold the despawn |
| roll | hash | shard -> "epoch state" (said, lapsed, ready), while the roll is called |
| told | set | "kind id" of the transfers' entries that were said in it |
| counters | hash | started_transfers, started_entities, the same of completed, canceled ...; spawned, despawned |

``ids`` takes about 45 bytes for 256 neighbouring ids, and is exact for every u64; a set of decimal numbers would not
be an intset above 2^63, and would need arithmetic that Lua's doubles cannot do.

``rests`` is "tick origin tick origin ...": from which grid tick a world that rested went on, and its origin until then.

``roll`` in ``meta`` is "phase end call_ms", while the roll is called: the end of calling by Redis' clock.

``resigned:<shard>`` stays until the next RECOVER: a RESIGN that is repeated is answered the same, and a late RENEW of
that epoch is refused.
"""

from __future__ import annotations

import re

FORMAT = "2"
"""Of the layout above, in ``meta.format``. Data of another format is refused, never converted by guessing."""

ROOT = "sf:"
FLEET_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

COUNTERS = (
    "started_transfers",
    "started_entities",
    "completed_transfers",
    "completed_entities",
    "canceled_transfers",
    "canceled_entities",
    "rejected_transfers",
    "rejected_entities",
    "repaired_transfers",
    "repaired_entities",
    "spawned",
    "despawned",
)

IDS_PER_BITMAP = 256
BUCKET_BYTES = 7
BITMAP_BYTES = IDS_PER_BITMAP // 8


def fleet_prefix(fleet: str) -> str:
    """``sf:<fleet>:``. Raises ``ValueError`` for a name that is no lower-case DNS name."""
    if FLEET_NAME.fullmatch(fleet) is None:
        raise ValueError(f"fleet name {fleet!r}: lower-case letters, digits, '-' and '.' only, at most 253 of them")
    return f"{ROOT}{fleet}:"


def fleet_of(meta_key: str) -> str:
    """The reverse for a fleet's ``meta`` key."""
    return meta_key.removeprefix(ROOT).removesuffix(":meta")


def link_pair(one: str, other: str) -> str:
    """The sorted pair as it stands in a link lease's key."""
    return "|".join(sorted((one, other)))
