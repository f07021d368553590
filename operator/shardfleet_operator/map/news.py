"""What happens in a fleet, as lines of a log: verdicts, repairs, shards that come and go, layouts. Pure.

Verdicts are judged here from the same records and by the same code as the watchdog's, whose own words do not leave its
process; repairs are counted in Redis by whoever makes them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..watchdog import HANDOFF_DISCREPANCY_THRESHOLD_US, FindingBook, ManifestSummary, judge
from ..watchdog.audit import AUDIT_INTERVAL_US
from .snapshot import Snapshot

KEPT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """``kind``: verdict, repair, shard, layout, link, redis or fleet. ``number`` counts up."""

    number: int
    unix_us: int
    kind: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class News:
    """Compares each snapshot with the one before it.

    Args:
        threshold_us: how long after its switch a transfer may stand before it is judged.
    """

    def __init__(self, *, threshold_us: int = HANDOFF_DISCREPANCY_THRESHOLD_US) -> None:
        self._threshold_us = threshold_us
        self._items: deque[Item] = deque(maxlen=KEPT)
        self._count = 0
        self._book = FindingBook()
        self._judged_us = 0
        self._before: Snapshot | None = None

    def after(self, number: int) -> Sequence[Item]:
        """The items above ``number``, oldest first, as far as they are kept."""
        return [item for item in self._items if item.number > number]

    def say(self, unix_us: int, kind: str, text: str) -> None:
        self._count += 1
        self._items.append(Item(number=self._count, unix_us=unix_us, kind=kind, text=text))

    def take(self, snapshot: Snapshot) -> None:
        """Says what is new in ``snapshot``."""
        before, self._before = self._before, snapshot
        if before is None:
            living = len(snapshot.living)
            self.say(snapshot.unix_us, "fleet", f"the map begins: {living} of {len(snapshot.shards)} shards live")
            before = snapshot
        for kind, text in _changes(before, snapshot):
            self.say(snapshot.unix_us, kind, text)
        if snapshot.unix_us - self._judged_us >= AUDIT_INTERVAL_US:
            self._judged_us = snapshot.unix_us
            self._judge(snapshot)

    def _judge(self, snapshot: Snapshot) -> None:
        overdue = [one for one in snapshot.transfers if one.transfer_time_us < snapshot.unix_us - self._threshold_us]
        verdicts = judge(overdue, _summaries(snapshot), snapshot.unix_us, self._threshold_us)
        for finding in self._book.take(verdicts, snapshot.unix_us):
            self.say(snapshot.unix_us, "verdict", str(finding))


def _summaries(snapshot: Snapshot) -> dict[str, ManifestSummary]:
    epochs = {member.shard: (member.epoch, member.living) for member in snapshot.members}
    return {
        shard: ManifestSummary(
            shard=shard,
            epoch=manifest.epoch,
            current_epoch=epochs.get(shard, (manifest.epoch, False))[0],
            tick=manifest.tick,
            unix_us=manifest.unix_us,
            living=epochs.get(shard, (0, False))[1],
        )
        for shard, manifest in snapshot.manifests.items()
    }


def _changes(before: Snapshot, now: Snapshot) -> Iterator[tuple[str, str]]:
    if now.generation != before.generation:
        yield "redis", "Redis restarted: its shards tell it what it may have forgotten"
    yield from _repairs(before, now)
    old, new = before.layout, now.layout
    if new is not None and (old is None or new.version != old.version):
        yield "layout", f"layout {new.version}: {len(new.cells)} cells"
    yield from _shards(before, now)
    if now.leader != before.leader and now.leader:
        yield "shard", f"{now.leader} owns the entity stream"
    for pair in sorted(now.links.keys() & before.links.keys()):
        if bool(now.links[pair]) != bool(before.links[pair]):
            yield "link", f"{pair[0]} and {pair[1]}: {'linked' if now.links[pair] else 'no link'}"
    if now.phase != before.phase:
        yield "fleet", "the fleet settles" if now.phase == "settle" else "the fleet runs"


def _repairs(before: Snapshot, now: Snapshot) -> Iterator[tuple[str, str]]:
    def more(name: str) -> int:
        return now.counters.get(name, 0) - before.counters.get(name, 0)

    transfers, entities = more("repaired_transfers"), more("repaired_entities")
    if transfers > 0:
        yield "repair", f"the watchdog ended {_plural(transfers, 'transfer')} of {_plural(entities, 'entity')}"


def _shards(before: Snapshot, now: Snapshot) -> Iterator[tuple[str, str]]:
    old = {member.shard: member for member in before.members}
    new = {member.shard: member for member in now.members}
    for shard in sorted(new.keys() | old.keys()):
        was, member = old.get(shard), new.get(shard)
        if was is not None and member is None:
            yield "shard", f"{shard} resigned"
        elif member is not None and (was is None or was.epoch != member.epoch):
            yield "shard", f"{shard} {'starts' if was is None else 'starts again'}"
        elif member is not None and was is not None and was.living != member.living:
            yield "shard", f"{shard} {'has its lease again' if member.living else 'has no lease: it simulates nothing'}"
        yield from _failures(shard, before, now)


def _failures(shard: str, before: Snapshot, now: Snapshot) -> Iterator[tuple[str, str]]:
    def state(snapshot: Snapshot) -> tuple[str, str]:
        manifest = snapshot.manifests.get(shard)
        stats = manifest.stats if manifest is not None else {}
        return str(stats.get("state", "")), str(stats.get("last_error", ""))

    (was, _), (is_now, error) = state(before), state(now)
    if is_now == "simulation-error" and was != is_now:
        yield "shard", f"{shard}: simulation error: {error}"
    elif was == "simulation-error" and is_now == "active":
        yield "shard", f"{shard}: the simulation works again"


def _plural(count: int, noun: str) -> str:
    if count == 1:
        return f"{count:,} {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"
