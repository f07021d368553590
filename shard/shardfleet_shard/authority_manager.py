"""ServerAuthorityManager: carries what the runtime owes to Redis, to peers and to disk, and calls its ticks on time.

One asyncio loop, no threads. Ticks run inline as plain calls; everything that waits runs in tasks beside them and
hands its results to the runtime between ticks. Nothing on the tick's path awaits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from .core.clock import Clock
from .core.frames import PROTOCOL_VERSION, Answer, Final, Frame, Hello, Nudge, Offer
from .core.journal_requests import Publish, ReadEntries, ReadFleet, Tail
from .core.requests import LinkLease, Renew, Reply, Request
from .core.roll_requests import Rejoin
from .core.trace_events import TraceEvent, TraceTick
from .core.transfer_spans import TransferSpan
from .life import RuntimeState
from .monitoring.runtime_log import TransferLog, log_damage
from .net.links import HandoffConnectionManager
from .runtime import ServerAuthorityRuntime
from .store.redis_store import RedisStore
from .trace import TraceWriter

log = logging.getLogger(__name__)

MAX_TICKS_BEHIND = 10
"""A shard that fell behind runs up to so many ticks without a pause; older numbers are skipped and counted."""
PAUSE_TICKS = 0.1
"""Between the halves of a tick: all shards of a busy machine have simulated before any of them plans."""
MAX_PIPELINES = 8
"""Concurrent pipelines of one lane: enough that none waits for a slow disk behind another, few enough to batch."""
FOLLOW_PEERS_S = 0.1
EARLY_TICKS = 0.06
"""A tick is prepared so long before it is due, and what is left of that is slept: the shards of a machine simulate at
one moment, whatever each has to adopt, and although the loop's timers go by whole milliseconds."""


async def _ignore(ready: bool) -> None:
    """Nobody wants to know."""


def _drop(spans: Sequence[TransferSpan]) -> None:
    """Nobody collects them."""


