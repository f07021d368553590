"""The kinds of faults: how each strikes, how it ends, and by what it is first noticed.

A fault strikes at a moment at which a transfer of its victims is accepted and not cleared, where it can prove that: it
reads an accepted transfer, strikes, and looks at the clock; before the switch tick nothing can have been cleared.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import redis

from .control import Cell
from .fleet import Fleet
from .namespaces import REDIS, node_of
from .points import NUMBER, Point, Side, points_of
from .snapshot import Open

ENDS_S = 10.0
AIM_S = 2.0
"""How long a fault waits for an accepted transfer, or for a step, before it strikes all the same."""
LEASE_S = 3.0
STEPPED = 0.8
"""So many signals are sent at a named step: a full run kills some fifty times, at twenty-seven steps."""


def now_us() -> int:
    return time.time_ns() // 1000


class Fault:
    """One fault; made for one strike.

    Attributes:
        victims: ordinals of the shards that it strikes; empty: all of them.
        aim_s: how long it waits for an accepted transfer, or for its step.
        at: the named step, or ''.
        open: proven to have struck while a transfer of a victim was accepted and not cleared.
        struck_us, ended_us, detected_us: Unix microseconds; 0 before, and for ``detected_us`` where nobody noticed.
    """

    kind = ""
    needs_network = False
    forgets = False
    """Redis has less afterwards than it answered for."""
    lasts_s = (0.0, 0.0)
    """From the strike to its end, at least and at most."""

    def __init__(self, fleet: Fleet, rng: random.Random, victims: tuple[int, ...]) -> None:
        self.fleet = fleet
        self.rng = rng
        self.victims = victims
        self.hold_s = rng.uniform(*self.lasts_s)
        self.aim_s = AIM_S
        self.at = ""
        self.open = False
        self.struck_us = self.ended_us = self.detected_us = 0

    @property
    def shards(self) -> list[str]:
        return [self.fleet.shards[victim] for victim in self.victims] or self.fleet.shards

    def strike(self) -> None:
        """Aims, strikes, and proves what it can."""
        aim = self.aim()
        self.do()
        self.struck_us = self.struck_us or now_us()
        self.open = aim is not None and self.struck_us < aim.switch_us

    def aim(self) -> Open | None:
        """Waits for an accepted transfer that suits."""
        deadline = time.monotonic() + self.aim_s
        while time.monotonic() < deadline:
            if suitable := self.suitable():
                return self.rng.choice(suitable)
            time.sleep(0.002)
        return None

    def suitable(self) -> list[Open]:
        """Accepted transfers that suit, now; none where Redis does not answer."""
        try:
            return [one for one in self.fleet.reader.open_transfers() if self.suits(one)]
        except redis.RedisError:
            return []

    def suits(self, one: Open) -> bool:
        return one.source in self.shards or one.target in self.shards

    def do(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Takes the fault away; ``ended_us`` is then."""
        self.ended_us = now_us()

    def look(self) -> None:
        """Notes when the fault is first noticed."""
        if not self.detected_us and self.struck_us and (seen := self.noticed()):
            self.detected_us = seen

    def noticed(self) -> int | None:
        """Unix microseconds, or None as long as nobody has."""
        return None

    def _cell(self, cell: Cell) -> int | None:
        """The first time at or after the strike that one of the victims noted."""
        times = [value for shard in self.shards if (value := self.fleet.controls[shard][cell]) >= self.struck_us]
        return min(times, default=None)


class _Signal(Fault):
    """A signal to one process, from outside or from itself at a named step."""

    side = Side.EITHER
    signal = signal.SIGKILL

    def __init__(self, fleet: Fleet, rng: random.Random, victims: tuple[int, ...], point: Point | None) -> None:
        super().__init__(fleet, rng, victims)
        self.point = point
        self.pid = 0

    def suits(self, one: Open) -> bool:
        (victim,) = self.shards
        sides = {Side.SOURCE: (one.source,), Side.TARGET: (one.target,), Side.EITHER: (one.source, one.target)}
        return victim in sides[self.side]

    def strike(self) -> None:
        if self.point is None or not self._strike_itself(self.point):
            super().strike()

    def do(self) -> None:
        self.pid = self.fleet.pid(self.shards[0]) or 0
        send(self.pid, self.signal, self.shards[0])

    def _strike_itself(self, point: Point) -> bool:
        (victim,) = self.shards
        control = self.fleet.controls[victim]
        control[Cell.HIT_US] = 0
        control[Cell.SIGNAL], control[Cell.POINT] = self.signal, NUMBER[point.name]
        deadline = time.monotonic() + self.aim_s
        before: list[Open] = []
        while not control[Cell.HIT_US]:
            if time.monotonic() > deadline:
                control[Cell.POINT] = 0
                return False
            found = self.suitable()
            if not control[Cell.HIT_US]:  # else some may have been accepted after the strike
                before = found
            time.sleep(0.001)
        self.at, self.pid, self.struck_us = point.name, control[Cell.HIT_PID], control[Cell.HIT_US]
        self.open = point.open or any(self.struck_us < one.switch_us for one in before)
        return True


class KillSource(_Signal):
    kind = "kill-source"
    side = Side.SOURCE

    def noticed(self) -> int | None:
        return self.fleet.said_since(self.struck_us, f"{self.shards[0]} is started again")

    def end(self) -> None:
        """A dead process is the fault, and the fault is over at once: what follows is the fleet's own."""
        self.ended_us = self.struck_us


class KillTarget(KillSource):
    kind = "kill-target"
    side = Side.TARGET


