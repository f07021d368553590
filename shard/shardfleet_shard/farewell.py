"""Farewell: how a shard ends in order.

Settling, it rests with its entities: no new transfers, open ones finish, one last manifest, RESIGN; the world can be
resumed. Draining, it has no cell any more: it hands its entities over by ordinary transfers, and settles once it has
none.
"""

from __future__ import annotations

from .core.context import Context
from .core.despawn import Despawns
from .core.journal_reader import JournalReader
from .core.mailbox import TransferMailbox
from .core.membership import Membership
from .core.requests import Done, Refused, Reply, Resign
from .core.stream import EntityStream
from .telemetry import TelemetryPublisher


class Farewell:
    """What was asked for, and how far it has come."""

    def __init__(
        self,
        context: Context,
        membership: Membership,
        mailbox: TransferMailbox,
        stream: EntityStream,
        journal_reader: JournalReader,
        despawns: Despawns,
        telemetry: TelemetryPublisher,
    ) -> None:
        self.context = context
        self.membership = membership
        self.mailbox = mailbox
        self.stream = stream
        self.journal_reader = journal_reader
        self.despawns = despawns
        self.telemetry = telemetry
        self.settle = False
        self.drain = False
        self.resting_tick = -1
        """The last tick that was simulated, once there is one."""
        self._had_cell = False
        self._resign_sent = False

    # --- when ---------------------------------------------------------------------------------------------------

    @property
    def asked(self) -> bool:
        """Somebody wants this shard, or the fleet, to settle."""
        return self.settle or self.membership.phase == "settle"

    @property
    def draining(self) -> bool:
        """The layout has no cell for this shard any more: it hands over what it has, and then ends."""
        layout = self.membership.layout
        self._had_cell = self._had_cell or bool(self.membership.claimed)
        leaving = self.drain or self._had_cell
        return leaving and bool(layout.cells) and not layout.cells_of(self.context.shard)

    @property
    def drained(self) -> bool:
        nothing_left = not len(self.context.tracker) and not self.mailbox.open_count
        return self.draining and nothing_left and not self.membership.claimed

    def begin(self) -> None:
        """From now on nothing is claimed and no offer accepted."""
        self.membership.giving_up = True
        self.mailbox.refuse("settling")

    def take_back(self) -> None:
        """A spawn came that was written before the claims were given up: it must still go to whoever has its cell."""
        self.resting_tick = -1
        self.membership.giving_up = False
        self.mailbox.refuse("")

    # --- how ----------------------------------------------------------------------------------------------------

    @property
    def quiet(self) -> bool:
        """Nothing is open any more."""
        return (
            not (self.membership.claimed or self.mailbox.open_count or self.stream.waiting or self.despawns.open)
            and self.context.journal.settled
            and not self.journal_reader.reading
            and self.telemetry.in_flight is None
        )

    def rest(self, tick: int) -> None:
        """Once all is quiet, ``tick`` is the last one, and the last manifest is as of its end."""
        if self.quiet:
            self.context.stats.transfers_open = 0
            self.resting_tick = tick

    def advance(self, *, failing: bool) -> None:
        """After the last manifest: RESIGN. ``failing``: the simulation raises, so no tick of its own is the last."""
        if self.resting_tick < 0 and failing:
            self.rest(self.context.current_tick)
        if self.resting_tick < 0 or self.telemetry.in_flight is not None or self._resign_sent:
            return
        if self.telemetry.published_tick >= self.resting_tick:
            self._resign_sent = True
            self.context.request(Resign(shard=self.context.shard, epoch=self.context.epoch))
        elif failing:
            self.telemetry.publish(self.context.current_tick)
        else:
            self.resting_tick = -1  # no answer to the last manifest: there will be another one

    def handle_resigned(self, reply: Reply | None) -> bool:
        """Returns whether this shard has resigned; a refusal means that something came in between."""
        self._resign_sent = False
        if isinstance(reply, Refused):
            self.resting_tick = -1  # take it up, then rest again
            self.journal_reader.read_soon()
        return isinstance(reply, Done)
