"""The launcher of a shard under chaos: the shipped process, with its edges wrapped.

    python -m tests.chaos.shard ARGUMENTS OF shardfleet shard

Enters the shard's network namespace where there is one, gives it a clock whose wall time can be set off, and lets it
strike itself with a signal at a named step (points.py). The shipped code knows nothing of all this.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from shardfleet_shard import process
from shardfleet_shard.authority_manager import ServerAuthorityManager
from shardfleet_shard.core.clock import SlewedClock
from shardfleet_shard.core.frames import Answer, Final, Frame, Offer
from shardfleet_shard.core.requests import Reply, Request
from shardfleet_shard.net.links import HandoffConnectionManager
from shardfleet_shard.runtime import ServerAuthorityRuntime
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.system_clock import SystemClock

from .control import Cell, Control, control_of
from .namespaces import address_of, enter
from .points import NUMBER, OF_REQUEST

FOLDER_VARIABLE = "SHARDFLEET_CHAOS"
"""The folder of the control files; the network's marker lies there as well."""
ON_THE_WIRE_S = 0.005
"""How long after a frame was queued it has surely been handed to the socket, on a machine that keeps up."""

_FRAMES: dict[type, str] = {Offer: "offer", Answer: "answer", Final: "final"}
_sending: ContextVar[frozenset[str]] = ContextVar("sending", default=frozenset())
"""What the pipeline that the present task sends is made of."""

control: Control


def reach(point: str) -> None:
    """Strikes this process if ``point`` is the armed one; never twice for one arming."""
    if control[Cell.POINT] == NUMBER[point]:
        control[Cell.POINT] = 0
        control[Cell.HIT_PID], control[Cell.HIT_US] = os.getpid(), _now_us()
        os.kill(os.getpid(), control[Cell.SIGNAL])


def _now_us() -> int:
    return time.time_ns() // 1000


class Clock:
    """As ``SystemClock``, its wall clock set off by what the driver says; a step is slewed as the product does it."""

    def __init__(self, *, offset_us: int = 0) -> None:
        self._system = SystemClock()
        self._own_offset_us = offset_us
        self._slewed = SlewedClock(monotonic_ns=time.monotonic_ns(), wall_ns=self._wall_ns())

    def _wall_ns(self) -> int:
        return time.time_ns() + 1000 * (control[Cell.CLOCK_OFFSET_US] + self._own_offset_us)

    def now_unix_us(self) -> int:
        return self._slewed.read(monotonic_ns=time.monotonic_ns(), wall_ns=self._wall_ns())

    def boottime_us(self) -> int:
        return self._system.boottime_us()


class Store(RedisStore):
    """Stops at the points of requests, and notes what Redis does not answer."""

    def __init__(self, url: str, fleet: str) -> None:
        super().__init__(url, fleet)
        pool = self._connections
        pool._kind = type("Connection", (Noticed, pool._kind), {})

    async def execute(
        self, requests: Sequence[Request], *, timeout_s: float | None = None, generation: str = ""
    ) -> list[Reply | None]:
        names = frozenset(OF_REQUEST[type(request)] for request in requests if type(request) in OF_REQUEST)
        for name in names:
            reach(f"{name}-before")
        _sending.set(names)
        replies = await super().execute(requests, timeout_s=timeout_s, generation=generation)
        if None in replies:
            control[Cell.UNANSWERED_US] = _now_us()
        for name in names:
            reach(f"{name}-answered")
        return replies


class Noticed:
    """Beside a connection of redis-py: stops once a pipeline has left."""

    async def send_packed_command(self, command: Any, check_health: Any = True) -> None:
        await super().send_packed_command(command, check_health)  # type: ignore[misc]
        for name in _sending.get():
            reach(f"{name}-sent")


class Links(HandoffConnectionManager):
    """Stops at the points of frames."""

    def send(self, peer: str, frame: Frame) -> bool:
        queued = super().send(peer, frame)
        if queued and (name := _FRAMES.get(type(frame))):
            reach(f"{name}-queued")
            if control[Cell.POINT] == NUMBER[f"{name}-sent"]:
                asyncio.get_running_loop().call_later(ON_THE_WIRE_S, reach, f"{name}-sent")
        return queued


class Runtime(ServerAuthorityRuntime):
    """Stops at the points of the tick."""

    def _adopt_incoming(self, tick: int) -> None:
        held = self.context.stats.handed_over_in
        reach("adopt-before")
        super()._adopt_incoming(tick)
        if self.context.stats.handed_over_in > held:
            reach("adopt-after")

    def _simulate(self, tick: int) -> int | None:
        reach("step-before")
        ended_us = super()._simulate(tick)
        reach("step-after")
        return ended_us

    def _commit_outgoing(self, tick: int) -> None:
        reach("release-before")
        super()._commit_outgoing(tick)
        reach("release-after")


class Manager(ServerAuthorityManager):
    """Notes when a link is lost."""

    def on_link_down(self, peer: str, reason: str) -> None:
        control[Cell.LINK_DOWN_US] = _now_us()
        super().on_link_down(peer, reason)


def main(argv: Sequence[str]) -> int:
    global control
    arguments = process.parser().parse_args(argv)
    folder = Path(os.environ[FOLDER_VARIABLE])
    control = control_of(folder, arguments.shard)
    more = []
    if enter(folder, arguments.shard):
        more = ["--listen", f"{address_of(arguments.ordinal)}:0"]  # the last one counts
    for name, wrapped in (
        ("SystemClock", Clock),
        ("RedisStore", Store),
        ("HandoffConnectionManager", Links),
        ("ServerAuthorityRuntime", Runtime),
        ("ServerAuthorityManager", Manager),
    ):
        setattr(process, name, wrapped)
    return process.main([*argv, *more])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
