"""What two shards say to each other, as plain values. net/packets.py knows their bytes."""

from __future__ import annotations

from dataclasses import dataclass

from .transfer import TransferId

PROTOCOL_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First frame of each side of a link. Any mismatch closes the link with a reason."""

    shard: str
    epoch: int
    generation: str
    protocol_version: int
    fleet: str
    schema_hash: int
    takes_schemas: tuple[int, ...] = ()
    """Former schemas whose rows this shard takes, too."""

    def takes(self, schema_hash: int) -> bool:
        """Whether rows of that schema may be sent to this shard."""
        return schema_hash == self.schema_hash or schema_hash in self.takes_schemas


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Clock probe: ``sent_us`` is the sender's clock (Unix us)."""

    sent_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """``ping_sent_us`` echoed, and the answerer's clock at receipt and at sending."""

    ping_sent_us: int
    received_us: int
    sent_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The offered rows, under the *source's* versions, as of the end of ``offer_tick``."""

    transfer: TransferId
    target_epoch: int
    cell: str
    transfer_time_us: int
    switch_tick: int
    offer_tick: int
    count: int
    columns: bytes
    trace_context: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Target to source. ``accepted`` False is a promise: never."""

    transfer: TransferId
    accepted: bool
    reason: str
    generation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """The rows as the source ended with them, as of the end of ``tick``, the last that it simulated.

    ``unix_us`` is the source's clock when step 3 of that tick ended: the gap is measured from it.
    """

    transfer: TransferId
    tick: int
    unix_us: int
    count: int
    columns: bytes
    every_tick: bool = False
    """The source simulated every tick after the offer's, so that the offered rows moved forward must be the same. One
    that fell behind skips numbers; False as well from a source that does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nudge:
    """Something was written to your journal: read it now. Losing one costs a polling interval, nothing else."""


Frame = Hello | Ping | Pong | Offer | Answer | Final | Nudge
