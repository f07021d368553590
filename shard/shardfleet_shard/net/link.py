"""One link: a stream after both Hellos, with its queue, its probes and its counts.

A link knows nothing of other links, of dialing or of leases; see links.py. Its reader and its writer are two tasks
that end by themselves when the stream does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..core.clock import Clock, PeerClock
from ..core.frames import Answer, Final, Frame, Hello, Nudge, Offer, Ping, Pong
from ..errors import FrameError, InvariantError
from .handshake import find_misfit, negotiated_version
from .limits import LinkLimits
from .packets import HandoffPacketManager
from .streams import LinkStream, StreamEnded

_T = TypeVar("_T")

HandoffFrame = Offer | Answer | Final | Nudge
"""What goes between the authority managers; the other frames stay inside net/."""


class Link:
    """A stream to one peer.

    Args:
        dialed: whether this side called.
        on_frame: takes each frame of the handoff, in order; may raise ``FrameError``, which closes the link.
        on_refused: takes why, once for each frame that is refused.
    """

    def __init__(
        self,
        stream: LinkStream,
        *,
        mine: Hello,
        dialed: bool,
        packets: HandoffPacketManager,
        clock: Clock,
        limits: LinkLimits,
        on_frame: Callable[[Link, HandoffFrame], None],
        on_refused: Callable[[FrameError], None],
    ) -> None:
        self.mine = mine
        self.theirs: Hello | None = None
        self.dialed = dialed
        self.reason: str | None = None
        """Why the link was closed; None while it stands."""
        self.refused = False
        """Whether a rule was broken, so that the peer is told the reason."""
        self.used_at_us = clock.boottime_us()
        """When a frame of the handoff last came or went, on the boot-time clock."""
        self.bytes_sent = 0
        self.frames_sent = 0
        self.frames_received = 0
        self.queued_bytes = 0
        self._stream = stream
        self._packets = packets
        self._clock = clock
        self._limits = limits
        self._on_frame = on_frame
        self._on_refused = on_refused
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closed = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._peer_clock: PeerClock | None = None
        self._ping_due = False
        self._ping_sent_us: int | None = None
        self._ping_to_answer: tuple[int, int] | None = None
        self._silent_beats = 0
        self.tasks: list[asyncio.Task[Any]] = []
        """Reader, writer and what else still waits in the stream; they end soon after the stream has."""

    @property
    def peer(self) -> str:
        return self.theirs.shard if self.theirs else "?"

    @property
    def epoch(self) -> int:
        return self.theirs.epoch if self.theirs else 0

    @property
    def protocol_version(self) -> int:
        """What may be sent over this link; 0 before Hello."""
        return negotiated_version(self.mine, self.theirs) if self.theirs else 0

    @property
    def queued_frames(self) -> int:
        return len(self._queue)

    # --- the handshake ---------------------------------------------------------------------------------------------

    async def say_hello(self) -> None:
        """Raises ``StreamEnded``."""
        await self._within_deadline(self._stream.write(self._packets.to_bytes(self.mine)))

    async def hear_hello(self) -> Hello:
        """The peer's Hello, which must be its first frame. Raises ``StreamEnded`` or ``FrameError``."""
        data = await self._within_deadline(self._stream.read())
        frame = self._packets.from_bytes(data)
        if not isinstance(frame, Hello):
            raise FrameError(f"{type(frame).__name__} before Hello", reason="before Hello")
        self.theirs = frame
        return frame

    async def _within_deadline(self, step: Coroutine[Any, Any, _T]) -> _T:
        # Not asyncio.timeout: it would cancel what waits in gRPC; see streams.py.
        task = asyncio.create_task(step)
        self.tasks.append(task)
        await asyncio.wait({task}, timeout=self._limits.hello_deadline_us / 1e6)
        if not task.done():
            raise FrameError(f"no Hello within {self._limits.hello_deadline_us / 1e6:g} s", reason="no Hello")
        self.tasks.remove(task)
        return task.result()

    # --- life ------------------------------------------------------------------------------------------------------

    async def run(self, peer_clock: PeerClock) -> str:
        """Carries frames both ways until the link is closed. Returns the reason."""
        self._peer_clock = peer_clock
        self.tasks += [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        self.beat()
        await self._closed.wait()
        assert self.reason is not None
        return self.reason

    def close(self, reason: str, *, refused: bool = False) -> None:
        """Ends the link; the first reason counts."""
        if self.reason is None:
            self.reason, self.refused = reason, refused
        self._drained.set()
        self._wake.set()
        self._closed.set()

    def beat(self) -> None:
        """Once a ping interval: probes the peer's clock, and closes the link of a peer that has fallen silent."""
        self._silent_beats += 1
        if self._silent_beats > self._limits.silent_pings:
            self.close("the peer is silent")
            return
        self._ping_due = True
        self._wake.set()

    # --- out -------------------------------------------------------------------------------------------------------

    def room(self) -> int:
        """How many further frames of the largest size may be planned: the reserved share of frames and of bytes is not
        offered. An empty queue has room for one, however wide the world's rows are."""
        limits = self._limits
        frames = limits.queue_frames - limits.reserved_frames - len(self._queue)
        reserved_bytes = limits.queue_bytes * limits.reserved_frames // limits.queue_frames
        in_bytes = (limits.queue_bytes - reserved_bytes - self.queued_bytes) // self._packets.largest_frame_bytes
        return max(0, min(frames, in_bytes))

    def send(self, frame: Frame) -> bool:
        """Queues a frame of the handoff; False where the queue is full or the link closed.

        Raises:
            InvariantError: a frame that only net/ itself sends.
        """
        if isinstance(frame, (Hello, Ping, Pong)):
            raise InvariantError(f"{type(frame).__name__} is not the authority manager's to send")
        if self.reason is not None or len(self._queue) >= self._limits.queue_frames:
            return False
        data = self._packets.to_bytes(frame)
        if self.queued_bytes + len(data) > self._limits.queue_bytes:
            return False
        self._put(data)
        self.used_at_us = self._clock.boottime_us()
        return True

    def take_over(self, other: Link) -> None:
        """Takes the frames that ``other`` has not sent yet, in order, before any of its own."""
        mine, self._queue = self._queue, deque()
        self.queued_bytes = 0
        for data in (*other._queue, *mine):
            self._put(data)
        other._queue.clear()
        other.queued_bytes = 0

    async def drain(self) -> None:
        """Returns once nothing is queued any more, or the link is closed."""
        await self._drained.wait()

    def _put(self, data: bytes) -> None:
        self._queue.append(data)
        self.queued_bytes += len(data)
        self._drained.clear()
        self._wake.set()

    async def _write(self) -> None:
        try:
            while self.reason is None:
                await self._wake.wait()
                self._wake.clear()
                while self.reason is None and (data := self._next_message()) is not None:
                    await self._stream.write(data)
                    self.bytes_sent += len(data)
                    self.frames_sent += 1
                if not self._queue:
                    self._drained.set()
        except StreamEnded as error:
            self.close(str(error))
        except Exception as error:
            self._fail(error)

    def _next_message(self) -> bytes | None:
        # Probes go first and are stamped here, at the last moment: time in the queue would count as time on the way.
        if self._ping_to_answer is not None:
            sent_us, received_us = self._ping_to_answer
            self._ping_to_answer = None
            return self._packets.to_bytes(
                Pong(ping_sent_us=sent_us, received_us=received_us, sent_us=self._clock.now_unix_us())
            )
        if self._ping_due:
            self._ping_due = False
            self._ping_sent_us = self._clock.now_unix_us()
            return self._packets.to_bytes(Ping(sent_us=self._ping_sent_us))
        if not self._queue:
            return None
        data = self._queue.popleft()
        self.queued_bytes -= len(data)
        return data

    # --- in --------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while self.reason is None:
                self._receive(self._packets.from_bytes(await self._stream.read()))
        except StreamEnded as error:
            self.close(str(error))
        except FrameError as error:
            self._on_refused(error)
            self.close(str(error), refused=True)
        except Exception as error:
            self._fail(error)

    def _receive(self, frame: Frame) -> None:
        self._silent_beats = 0
        self.frames_received += 1
        match frame:
            case Ping():
                # Only the newest is worth an answer: the queue of pongs is one long.
                self._ping_to_answer = (frame.sent_us, self._clock.now_unix_us())
                self._wake.set()
            case Pong():
                self._take_pong(frame)
            case Hello():
                raise FrameError("a second Hello", reason="second Hello")
            case _:
                self._check_sender(frame)
                self.used_at_us = self._clock.boottime_us()
                self._on_frame(self, frame)

    def _take_pong(self, pong: Pong) -> None:
        # A pong to anything but the last ping, or a second one, measures nothing.
        if pong.ping_sent_us != self._ping_sent_us or self._peer_clock is None:
            return
        self._ping_sent_us = None
        self._peer_clock.observe(
            sent_us=pong.ping_sent_us,
            received_us=pong.received_us,
            answered_us=pong.sent_us,
            returned_us=self._clock.now_unix_us(),
        )

    def _check_sender(self, frame: HandoffFrame) -> None:
        if isinstance(frame, Nudge) or self.theirs is None:
            return
        misfit = find_misfit(
            self.mine,
            self.theirs,
            frame_kind=type(frame).__name__.lower(),
            source=frame.transfer.source,
            epoch=frame.transfer.epoch if isinstance(frame, Offer) else None,
        )
        if misfit is not None:
            raise FrameError(misfit, reason="wrong sender")

    def _fail(self, error: Exception) -> None:
        """A callback or this module has a bug: the loop's exception handler decides about the process."""
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"link to {self.peer}: {error}", "exception": error}
        )
        self.close(f"failed here: {error}")
