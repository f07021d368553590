"""The census: does every living entity have exactly one shard that holds it?

``census`` compares the registry of living ids with what each shard holds by its own manifest and journal. It is
pure. The records that it gets are not of one moment: an entity that moves while they are read can show up twice or
not at all. So one census proves nothing, and ``CensusHistory`` says what several in a row do prove:

- *Doubled*: the same shard shows the same row at the same version again, in a record read after the other holder
  was seen. A handover would have put an ``out`` beside that row, so this is certain.
- *Missing*: held nowhere, time and again. To be seen nowhere by mere chance it is enough to be accepted between the
  reading of the target and of the source, and a busy entity may be so in every census; but each of these handoffs
  has raised its version. To be seen nowhere again under no higher version, an entity must be accepted, switched and
  published within one reading. A quick one is shorter than that takes, so two agree soon enough; of slow ones many
  must agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from shardfleet_shard.core.columns import U64
from shardfleet_shard.core.damage import Damage, read_record
from shardfleet_shard.core.journal_requests import EntryKind, ShardRecord
from shardfleet_shard.core.ledger import ShardEvidence, entry_rows, evidence_in, fold, holdings, resolved
from shardfleet_shard.core.manifest import FROZEN, PASSING
from shardfleet_shard.core.takeover_requests import is_alias

CONFIRM_AFTER_US = 1_500_000
"""Two censuses that are to agree lie at least this far apart."""
QUICK_READING_US = 40_000
"""Shorter than the default 60 ms between an acceptance and the switch, less the guard."""
SLOW_READINGS_TO_AGREE = 8

Claim = tuple[int, str, int]
"""(id, shard, version): one of several shards that hold the id."""

_NO_IDS = np.zeros(0, np.uint64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Census:
    """One count of the fleet. Id arrays are sorted u64.

    Attributes:
        unix_us: when the reading began.
        reading_us: how long it took.
        expected: entities that were spawned and not despawned.
        owned: those of them that exactly one shard holds, whatever their state there.
        passing, frozen: rows that manifests show in that state; part of ``owned``.
        missing: living, and held nowhere.
        given: the version under which journals last gave away each of ``missing``; left out where none did.
        doubled: held by more than one shard.
        strays: held, and not living by the registry.
        claims: who holds what of ``doubled``.
        published: (epoch, tick) of each shard's manifest.
        damages: what of the records had to be left out; what that held counts as missing.
    """

    unix_us: int
    reading_us: int = 0
    expected: int = 0
    owned: int = 0
    passing: int = 0
    frozen: int = 0
    missing: U64 = field(default_factory=lambda: _NO_IDS)
    given: Mapping[int, int] = field(default_factory=dict)
    doubled: U64 = field(default_factory=lambda: _NO_IDS)
    strays: U64 = field(default_factory=lambda: _NO_IDS)
    claims: frozenset[Claim] = frozenset()
    published: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    damages: tuple[Damage, ...] = ()

    def to_dict(self) -> dict[str, int]:
        """The figures of a report's ``entities``."""
        return {
            "expected": self.expected,
            "owned": self.owned,
            "passing": self.passing,
            "frozen": self.frozen,
            "missing": len(self.missing),
            "doubled": len(self.doubled),
        }


