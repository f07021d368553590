"""Takeovers: the taker's side. Its own journal says that it has what a dead shard held; here it takes the rows up.

To everyone else it is a handoff: the rows come under a version above, and are simulated from the tick after the one as
of whose end they were stored. What the dead shard simulated beyond that is repeated; it had no lease any more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from .columns import Columns, Mask
from .context import CATCH_UP_LIMIT_US, Context
from .journal_requests import EntryKind, FleetRecords, JournalEntry
from .mailbox import TransferMailbox
from .outgoing import RETRY_US
from .requests import Adopted
from .stream import EntityStream
from .taken_rows import Piece, pieces_under, transfers_into
from .takeover_requests import ReadTaken
from .transfer import TransferId

SLICE_US = 15_000
"""Of a tick may go into catching up: this shard's own entities are simulated meanwhile. One piece goes always."""


@dataclass(slots=True, eq=False)
class _Takeover:
    entry: JournalEntry
    pieces: deque[Piece] | None = None
    """None: not read yet."""
    transfers: list[TransferId] = field(default_factory=list)


class Takeovers:
    """Those that are not taken up whole, oldest first."""

    def __init__(self, context: Context, mailbox: TransferMailbox, stream: EntityStream) -> None:
        self.context = context
        self.mailbox = mailbox
        self.stream = stream
        self._waiting: deque[_Takeover] = deque()
        self._reading = False
        self._next_read_us = 0

    def take(self, entry: JournalEntry) -> None:
        """A ``takeover`` of the own journal."""
        self._waiting.append(_Takeover(entry))

    def begin_anew(self) -> None:
        """The journal is another now; it says again what waits."""
        self._waiting.clear()
        self._reading = False

    def poll(self, now_us: int) -> None:
        """Reads the oldest one's rows, once. Together they are no larger than what this shard is about to have."""
        if self._waiting and self._waiting[0].pieces is None and not self._reading and now_us >= self._next_read_us:
            self._reading = True
            self.context.request(ReadTaken(alias=self._waiting[0].entry.peer))

    def handle_reply(self, request: ReadTaken, reply: FleetRecords | None, now_us: int) -> None:
        """Raises ``SimulationError`` where rows of former columns cannot be upgraded; they are read again then."""
        self._reading, self._next_read_us = False, now_us + RETRY_US
        if reply is None or not self._waiting or self._waiting[0].entry.peer != request.alias:
            return
        takeover = self._waiting[0]
        takeover.pieces = deque(pieces_under(request.alias, reply.records, self.context.reader))
        takeover.transfers = transfers_into(reply.records)

    def take_due(self, tick: int) -> None:
        """Step 2: as many pieces as a slice of the tick lets. Raises ``SimulationError`` where ``step`` does."""
        if not self._waiting or self._waiting[0].pieces is None or not self.stream.seeded:
            return  # until the seed has been seen, the world's tick 0 is not known here
        takeover, clock = self._waiting[0], self.context.clock
        until_us = clock.now_unix_us() + SLICE_US
        for _ in range(len(takeover.pieces or ())):
            assert takeover.pieces is not None
            piece = takeover.pieces[0]
            if self._ticks(piece)[1] > tick:
                takeover.pieces.rotate(-1)  # the source's until then
                continue
            if not self._take_up(piece, tick):
                return  # the lease ended
            takeover.pieces.popleft()
            if clock.now_unix_us() >= until_us:
                break
        if not takeover.pieces:
            self._finish(self._waiting.popleft())

    def _take_up(self, piece: Piece, tick: int) -> bool:
        context = self.context
        state_tick, first_tick = self._ticks(piece)
        detail: dict[str, int | bool] = {"upgraded": True} if piece.upgraded else {}
        rows = self.mailbox.incoming.without_older_or_newer(piece.rows.take(~self._lost_since(piece.rows)))
        if not len(rows):
            return True
        if context.simulation.exact and first_tick - 1 > state_tick:
            from_tick = max(state_tick + 1, first_tick - context.grid.ticks_in(CATCH_UP_LIMIT_US))
            rows = context.forward(rows, from_tick, first_tick - 1)
            detail["offer_tick"], state_tick = state_tick, first_tick - 1
        caught_up = context.catch_up(rows, first_tick, tick - 1)
        if caught_up is None:
            return False
        context.event(
            "adopt",
            tick,
            caught_up.id,
            caught_up.version,
            origin="takeover",
            state_tick=state_tick,
            **detail,
        )
        context.tracker.add(caught_up, since_tick=tick)
        context.stats.handed_over_in += len(caught_up)
        return True

    def _ticks(self, piece: Piece) -> tuple[int, int]:
        """(state_tick, first_tick) of today's grid: the world may have rested since they were written down."""
        state_tick = self.context.after_rests(piece.state_tick)
        follows = piece.first_tick == piece.state_tick + 1
        return state_tick, state_tick + 1 if follows else self.context.after_rests(piece.first_tick)

    def _lost_since(self, rows: Columns) -> Mask:
        """Which of ``rows`` this shard, or a former process of it, has had and given away, or despawned, by now.

        Its journal still says so: the position cannot pass a ``takeover`` that is not taken up whole.
        """
        lost = np.zeros(len(rows), bool)
        for entry in self.context.journal.pending:
            if entry.kind in (EntryKind.OUT, EntryKind.DESPAWN):
                limits = dict(
                    zip(
                        np.frombuffer(entry.ids, "<u8").tolist(),
                        np.frombuffer(entry.versions, "<u4").tolist(),
                        strict=True,
                    )
                )
                for index in np.flatnonzero(np.isin(rows.id, np.frombuffer(entry.ids, "<u8"))).tolist():
                    lost[index] |= int(rows.version[index]) <= limits[int(rows.id[index])]
        return lost

    def _finish(self, takeover: _Takeover) -> None:
        context = self.context
        for transfer in takeover.transfers:
            context.request(Adopted(shard=context.shard, epoch=context.epoch, transfer=transfer))
        context.journal.apply(takeover.entry.id)
