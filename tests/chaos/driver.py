"""Plays faults on a fleet, one round after the other, and measures what each costs."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import redis
from shardfleet_shard.core.stats import ShardStats

from .faults import FORGETTING, KILLS, OF_REDIS, SILENCING, Fault, make, now_us
from .fleet import ChaosError, Fleet
from .points import Turns
from .snapshot import Snapshot

POLL_S = 0.08
RATE_WINDOW_US = 500_000
FULL_RATE = 0.9
WARM_UPS = 8
GROWING = 1.05
PATIENCE_S = {"owned_s": 20.0, "cleared_s": 20.0, "full_rate_s": 4.0}
"""After a round's end; what has not come by then never comes."""
PAIRED = 0.65
"""So many draws of a fault draw a second one for the same moment."""
SPECIAL = ("disk-full", "redis-forgets")
SPECIAL_EVERY = 3
"""These kinds come in every third cycle only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One fault and its times in seconds: from the strike until it was noticed, and from its round's end until every
    entity was simulated again, until no transfer was open that should have switched before that end, and until the
    rate of handoffs was what it was; None: never."""

    kind: str
    shards: tuple[str, ...]
    at: str
    open: bool
    beside: str
    """The kind of the fault that struck at the same time, or ''."""
    lasted_s: float
    detected_s: float | None
    owned_s: float | None
    cleared_s: float | None
    full_rate_s: float | None
    lost: int
    doubled: int
    epoch: int = 0
    """Of the victim's process when it was struck; 0 where there are several victims."""


@dataclass(slots=True)
class Meter:
    """Looks at the fleet again and again; every look is a census of one moment."""

    fleet: Fleet
    looks: int = 0
    lost: set[int] = field(default_factory=set)
    doubled: set[int] = field(default_factory=set)
    strays: set[int] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)
    judges: bool = True
    """False while Redis knows less than the shards do: what is lost or doubled in it then is not so in the fleet."""
    intervals_us: dict[tuple[str, int], int] = field(default_factory=dict)
    """From one manifest to the next, of each process as it last said."""
    _counts: dict[tuple[str, int], int] = field(default_factory=dict)
    _samples: deque[tuple[int, int]] = field(default_factory=deque)

    def look(self, since_us: int) -> int | None:
        """How many entities are simulated by manifests later than ``since_us``; None where Redis gave no answer."""
        try:
            snapshot = self.fleet.reader.snapshot()
            stats = self.fleet.reader.stats()
        except redis.RedisError:
            return None
        self.looks += 1
        self._count(stats)
        if self.judges:
            self._judge(snapshot)
        return snapshot.owned_since(since_us)

    def _judge(self, snapshot: Snapshot) -> None:
        for name, found, before in (
            ("lost", snapshot.lost(self.fleet.expected), self.lost),
            ("doubled", snapshot.doubled(), self.doubled),
            ("never spawned", snapshot.strays(self.fleet.expected), self.strays),
        ):
            if new := set(found.tolist()) - before:
                before |= new
                self.remarks.append(f"{now_us()}: {len(new)} entities {name}, {sorted(new)[:5]} among them")

    def _count(self, stats: Mapping[tuple[str, int], ShardStats]) -> None:
        self._counts.update({process: one.handed_over_in for process, one in stats.items()})
        self.intervals_us.update({process: one.publish_interval_us for process, one in stats.items()})
        self._samples.append((now_us(), sum(self._counts.values())))
        while len(self._samples) > 2 and self._samples[1][0] < self._samples[-1][0] - RATE_WINDOW_US:
            self._samples.popleft()

    def epochs(self) -> dict[str, int]:
        """Of each shard's newest process that published."""
        return dict(sorted(self.intervals_us))

    def rate(self) -> float:
        """Entities handed over a second, within the last window; 0 before there is one."""
        if len(self._samples) < 2 or (span_us := self._samples[-1][0] - self._samples[0][0]) < 0.8 * RATE_WINDOW_US:
            return 0.0
        return (self._samples[-1][1] - self._samples[0][1]) * 1e6 / span_us

    def window_since(self, unix_us: int) -> bool:
        """Whether the whole window of ``rate`` is later."""
        return bool(self._samples) and self._samples[0][0] >= unix_us