class Pause(_Signal):
    """SIGSTOP until the lease has run out, then SIGCONT."""

    kind = "pause"
    signal = signal.SIGSTOP
    lasts_s = (LEASE_S + 0.3, LEASE_S + 1.0)

    def end(self) -> None:
        send(self.pid, signal.SIGCONT, self.shards[0])
        super().end()

    def noticed(self) -> int | None:
        """Its lease is gone in Redis, for everyone to see."""
        return None if self.shards[0] in self.fleet.reader.leases() else now_us()


class LinkCut(Fault):
    """Nothing passes between two shards."""

    kind = "link-cut"
    needs_network = True
    lasts_s = (0.5, 3.0)

    def suits(self, one: Open) -> bool:
        return {one.source, one.target} == set(self.shards)

    def do(self) -> None:
        assert self.fleet.network is not None
        self.fleet.network.cut(*map(node_of, self.victims))

    def end(self) -> None:
        assert self.fleet.network is not None
        self.fleet.network.heal(*map(node_of, self.victims))
        super().end()

    def noticed(self) -> int | None:
        return self._cell(Cell.LINK_DOWN_US)


class RedisCut(Fault):
    """Nothing passes between one shard and Redis; sometimes for longer than the lease."""

    kind = "redis-cut"
    needs_network = True
    lasts_s = (0.5, LEASE_S + 1.0)

    def do(self) -> None:
        assert self.fleet.network is not None
        self.fleet.network.cut(node_of(self.victims[0]), REDIS)

    def end(self) -> None:
        assert self.fleet.network is not None
        self.fleet.network.heal(node_of(self.victims[0]), REDIS)
        super().end()

    def noticed(self) -> int | None:
        return self._cell(Cell.UNANSWERED_US)


class ClockStep(Fault):
    """The wall clock of one shard jumps by 10 s, and back later. It is slewed: nobody has to notice anything."""

    kind = "clock-step"
    lasts_s = (1.0, 3.0)

    def do(self) -> None:
        self.fleet.controls[self.shards[0]][Cell.CLOCK_OFFSET_US] = self.rng.choice((-10_000_000, 10_000_000))

    def end(self) -> None:
        self.fleet.controls[self.shards[0]][Cell.CLOCK_OFFSET_US] = 0
        super().end()


class RedisRestart(Fault):
    """SIGKILL, and started again on its data."""

    kind = "redis-restart"
    lasts_s = (0.0, 1.0)

    def do(self) -> None:
        self.struck_us = self.fleet.server.kill()

    def end(self) -> None:
        self.fleet.server.start()
        super().end()

    def noticed(self) -> int | None:
        noted = self._cell(Cell.UNANSWERED_US)
        said = self.fleet.said_since(self.struck_us, "no answer from Redis", "Redis restarted")
        return min((at for at in (noted, said) if at is not None), default=None)


class RedisWipe(RedisRestart):
    """SIGKILL, and started again without any data."""

    kind = "redis-wipe"
    forgets = True

    def end(self) -> None:
        self.fleet.server.forget()
        super().end()


class RedisForgets(RedisRestart):
    """SIGKILL, and started again without what it wrote in its last second."""

    kind = "redis-forgets"
    forgets = True

    def aim(self) -> Open | None:
        self.sizes: dict[Path, int] = self.fleet.server.size_bytes()
        time.sleep(1.0)
        return super().aim()

    def end(self) -> None:
        self.fleet.server.cut_back(self.sizes)
        super().end()


class DiskFull(RedisRestart):
    """Redis' disk is full until it has ended of that; then there is room again, and it is started again."""

    kind = "disk-full"
    needs_network = True  # the small file system comes with the namespaces
    lasts_s = (0.5, 1.0)

    def do(self) -> None:
        self.fleet.server.fill_disk()
        self.struck_us = now_us()
        self.fleet.wait("Redis ends of its full disk", ENDS_S, lambda: self.fleet.server.ended)

    def end(self) -> None:
        self.fleet.server.free_disk()
        super().end()


KINDS: dict[str, type[Fault]] = {
    one.kind: one
    for one in (
        *(KillSource, KillTarget, Pause, RedisRestart, RedisWipe, LinkCut, RedisCut, ClockStep),
        *(RedisForgets, DiskFull),
    )
}
OF_REDIS = frozenset({"redis-restart", "redis-wipe", "redis-forgets", "disk-full"})
FORGETTING = frozenset({"redis-wipe", "redis-forgets"})
"""Redis' counters are less than what happened."""
SILENCING = frozenset({"kill-source", "kill-target", "pause", "redis-cut"})
"""A shard may say nothing for longer than a lease."""
KILLS: dict[str, Side] = {one.kind: one.side for one in (KillSource, KillTarget)}


def kill_steps(kinds: Iterable[str]) -> frozenset[str]:
    """The named steps at which ``kinds`` kill a shard."""
    return frozenset(point.name for kind in kinds if kind in KILLS for point in points_of(KILLS[kind]))


def make(kind: str, fleet: Fleet, rng: random.Random, victims: list[int], steps: Callable[[Side], Point]) -> Fault:
    """One fault of ``kind``.

    Args:
        victims: ordinals to choose from, those first that were left alone for longest.
        steps: the next named step of a side.
    """
    cls = KINDS[kind]
    if issubclass(cls, _Signal):
        return cls(fleet, rng, (victims[0],), steps(cls.side) if rng.random() < STEPPED else None)
    count = 0 if kind in OF_REDIS else 2 if cls is LinkCut else 1
    return cls(fleet, rng, tuple(victims[:count]))


def send(pid: int, number: int, shard: str) -> None:
    """A signal to the shard's own process, and to no other that has its number by now."""
    with contextlib.suppress(OSError):
        if sys.platform != "linux":
            os.kill(pid, number)
            return
        handle = os.pidfd_open(pid)
        try:
            if shard.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                signal.pidfd_send_signal(handle, signal.Signals(number))
        finally:
            os.close(handle)