class RequestLane:
    """Requests that may share pipelines, so that a 1 MB manifest never stands before an ACCEPT.

    ``submit`` never waits; what comes in while ``MAX_PIPELINES`` are under way goes out in the next one. What waits
    when Redis' generation changes is never sent: it is answered None.
    """

    def __init__(
        self,
        execute: Callable[[Sequence[Request], str], Awaitable[list[Reply | None]]],
        deliver: Callable[[Request, Reply | None, str], None],
        fail: Callable[[Exception], None],
        *,
        pipelines: int = MAX_PIPELINES,
    ) -> None:
        self._execute = execute
        self._deliver = deliver
        self._fail = fail
        self._free = pipelines
        self._waiting: list[tuple[Request, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, requests: list[Request], generation: str) -> None:
        self._waiting.extend((request, generation) for request in requests)
        if self._free and self._waiting:
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                generation = waiting[-1][1]
                batch = [request for request, under in waiting if under == generation]
                for request, under in waiting:
                    if under != generation:
                        self._deliver(request, None, under)
                try:
                    replies = await self._execute(batch, generation)
                except Exception as error:  # a script that fails: nobody would ever answer these requests
                    self._fail(error)
                    return
                for request, reply in zip(batch, replies, strict=True):
                    self._deliver(request, reply, generation)
        finally:
            self._free += 1

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class LinkedPeers:
    """The links as the planner sees them (``runtime.Peers``)."""

    def __init__(self, clock: Clock, *, skew_limit_us: int) -> None:
        self._clock = clock
        self._skew_limit_us = skew_limit_us
        self.epochs: dict[str, int] = {}
        self.generations: dict[str, str] = {}
        """Redis', as each link's Hello said it."""
        self.takes_own_rows: dict[str, bool] = {}
        """False: a shard of a former schema, which could not read them."""
        self.links: HandoffConnectionManager | None = None
        self.skewed: tuple[str, ...] = ()
        self.worst_offset_us = 0

    def reachable(self) -> Mapping[str, int]:
        if self.links is None:
            return {}
        now_us = self._clock.now_unix_us()
        result, skewed, worst = {}, [], 0
        for peer, epoch in self.epochs.items():
            clock = self.links.peer_clock(peer)
            if clock is None or clock.offset_us is None:
                continue
            worst = max(worst, abs(clock.offset_us))
            if not clock.within(self._skew_limit_us, now_us):
                skewed.append(peer)
            elif self.takes_own_rows[peer] and self.links.queue_room(peer) > 0:
                result[peer] = epoch
        self.skewed, self.worst_offset_us = tuple(sorted(skewed)), worst
        return result


class ServerAuthorityManager:
    """Public entry point of a shard: ``run`` until it has settled, failed or was superseded."""

    def __init__(
        self,
        *,
        runtime: ServerAuthorityRuntime,
        store: RedisStore,
        clock: Clock,
        peers: LinkedPeers,
        links: Callable[[ServerAuthorityManager], HandoffConnectionManager],
        trace: Callable[[int, int], TraceWriter] | None = None,
        set_ready: Callable[[bool], Awaitable[None]] = _ignore,
    ) -> None:
        self.runtime = runtime
        self.store = store
        self.clock = clock
        self.peers = peers
        self.links = links(self)
        peers.links = self.links
        self.take_spans: Callable[[Sequence[TransferSpan]], None] = _drop
        """Gets the parts of traced transfers."""
        self._open_trace = trace
        self._set_ready = set_ready
        self._trace: TraceWriter | None = None
        self._transfer_log = TransferLog(time.monotonic)
        self.ended = asyncio.Event()
        self._next_tick = 0
        self._tick_timer: asyncio.TimerHandle | None = None
        self._half_timer: asyncio.TimerHandle | None = None
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._following: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._lanes = {
            "lease": RequestLane(self._execute, self._deliver, self._fail, pipelines=1),
            "bulk": RequestLane(self._execute, self._deliver, self._fail, pipelines=2),
            "transfers": RequestLane(self._execute, self._deliver, self._fail),
        }

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to tick and to follow the fleet; inside a running loop."""
        self._next_tick = self.runtime.context.grid.at(self.clock.now_unix_us()) + 1
        self._schedule_tick()
        self._following = asyncio.create_task(self._follow_peers())
        self._following.add_done_callback(self._followed)

    async def run(self) -> int:
        """From start to stop. Returns the process' exit code. Raises what broke an invariant."""
        self.start()
        try:
            await self.ended.wait()
        finally:
            await self.stop()
        if self._failure is not None:
            raise self._failure
        if self.runtime.exit_reason:
            log.error("shard ends: %s", self.runtime.exit_reason)
        return self.runtime.exit_code

    def drain(self) -> None:
        """Ends in order, without its entities: they stay until the layout gives the cells to others, and go there."""
        self.runtime.drain()

    def settle(self) -> None:
        """Ends in order, with its entities: open transfers finish, last manifest, RESIGN."""
        self.runtime.settle()

    async def stop(self) -> None:
        """Ends at once, as a crash would, but tidily: what Redis and the peers were told is all that counts."""
        self.ended.set()
        for timer in (self._tick_timer, self._half_timer, self._deadline_timer):
            if timer is not None:
                timer.cancel()
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        for lane in self._lanes.values():
            await lane.close()
        await self.links.close()
        if self._trace is not None:
            self._trace.close(end=self.runtime.state is RuntimeState.RESIGNED)

    # --- ticks --------------------------------------------------------------------------------------------------

    def _schedule_tick(self) -> None:
        due_us = self.runtime.context.grid.start_us(self._next_tick)
        delay_s = max(0.0, (due_us - self.clock.now_unix_us()) / 1e6 - EARLY_TICKS / self.runtime.context.grid.rate)
        self._tick_timer = asyncio.get_running_loop().call_later(delay_s, self._guarded, self._on_tick)

    def _guarded(self, call: Callable[[], None]) -> None:
        """A bug ends the process: its successor recovers from what Redis has."""
        if self.ended.is_set():
            return
        try:
            call()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self.ended.set()

    def _on_tick(self) -> None:
        runtime = self.runtime
        self._prepare_tick()
        current = runtime.context.grid.at(self.clock.now_unix_us())
        tick = max(self._next_tick, current + 1 - MAX_TICKS_BEHIND)
        if runtime.state is RuntimeState.ACTIVE:
            runtime.context.stats.ticks_skipped += tick - self._next_tick
        if tick <= current:
            runtime.begin_tick(tick)
            self._next_tick = tick + 1  # if that has started too, it runs at once, after what has come in meanwhile
            if tick == current and len(runtime.context.tracker):
                pause_s = PAUSE_TICKS / runtime.context.grid.rate
                self._half_timer = asyncio.get_running_loop().call_later(pause_s, self._guarded, self._end_tick)
            else:  # it is behind, or has nothing that takes time
                self._end_tick()
        stats = runtime.context.stats
        stats.redis_requests = self.store.client_requests
        stats.link_bytes_sent = self.links.bytes_sent
        stats.skewed_peers, stats.clock_offset_us_max = ",".join(self.peers.skewed), self.peers.worst_offset_us
        if runtime.state in (RuntimeState.RESIGNED, RuntimeState.ENDED):
            self._end_tick()
            self.ended.set()
        else:
            self._schedule_tick()

    def _prepare_tick(self) -> None:
        grid, due_us = self.runtime.context.grid, self.runtime.context.grid.start_us(self._next_tick)
        if 0 < due_us - self.clock.now_unix_us() <= 2e6 * EARLY_TICKS / grid.rate:
            self.runtime.prepare_tick(self._next_tick)
            time.sleep(max(0, due_us - self.clock.now_unix_us()) / 1e6)

    def _end_tick(self) -> None:
        self.runtime.end_tick()
        self.carry()

    def _on_deadline(self) -> None:
        self._deadline_timer = None
        self.runtime.poll()
        self.carry()

    # --- effects ------------------------------------------------------------------------------------------------

    def carry(self) -> None:
        """Trace first, then Redis, then peers: the order that ``Effects`` asks for."""
        effects = self.runtime.take_effects()
        if effects.ticks or effects.events:
            self._write_trace(effects.ticks, effects.events)
        if effects.requests:
            lanes: dict[str, list[Request]] = {}
            for request in effects.requests:
                lanes.setdefault(_lane_of(request), []).append(request)
            for name, requests in lanes.items():
                self._lanes[name].submit(requests, self.runtime.context.generation)
        for peer, frame in effects.frames:
            if isinstance(frame, Offer | Answer | Final | Nudge):
                self.links.send(peer, frame)  # a frame that finds no room is a lost one: the protocol knows
        if effects.spans:
            self.take_spans(effects.spans)
        if effects.notes:
            self._transfer_log.write(effects.notes)
        for report in effects.damage:
            log_damage(report, self.store.prefix)
        self._schedule_deadline()

    def _schedule_deadline(self) -> None:
        deadline_us = self.runtime.next_deadline_us
        delay_s = (deadline_us - self.clock.now_unix_us()) / 1e6
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
            self._deadline_timer = None
        if delay_s < 60:
            loop = asyncio.get_running_loop()
            self._deadline_timer = loop.call_later(max(0.001, delay_s), self._guarded, self._on_deadline)

    def _write_trace(self, ticks: Sequence[TraceTick], events: Sequence[TraceEvent]) -> None:
        if self._trace is None and self._open_trace is not None:
            self._trace = self._open_trace(self.runtime.context.epoch, self.runtime.context.origin_tick)
        if self._trace is not None:
            if events:  # first: a tick without the adoption before it would look like a stranger's
                self._trace.write_events(events)
            for tick in ticks:
                self._trace.write(tick)

    # --- what comes in ------------------------------------------------------------------------------------------

    async def _execute(self, requests: Sequence[Request], generation: str) -> list[Reply | None]:
        return await self.store.execute(requests, generation=generation)

    def _deliver(self, request: Request, reply: Reply | None, generation: str) -> None:
        def deliver() -> None:
            if reply is None:
                self.runtime.context.stats.redis_unanswered += 1
            self.runtime.receive_reply(request, reply, generation=generation)
            self.carry()

        self._guarded(deliver)

    def on_frame(self, peer: str, epoch: int, frame: Frame) -> None:
        def deliver() -> None:
            self.runtime.receive_frame(peer, frame, generation=self.peers.generations[peer])
            self.carry()

        if self.peers.epochs.get(peer) == epoch:
            self._guarded(deliver)

    def on_link_up(self, peer: str, epoch: int, hello: Hello) -> None:
        self.peers.epochs[peer] = epoch
        self.peers.generations[peer] = hello.generation
        self.peers.takes_own_rows[peer] = hello.takes(self.runtime.context.schema.hash)

    def on_link_down(self, peer: str, reason: str) -> None:
        self.peers.epochs.pop(peer, None)
        self.runtime.membership.look_soon(self.clock.now_unix_us())

    def hello(self) -> Hello | None:
        """None until RECOVER is done: no shard answers about transfers before it knows its own."""
        context = self.runtime.context
        if self.runtime.state not in (RuntimeState.ACTIVE, RuntimeState.SETTLING):
            return None
        return Hello(
            shard=context.shard,
            epoch=context.epoch,
            generation=context.generation,
            protocol_version=PROTOCOL_VERSION,
            fleet=context.config.identity,
            schema_hash=context.schema.hash,
            takes_schemas=context.reader.takes,
        )

    async def link_lease(self, request: LinkLease) -> Reply | None:
        return (await self.store.execute([request], generation=self.runtime.context.generation))[0]

    def _followed(self, task: asyncio.Task[None]) -> None:
        """It ends with the process, or by a bug: then links would never again follow the fleet."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _follow_peers(self) -> None:
        """Tells the connection manager whom it should know, as the fleet changes."""
        told: object = None
        ready = False
        while True:
            active = self.runtime.state is RuntimeState.ACTIVE and bool(self.runtime.membership.claimed)
            if active != ready:
                ready = active
                await self._set_ready(ready)
            membership = self.runtime.membership
            known = {
                member.shard: (member.address, member.ordinal, member.epoch)
                for member in membership.members.values()
                if member.living and member.shard != self.runtime.context.shard
            }
            wanted = {*membership.neighbours(), *self.runtime.unreachable} & known.keys()
            if self.runtime.context.epoch and (known, wanted) != told:
                self.links.set_peers(known, wanted)
                told = (known, wanted)
            await asyncio.sleep(FOLLOW_PEERS_S)


def _lane_of(request: Request) -> str:
    match request:
        case Renew():
            return "lease"
        case Publish() | ReadFleet() | ReadEntries() | Tail() | Rejoin():
            return "bulk"
        case _:
            return "transfers"
