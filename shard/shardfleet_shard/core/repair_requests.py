"""What is asked of Redis about transfers that outlived their switch; kept like requests.py, of which this is a part."""

from __future__ import annotations

from dataclasses import dataclass

from .transfer import TransferId


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """By the watchdog: ends a transfer whose end needs nobody's rows. No shard's epoch counts, only the generation.

    State started -> canceled, as ``Cancel`` does it; accepted and held by its target alone -> cleared, as ``Adopted``
    does it. Counters: these, and repaired. Whatever else is the case, nothing changes: an accepted transfer is never
    undone. Answer ``Done``: CANCELED or CLEARED, by this call; ACCEPTED; DECIDED: there is no record any more.
    """

    transfer: TransferId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOverdue:
    """A shard reads its own open records: those with a transfer time up to ``through_us`` that name it.

    Answer: ``Overdue``, the oldest first, at most 256.
    """

    shard: str
    epoch: int
    through_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueTransfer:
    """``held``: whether the reading shard is among the holders."""

    transfer: TransferId
    target: str
    accepted: bool
    held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    transfers: tuple[OverdueTransfer, ...]
