"""What a shard tells its trace, as plain values: one ``TraceTick`` a simulated tick, one ``TraceEvent`` a batch.

The runtime hands arrays over as they are, so that a batch of 4096 entities costs it no more than one; the writer
(../trace.py) makes one line an entity of them. docs/reference/trace.md says what each kind and field means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .columns import F64, U32, U64

EPOCH_START = "epoch_start"
EPOCH_END = "epoch_end"
SPAWN = "spawn"
DESPAWN = "despawn"
FREEZE = "freeze"
UNFREEZE = "unfreeze"
ADOPT = "adopt"
RELEASE = "release"

EPOCH_KINDS = (EPOCH_START, EPOCH_END)
ENTITY_KINDS = (SPAWN, DESPAWN, FREEZE, UNFREEZE, ADOPT, RELEASE)
KINDS = EPOCH_KINDS + ENTITY_KINDS

FROM_FINAL = "final"
FROM_OFFER = "offer"
FROM_MANIFEST = "manifest"
FROM_TAKEOVER = "takeover"
ORIGINS = (FROM_FINAL, FROM_OFFER, FROM_MANIFEST, FROM_TAKEOVER)

RESERVED = ("kind", "tick", "entity", "version")


def _no_ids() -> U64:
    return np.empty(0, "<u8")


def _no_versions() -> U32:
    return np.empty(0, "<u4")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TraceEvent:
    """Something that happened to a batch of entities, or to the shard's epoch.

    Raises:
        ValueError: an unknown kind, arrays of two lengths, an epoch's event with entities, or a detail that takes the
            name of a fixed field.
    """

    kind: str
    """One of ``KINDS``."""
    tick: int
    """Grid tick: the first from which the event holds (release, freeze, despawn: the first not simulated here any
    more; spawn, adopt, unfreeze: the first that can be simulated here)."""
    ids: U64 = field(default_factory=_no_ids)
    """(n,) uint64; empty for the kinds of an epoch."""
    versions: U32 = field(default_factory=_no_versions)
    """(n,) uint32: the version under which this shard owns the row (release: owned it)."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON values, the same for the whole batch: ``transfer``, ``origin`` (written as ``from``),
    ``switch_tick``, ``offer_tick``, ``state_tick``, ``target``, ``reason``, ``previous_epoch``."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no trace event of kind {self.kind!r}; there are {', '.join(KINDS)}")
        if len(self.ids) != len(self.versions):
            raise ValueError(f"{self.kind}: {len(self.ids)} ids and {len(self.versions)} versions")
        if self.kind in EPOCH_KINDS and len(self.ids):
            raise ValueError(f"{self.kind} is about no entity, not about {len(self.ids)}")
        if any(name in self.detail for name in RESERVED):
            raise ValueError(f"{self.kind}: a detail must not be called one of {', '.join(RESERVED)}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TraceTick:
    """Everything that one shard simulated in one tick, or in one step of catching up; all arrays are n long."""

    tick: int
    unix_us: int
    """The real clock when step 3 of this tick ended, Unix microseconds."""
    ids: U64
    versions: U32
    state_in: U64
    """``Columns.hashes()`` of the rows before the step."""
    state_out: U64
    """``Columns.hashes()`` of the rows after it."""
    positions: F64
    """(n, dimensions) float64, after the step."""