class Driver:
    """One run.

    Args:
        kinds: that it plays.
        seed: everything that it chooses follows from it.
        say: gets a line a fault.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        kinds: Sequence[str],
        seed: int,
        paired: float = PAIRED,
        say: Callable[[str], None] = print,
    ) -> None:
        self.fleet = fleet
        self.kinds = kinds
        self.meter = Meter(fleet)
        self.measured: list[Measured] = []
        self.full_rate = 0.0
        self._paired = paired
        self._say = say
        self._rng = random.Random(seed)
        self._struck = dict.fromkeys(range(len(fleet.shards)), 0)
        """Ordinal -> when it was last chosen."""
        self._turns = Turns(self._rng)

    def measure_full_rate(self, seconds: float) -> None:
        """In the calm before, once it grows no more; a fleet that has just begun takes a moment."""
        before = 0.0
        for _ in range(WARM_UPS):
            self.full_rate = self._median_rate(seconds)
            if 0 < self.full_rate < GROWING * before:
                return
            before = self.full_rate
        if not self.full_rate:
            raise ChaosError("no handoffs before the first fault")

    def _median_rate(self, seconds: float) -> float:
        rates = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.meter.look(0)
            rates.append(self.meter.rate())
            time.sleep(POLL_S)
        return float(np.median(rates))

    def run(self, *, seconds: float, at_least: int = 0) -> None:
        """Rounds until the time is over and each kind has struck ``at_least`` times, the special ones as seldom as they
        come."""
        deadline = time.monotonic() + seconds
        wanted = {kind: -(-at_least // SPECIAL_EVERY) if kind in SPECIAL else at_least for kind in self.kinds}
        for kinds in self._rounds():
            counts = Counter(one.kind for one in self.measured)
            if time.monotonic() > deadline and all(counts[kind] >= wanted[kind] for kind in self.kinds):
                return
            self.play(kinds)

    def play(self, kinds: Sequence[str]) -> None:
        """One round: the faults of ``kinds`` at once, until the fleet is whole."""
        faults = self._choose(kinds)
        self.meter.judges = not any(fault.forgets for fault in faults)
        epochs = self.meter.epochs()
        for fault in faults:
            fault.strike()
        try:
            self._hold(faults)
        finally:
            self.fleet.disarm()
            for fault in faults:
                if not fault.ended_us:
                    fault.end()
        end_us = max(fault.ended_us for fault in faults)
        times = self._wait_until_whole(faults, end_us)
        self.meter.judges = True
        self._look(faults, since_us=end_us)
        for fault, other in zip(faults, [*faults[1:], *faults[:1]], strict=True):
            epoch = epochs[fault.shards[0]] if len(fault.victims) == 1 else 0
            self._note(fault, beside=other.kind if other is not fault else "", times=times, epoch=epoch)

    # --- inside ------------------------------------------------------------------------------------------------

    def _rounds(self) -> Iterator[list[str]]:
        cycle = 0
        while True:
            kinds = [kind for kind in self.kinds if kind not in SPECIAL or cycle % SPECIAL_EVERY == 0]
            self._rng.shuffle(kinds)
            cycle += 1
            while kinds:
                chosen = [kinds.pop()]
                if kinds and self._rng.random() < self._paired and may_be_together(chosen[0], kinds[-1]):
                    chosen.append(kinds.pop())
                yield chosen

    def _choose(self, kinds: Sequence[str]) -> list[Fault]:
        """Faults with victims of their own; whom nothing struck for longest comes first. Redis is struck last: without
        it nothing else could be aimed."""
        faults: list[Fault] = []
        free = sorted(self._struck, key=lambda ordinal: (self._struck[ordinal], self._rng.random()))
        for kind in sorted(kinds, key=lambda kind: kind in OF_REDIS):
            fault = make(kind, self.fleet, self._rng, free, self._turns.next)
            free = [ordinal for ordinal in free if ordinal not in fault.victims]
            self._struck.update(dict.fromkeys(fault.victims, now_us()))
            faults.append(fault)
        return faults

    def _hold(self, faults: Sequence[Fault]) -> None:
        while waiting := [fault for fault in faults if not fault.ended_us]:
            for fault in waiting:
                if now_us() - fault.struck_us >= fault.hold_s * 1e6:
                    fault.end()
            self._look(faults, since_us=0)
            time.sleep(POLL_S)

    def _wait_until_whole(self, faults: Sequence[Fault], end_us: int) -> dict[str, float]:
        """Seconds from ``end_us`` by name, as in ``Measured``; what never came is not there."""
        times: dict[str, float] = {}
        passed_s = 0.0
        while any(name not in times and passed_s < patience_s for name, patience_s in PATIENCE_S.items()):
            time.sleep(POLL_S)
            owned = self._look(faults, since_us=end_us)
            oldest_us = self._oldest_switch_us()
            passed_s = (now_us() - end_us) / 1e6
            full = self.meter.window_since(end_us) and self.meter.rate() >= FULL_RATE * self.full_rate
            for name, reached in (
                ("owned_s", owned == len(self.fleet.expected)),
                ("cleared_s", oldest_us is not None and oldest_us >= end_us),
                ("full_rate_s", full),
            ):
                if reached:
                    times.setdefault(name, passed_s)
        return times

    def _oldest_switch_us(self) -> float | None:
        try:
            return self.fleet.reader.oldest_switch_us()
        except redis.RedisError:
            return None

    def _look(self, faults: Sequence[Fault], *, since_us: int) -> int | None:
        self.fleet.fail_if_ended()
        for fault in faults:
            try:
                fault.look()
            except redis.RedisError:
                continue
        return self.meter.look(since_us)

    def _note(self, fault: Fault, *, beside: str, times: Mapping[str, float], epoch: int) -> None:
        detected = fault.detected_us
        if fault.kind in KILLS and fault.at:
            self._turns.killed(fault.at)
        before = sum(one.lost for one in self.measured), sum(one.doubled for one in self.measured)
        one = Measured(
            kind=fault.kind,
            shards=tuple(fault.shards) if fault.victims else (),
            at=fault.at,
            open=fault.open,
            beside=beside,
            lasted_s=(fault.ended_us - fault.struck_us) / 1e6,
            detected_s=(detected - fault.struck_us) / 1e6 if detected else None,
            owned_s=times.get("owned_s"),
            cleared_s=times.get("cleared_s"),
            full_rate_s=times.get("full_rate_s"),
            lost=len(self.meter.lost) - before[0],
            doubled=len(self.meter.doubled) - before[1],
            epoch=epoch,
        )
        self.measured.append(one)
        self._say(to_line(len(self.measured), one))


def may_be_together(one: str, other: str) -> bool:
    """Redis suffers one thing at a time; and what only a shard knew that is not heard in the roll-call is lost with
    Redis' data: it is dead, stopped, or cut off for as long as the roll-call takes."""
    kinds = {one, other}
    return not kinds <= OF_REDIS and not (kinds & FORGETTING and kinds & SILENCING)


def to_line(number: int, one: Measured) -> str:
    """What is shown of a fault as it happens."""

    def seconds(value: float | None) -> str:
        return "    -" if value is None else f"{value:5.2f}"

    where = " ".join(one.shards) + (f" at {one.at}" if one.at else "")
    return (
        f"{number:4d} {one.kind:<14} {'open' if one.open else '    '} noticed {seconds(one.detected_s)}  "
        f"owned {seconds(one.owned_s)}  cleared {seconds(one.cleared_s)}  rate {seconds(one.full_rate_s)} s  "
        f"lost {one.lost} doubled {one.doubled}  {where}{f' beside {one.beside}' if one.beside else ''}"
    )