def census(records: Sequence[ShardRecord], living_ids: Any, now_us: int, *, reading_us: int = 0) -> Census:
    """Counts the fleet, taking the records at their word where they are whole.

    Args:
        records: every shard's manifest and journal, rows included.
        living_ids: (n,) u64, the registry: spawned and not despawned.
        now_us: Unix microseconds at which the reading began.
        reading_us: how long the reading took.
    """
    living = np.unique(np.asarray(living_ids, np.uint64))
    passing = frozen = 0
    published: dict[str, tuple[int, int]] = {}
    ids, versions, shards = [_NO_IDS], [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
    evidences, damages = [], list[Damage]()
    for record in records:
        read = read_record(record)
        evidences.append(evidence_in(read))
        damages += read.damages
        manifest = read.manifest
        if manifest is not None and not is_alias(record.shard):
            published[record.shard] = (manifest.epoch, manifest.tick)
            passing += int(np.count_nonzero(manifest.states == PASSING))
            frozen += int(np.count_nonzero(manifest.states == FROZEN))
    resolved_evidences = resolved(evidences)
    hides_loss = {one.shard for one in damages if one.may_hide_loss}
    ledger = fold(resolved_evidences) if hides_loss else None
    for number, evidence in enumerate(resolved_evidences):
        held, at_version = holdings(evidence)
        if ledger is not None and evidence.shard in hides_loss:
            # By the entry that could not be read it may have gone to whoever shows it at a higher version.
            kept = ledger.keeps(evidence.shard, held, at_version)
            held, at_version = held[kept], at_version[kept]
        ids.append(held)
        versions.append(at_version)
        shards.append(np.full(len(held), number, np.int64))

    all_ids, all_versions, all_shards = np.concatenate(ids), np.concatenate(versions), np.concatenate(shards)
    held_ids, holders = np.unique(all_ids, return_counts=True)
    doubled = held_ids[holders > 1]
    claims = frozenset(
        (int(all_ids[row]), records[all_shards[row]].shard, int(all_versions[row]))
        for row in np.flatnonzero(np.isin(all_ids, doubled))
    )
    missing = np.setdiff1d(living, held_ids, assume_unique=True)
    return Census(
        unix_us=now_us,
        reading_us=reading_us,
        expected=len(living),
        owned=int(np.count_nonzero(np.isin(held_ids[holders == 1], living))),
        passing=passing,
        frozen=frozen,
        missing=missing,
        given=_given(evidences, missing),
        doubled=doubled,
        strays=np.setdiff1d(held_ids, living, assume_unique=True),
        claims=claims,
        published=published,
        damages=tuple(damages),
    )


def _given(evidences: Sequence[ShardEvidence], missing: U64) -> dict[int, int]:
    given: dict[int, int] = {}
    entries = (entry for evidence in evidences for entry in evidence.entries if entry.kind is EntryKind.OUT)
    for entry in entries if len(missing) else ():
        ids, versions = entry_rows(entry)
        among = np.isin(ids, missing)
        for entity, version in zip(ids[among].tolist(), versions[among].tolist(), strict=True):
            given[entity] = max(version, given.get(entity, 0))
    return given


@dataclass(slots=True)
class CensusHistory:
    """What censuses in a row prove together. Holds an entry for each id under suspicion and for no other."""

    _missing: dict[int, tuple[int, int, bool, int]] = field(default_factory=dict)
    """id -> (unix_us of the first census that missed it, censuses in a row, all readings quick, version given)."""
    _beaten: dict[Claim, int] = field(default_factory=dict)
    """Claim that another shard's claim equals or exceeds -> unix_us of the first census that saw it so."""
    _published: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    _proven: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())

    def confirm(self, latest: Census) -> Census:
        """``latest`` with only those missing and doubled ids that it and the ones before it agree on.

        A census before which no shard has published anything new adds nothing: what stood proven stands.
        """
        if not self._published or latest.published != self._published:
            self._published = dict(latest.published)
            self._proven = (self._count_missing(latest), self._count_doubled(latest))
        missing, doubled = self._proven
        return replace(
            latest,
            missing=np.array([entity for entity in latest.missing.tolist() if entity in missing], np.uint64),
            doubled=np.array([entity for entity in latest.doubled.tolist() if entity in doubled], np.uint64),
        )

    def _count_missing(self, latest: Census) -> frozenset[int]:
        quick = latest.reading_us <= QUICK_READING_US
        missing: dict[int, tuple[int, int, bool, int]] = {}
        for entity in latest.missing.tolist():
            given, anew = latest.given.get(entity, 0), (latest.unix_us, 0, True, 0)
            since, count, all_quick, before = self._missing.get(entity, anew)
            if given > before:  # somebody had it meanwhile
                since, count, all_quick, before = anew
            missing[entity] = (since, count + 1, all_quick and quick, max(given, before))
        self._missing = missing
        proven, _ = self._proven
        return frozenset(
            entity
            for entity, (since, count, all_quick, _) in missing.items()
            # What quick readings have proven, a slow one that misses it too does not call in question.
            if (entity in proven and count > 1)
            or (latest.unix_us - since >= CONFIRM_AFTER_US and count >= (2 if all_quick else SLOW_READINGS_TO_AGREE))
        )

    def _count_doubled(self, latest: Census) -> frozenset[int]:
        top: dict[int, list[int]] = {}
        for entity, _, version in latest.claims:
            top.setdefault(entity, []).append(version)
        highest = {entity: sorted(versions)[-2:] for entity, versions in top.items()}
        self._beaten = {
            claim: self._beaten.get(claim, latest.unix_us)
            for claim in sorted(latest.claims)
            # The highest claim alone is never suspect: it may be a handover just made.
            if claim[2] < highest[claim[0]][-1] or highest[claim[0]][0] == highest[claim[0]][-1]
        }
        return frozenset(
            entity for (entity, _, _), since in self._beaten.items() if latest.unix_us - since >= CONFIRM_AFTER_US
        )
