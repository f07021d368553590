"""Snapshots in, frames out: who is where and whose, by slot. Pure.

Manifests are not of one moment: for an instant an entity that changes hands is in two of them or in none. The higher
version wins; and what is in none stays where it was for a while (``grace_of``), marked as passing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from shardfleet_shard.core.columns import F64
from shardfleet_shard.core.manifest import PASSING
from shardfleet_shard.store.handoff_transfer_manifest import ActiveTransfer

from .figures import ShardFigures, rate_of
from .frame import ABSENT, MAX_SHARDS, SHARD_BITS, Frame, Tags, encode_frame, owners_of, tags_of
from .history import SPAN_US
from .owners import OwnerLog
from .slots import NOWHERE, Slots, SlotTable
from .snapshot import Snapshot

GRACE_US = 1_500_000
"""More than lies between a source's last manifest and the target's first, where shards publish within half a second."""
KEEP_US = SPAN_US + 10_000_000
MARGIN = 1.1
"""The world that is shown, where its box is not known: so much more than what was seen of it."""

Box = tuple[tuple[float, float], tuple[float, float]]


class Painter:
    """One fleet.

    Args:
        box: the world's (low, high), its first two axes, or None: then it is what shards say, or else what entities and
            cuts were seen to need.
    Attributes:
        slots: of the frames that it made.
        names: shards by their number, as tags have it; only ever appended to.
    """

    def __init__(self, *, box: Box | None = None) -> None:
        self.slots = SlotTable(keep_us=KEEP_US)
        self.owners = OwnerLog()
        self.names: list[str] = []
        self._box = None if box is None else np.array(box, float)
        self._seen_box = np.array([[np.inf, np.inf], [-np.inf, -np.inf]])
        self._figures = ShardFigures()
        self._made = 0
        self._unix_us = 0
        self._position = np.zeros((0, 2))
        self._tag = np.zeros(0, np.uint16)
        self._version = np.zeros(0, np.uint32)
        self._seen_us = np.zeros(0, np.int64)
        self._came_us = np.zeros(0, np.int64)
        self._first_owner = np.zeros(0, np.uint16)
        self._owner = np.zeros(0, np.uint16)

    def paint(self, snapshot: Snapshot) -> Frame:
        """The next frame."""
        for shard in [*snapshot.shards, *sorted(snapshot.manifests)]:
            self._number(shard)
        now_us, grace_us = snapshot.unix_us, grace_of(snapshot)
        hidden = self._take_rows(snapshot, grace_us)
        self._tag[self._seen_us < now_us - grace_us] = ABSENT
        self._mark_passing(np.flatnonzero((self._seen_us < now_us) & (self._tag != ABSENT)))
        for transfer in snapshot.transfers:
            self._mark_transfer(transfer)
        handoffs = self._note_owners(now_us)
        freed = self.slots.expire(now_us)
        self._came_us[freed] = self._version[freed] = self._seen_us[freed] = 0
        self._made += 1
        self._unix_us = now_us
        meta = self._meta(snapshot, handoffs, hidden)
        return Frame(
            number=self._made,
            unix_us=now_us,
            revision=self.slots.revision,
            data=encode_frame(meta, self._position, self._tag),
        )

    def entity(self, entity_id: int) -> dict[str, Any] | None:
        """What is known of one, its history of owners oldest first; None where it was not seen of late."""
        (slot,) = self.slots.find(np.array([entity_id], np.uint64)).tolist()
        if slot == NOWHERE or self._came_us[slot] == 0:
            return None
        tag = int(self._tag[slot])
        there = tag != ABSENT
        came_us = int(self._came_us[slot])
        first = {"unix_us": came_us, "owner": self.names[self._first_owner[slot]], "version": None}
        later = [
            {"unix_us": change.unix_us, "owner": self.names[change.owner], "version": change.version}
            for change in self.owners.of(slot, came_us)
        ]
        return {
            "entity": str(entity_id),  # JavaScript's numbers end at 2^53
            "unix_us": self._unix_us,
            "slot": slot,
            "owner": self.names[tag & MAX_SHARDS] if there else None,
            "state": tag >> SHARD_BITS if there else None,
            "version": int(self._version[slot]),
            "position": self._position[slot].tolist(),
            "owners": [first, *later],
        }

    # --- entities ------------------------------------------------------------------------------------------------

    def _take_rows(self, snapshot: Snapshot, grace_us: int) -> int:
        """What manifests show. Returns how many entities have no slot."""
        manifests = sorted(snapshot.manifests.items())
        if not manifests:
            return 0
        numbers = [np.full(len(one.rows), self._number(shard), np.uint16) for shard, one in manifests]
        ids = np.concatenate([one.rows.id for _, one in manifests])
        versions = np.concatenate([one.rows.version for _, one in manifests])
        places = np.concatenate([one.rows.position[:, :2] for _, one in manifests])
        tags = tags_of(np.concatenate(numbers), np.concatenate([one.states for _, one in manifests]))
        slots = self.slots.take(ids, snapshot.unix_us)
        self._grow()
        known = (slots != NOWHERE) & np.isfinite(places).all(1)
        # A dead shard goes on to show what it had handed over: the newer row was seen, and is about to be seen again.
        lately = self._seen_us[slots] >= snapshot.unix_us - grace_us
        known &= ~(lately & (versions < self._version[slots]))
        order = np.argsort(versions[known], kind="stable")  # of two rows the higher version is written last
        at = slots[known][order]
        self._position[at] = places[known][order]
        self._tag[at] = tags[known][order]
        self._version[at] = versions[known][order]
        self._seen_us[at] = snapshot.unix_us
        return len(np.unique(ids[slots == NOWHERE]))

    def _mark_passing(self, slots: Slots) -> None:
        self._tag[slots] = tags_of(owners_of(self._tag[slots]), np.full(len(slots), PASSING))

    def _mark_transfer(self, transfer: ActiveTransfer) -> None:
        """Its source may not have published since it planned it."""
        slots = self._slots_of(transfer)
        self._mark_passing(slots[owners_of(self._tag[slots]) == self._number(transfer.source)])

    def _note_owners(self, now_us: int) -> list[list[float]]:
        """Writes the history of owners. Returns what changed hands since the last frame, as ``_handoffs``."""
        there = np.flatnonzero(self._tag != ABSENT)
        owners = owners_of(self._tag[there])
        is_new = self._came_us[there] == 0
        came = there[is_new]
        self._came_us[came] = now_us
        self._first_owner[came] = owners[is_new]
        is_changed = ~is_new & (self._owner[there] != owners)
        changed, targets, sources = there[is_changed], owners[is_changed], self._owner[there[is_changed]]
        self._owner[there] = owners
        self.owners.append(now_us, changed, targets, self._version[changed])
        return self._handoffs(changed, sources, targets)

    def _handoffs(self, slots: Slots, sources: Tags, targets: Tags) -> list[list[float]]:
        """One line for each pair of owners: how many entities, and where they are, on average."""
        lines: list[list[float]] = []
        for source, target in sorted(set(zip(sources.tolist(), targets.tolist(), strict=True))):
            some = slots[(sources == source) & (targets == target)]
            lines.append([source, target, len(some), *self._position[some].mean(0).tolist()])
        return lines

    def _grow(self) -> None:
        short = self.slots.size - len(self._tag)
        if short > 0:
            self._position = np.pad(self._position, ((0, short), (0, 0)))
            self._tag = np.pad(self._tag, (0, short), constant_values=ABSENT)
            self._version = np.pad(self._version, (0, short))
            self._seen_us = np.pad(self._seen_us, (0, short))
            self._came_us = np.pad(self._came_us, (0, short))
            self._first_owner = np.pad(self._first_owner, (0, short))
            self._owner = np.pad(self._owner, (0, short))

    def _slots_of(self, transfer: ActiveTransfer) -> Slots:
        slots = self.slots.find(np.asarray(transfer.ids, np.uint64))
        slots = slots[slots != NOWHERE]
        there: Slots = slots[self._tag[slots] != ABSENT]
        return there

    # --- around them ---------------------------------------------------------------------------------------------

    def _number(self, shard: str) -> int:
        """A name that was never seen gets the next number; beyond the highest all share the last one."""
        if shard not in self.names and len(self.names) < MAX_SHARDS:
            self.names.append(shard)
        return self.names.index(shard) if shard in self.names else MAX_SHARDS - 1

    def _meta(self, snapshot: Snapshot, handoffs: Sequence[Sequence[float]], hidden: int) -> dict[str, Any]:
        there = self._tag != ABSENT
        owners = np.bincount(owners_of(self._tag[there]), minlength=len(self.names)).tolist()
        states = np.bincount(self._tag[there] >> SHARD_BITS, minlength=3).tolist()
        lines = self._figures.lines(snapshot)
        layout = snapshot.layout
        return {
            "number": self._made,
            "unix_us": snapshot.unix_us,
            "phase": snapshot.phase,
            "tick_rate": rate_of(snapshot),
            "entities": int(np.count_nonzero(there)),
            "passing": states[1],
            "frozen": states[2],
            "hidden": hidden,
            "handoffs": list(handoffs),
            "handoffs_total": snapshot.counters.get("completed_entities", 0),
            "world": self._world(snapshot, self._position[there]),
            "layout": layout.version if layout is not None else 0,
            "cells": [
                {"path": cell.path, "shard": self._number(cell.shard), "box": _plain_box(cell.low, cell.high)}
                for cell in (layout.cells if layout is not None else ())
            ],
            "shards": [{"number": self._number(name), "shown": owners[self._number(name)], **line}
                       for name, line in lines.items()],
            "links": [[self._number(one), self._number(other), bool(dialer)]
                      for (one, other), dialer in sorted(snapshot.links.items())],
            "transfers": [self._transfer(one) for one in snapshot.transfers],
        }  # fmt: skip

    def _transfer(self, one: ActiveTransfer) -> dict[str, Any]:
        slots = self._slots_of(one)
        place = self._position[slots].mean(0).tolist() if len(slots) else None
        return {
            "id": str(one.id),
            "source": self._number(one.source),
            "target": self._number(one.target),
            "state": transfer_state(one),
            "entities": one.count,
            "place": place,
        }

    def _world(self, snapshot: Snapshot, shown: F64) -> list[float]:
        if self._box is not None:
            return [float(value) for value in self._box.ravel()]
        if (known := world_of(snapshot)) is not None:
            return known
        cuts = [value for cell in (snapshot.layout.cells if snapshot.layout else ())
                for value in (*zip(cell.low[:2], (0, 1), strict=True), *zip(cell.high[:2], (0, 1), strict=True))
                if np.isfinite(value[0])]  # fmt: skip
        low, high = self._seen_box
        for value, axis in cuts:
            low[axis], high[axis] = min(low[axis], value), max(high[axis], value)
        if len(shown):
            np.minimum(low, shown.min(0), out=low)
            np.maximum(high, shown.max(0), out=high)
        if not np.isfinite(self._seen_box).all():
            return [-1.0, -1.0, 1.0, 1.0]
        middle, half = (low + high) / 2, np.maximum((high - low).max() / 2, 1e-9) * MARGIN
        return [*(middle - half).tolist(), *(middle + half).tolist()]


def world_of(snapshot: Snapshot) -> list[float] | None:
    """What a shard says that the spec says: [low x, low y, high x, high y]; None where none says it."""
    for one in snapshot.manifests.values():
        said = one.stats.get("world") or ()
        dimensions = len(said) // 2
        if dimensions >= 2 and np.isfinite(np.array(said, float)).all():
            return [*map(float, said[:2]), *map(float, said[dimensions : dimensions + 2])]
    return None


def grace_of(snapshot: Snapshot) -> int:
    """Microseconds for which what no manifest shows is still shown. Large shards publish seldom."""
    intervals = [int(one.stats.get("publish_interval_us", 0)) for one in snapshot.manifests.values()]
    return max(GRACE_US, 2 * max(intervals, default=0))


def transfer_state(one: ActiveTransfer) -> str:
    """'started', then 'accepted', then 'released' or 'adopted', whichever of the two was first."""
    if one.state == "accepted" and one.source not in one.holders:
        return "released"
    if one.state == "accepted" and one.target in one.holders:
        return "adopted"
    return one.state


def _plain_box(low: Sequence[float], high: Sequence[float]) -> list[float | None]:
    """Open sides are null."""
    return [value if np.isfinite(value) else None for value in (*low[:2], *high[:2])]
