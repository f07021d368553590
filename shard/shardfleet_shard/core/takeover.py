"""Takeovers: the taker's side. Its own journal says that it has what a dead shard held; here it takes the rows up.

To everyone else it is a handoff: the rows come under a version above, and are simulated from the tick after the one as
of whose end they were stored. What the dead shard simulated beyond that is repeated; it had no lease any more.

Which rows those are, the ledger says, as for a shard that recovers: what the dead shard's own records say alone may be
less than what the others know, where Redis has forgotten something, and the entry may be read again by who has taken it
up before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from .columns import Columns
from .context import CATCH_UP_LIMIT_US, Context
from .damage import (
    DOUBT_PATIENCE_US,
    DOUBT_RETRY_US,
    DamageReport,
    damages_in,
    is_in_doubt,
    living,
    read_record,
    trusted_part,
)
from .journal_requests import FleetRecords, JournalEntry, ReadFleet, Registry
from .ledger import Ledger, evidence_in, fold, holdings, resolved
from .mailbox import TransferMailbox
from .outgoing import RETRY_US
from .requests import Adopted
from .roll_requests import MIN_CALL_MS, CallRoll, Rolled, RollPhase
from .stream import EntityStream
from .taken_rows import Piece, pieces_under, records_under, transfers_into
from .transfer import IncomingState, TransferId

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
        self._asked: ReadFleet | CallRoll | None = None
        self._read: FleetRecords | None = None
        """Until it is known to be of one life of Redis."""
        self._here: dict[int, int] = {}
        self._next_read_us = 0
        self._doubt_ends_us = 0

    def take(self, entry: JournalEntry) -> None:
        """A ``takeover`` of the own journal."""
        self._waiting.append(_Takeover(entry))

    def begin_anew(self) -> None:
        """The journal is another now; it says again what waits."""
        self._waiting.clear()
        self._asked = self._read = None

    def poll(self, now_us: int) -> None:
        """Reads the fleet for the oldest one, once."""
        waits = self._waiting and self._waiting[0].pieces is None
        if waits and self._asked is None and now_us >= self._next_read_us:
            self._asked, self._here = ReadFleet(registry=True), self._what_is_here()
            self.context.request(self._asked)

    def handle_fleet(self, request: ReadFleet, reply: FleetRecords | None, now_us: int) -> None:
        """What was read is asked about once more: of two lives of Redis it would say nothing."""
        if request is not self._asked:
            return  # of a journal that was another
        self._asked, self._read, self._next_read_us = None, reply, now_us + RETRY_US
        if reply is not None:
            self._asked = CallRoll(call_ms=MIN_CALL_MS)
            self.context.request(self._asked)

    def handle_checked(self, request: CallRoll, reply: Rolled | None) -> None:
        """Redis is still the one that serves.

        Raises:
            SchemaChanged, SimulationError: rows of former columns cannot be upgraded.
        """
        if request is not self._asked:
            return
        fleet, self._asked, self._read = self._read, None, None
        if fleet is None or reply is None or reply.phase is not RollPhase.OPEN:
            return
        takeover = self._waiting[0]
        records = records_under(takeover.entry.peer, fleet.records)
        if not records:
            return  # the aliases were listed before it was there
        reads = [read_record(record) for record in fleet.records]
        damages = damages_in(reads)
        own = [record for record in fleet.records if record.shard == self.context.shard]
        in_doubt = any(is_in_doubt(record, damages) for record in (*records, *own))
        if in_doubt and self._may_end():
            return
        evidences = resolved(map(evidence_in, reads))
        registry, ledger = (fleet.registry if damages else None), fold(evidences)
        takeover.transfers = transfers_into(records)
        if in_doubt:
            some = [record for record in own if is_in_doubt(record, damages)]
            records = [] if some else [trusted_part(record, damages) for record in records]
        pieces = pieces_under(takeover.entry.peer, records, self.context.reader)
        takeover.pieces = deque(replace(piece, rows=self._news(piece.rows, ledger, registry)) for piece in pieces)
        held = [np.fromiter(self._here, np.uint64, len(self._here)), *(piece.rows.id for piece in takeover.pieces)]
        for evidence in evidences:
            mine = evidence.shard == self.context.shard
            held += [ids for ids, _ in evidence.taken if not in_doubt] if mine else [holdings(evidence)[0]]
        self.context.report_damage(DamageReport.of(damages, fleet.registry, held))

    def _may_end(self) -> bool:
        """Whether the damage by which rows are in doubt may yet be replaced; see damage.py."""
        now_us = self.context.clock.now_unix_us()
        self._doubt_ends_us = self._doubt_ends_us or now_us + DOUBT_PATIENCE_US
        self._next_read_us = now_us + DOUBT_RETRY_US
        return now_us < self._doubt_ends_us

    def _what_is_here(self) -> dict[int, int]:
        """id -> version, before the fleet is read: what goes from here after that, Redis may not know yet."""
        coming = self.mailbox.incoming.open.values()
        here: dict[int, int] = {}
        for rows in (self.context.tracker.rows, *(i.rows for i in coming if i.state is IncomingState.ACCEPTED)):
            here.update(zip(rows.id.tolist(), rows.version.tolist(), strict=True))
        return here

    def _news(self, rows: Columns, ledger: Ledger, registry: Registry | None) -> Columns:
        """Which of them are this shard's, and are not here already."""
        news = ledger.keeps(self.context.shard, rows.id, rows.version) & living(rows.id, registry)
        for place in np.flatnonzero(news).tolist():
            news[place] = self._here.get(int(rows.id[place]), -1) < int(rows.version[place])
        return rows.take(news)

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
        rows = self.mailbox.incoming.without_older_or_newer(piece.rows)
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
        context.stats.taken_over += len(caught_up)
        return True

    def _ticks(self, piece: Piece) -> tuple[int, int]:
        """(state_tick, first_tick) of today's grid: the world may have rested since they were written down."""
        state_tick = self.context.after_rests(piece.state_tick)
        follows = piece.first_tick == piece.state_tick + 1
        return state_tick, state_tick + 1 if follows else self.context.after_rests(piece.first_tick)

    def _finish(self, takeover: _Takeover) -> None:
        self._doubt_ends_us = 0
        context = self.context
        for transfer in takeover.transfers:
            context.request(Adopted(shard=context.shard, epoch=context.epoch, transfer=transfer))
        context.journal.apply(takeover.entry.id)
