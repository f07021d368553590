"""The parts of one sampled transfer, as spans: values that the edge makes a trace of.

Nearly no transfer is sampled; for the others nothing here is ever made. The trace's context travels in the offer, so
that the spans of both shards belong together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .transfer import TransferId


class Part(StrEnum):
    TRANSFER = "transfer"
    """All of it, as the source sees it: from the plan until Redis knows that the source has let go, or that the rows
    stay. The parent of the others; the target's may end later."""
    BEGIN = "begin"
    """Source: from BEGIN to Redis' answer."""
    OFFER = "offer"
    """Source: from the offer until it knows what became of it."""
    ACCEPT = "accept"
    """Target: from the offer's arrival until Redis has decided."""
    SWITCH = "switch"
    """Source: from knowing of the acceptance until the rows go, at the switch tick."""
    ADOPT = "adopt"
    """Target: from the acceptance until the rows are simulated here, at the switch tick."""
    CLEAR = "clear"
    """Whoever is the last: from RELEASED or ADOPTED to Redis' answer that the record is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSpan:
    """One part that is over; times in Unix microseconds of this shard's clock.

    Attributes:
        trace_context: W3C traceparent of the whole transfer.
        outcome: accepted, rejected, canceled or completed, as far as that is to be said of the part.
    """

    trace_context: str
    transfer: TransferId
    part: Part
    start_us: int
    end_us: int
    outcome: str = ""


class OpenSpans:
    """The parts of one transfer that have begun on this side.

    Args:
        emit: takes those that are over.
        now_us: the clock, Unix microseconds.
    """

    __slots__ = ("_emit", "_now_us", "_since_us", "_transfer", "trace_context")

    def __init__(
        self,
        trace_context: str,
        transfer: TransferId,
        *,
        emit: Callable[[TransferSpan], None],
        now_us: Callable[[], int],
    ) -> None:
        self.trace_context = trace_context
        self._transfer = transfer
        self._emit = emit
        self._now_us = now_us
        self._since_us: dict[Part, int] = {}

    def begin(self, *parts: Part) -> None:
        now_us = self._now_us()
        for part in parts:
            self._since_us[part] = now_us

    def end(self, part: Part, outcome: str = "") -> None:
        """Does nothing where ``part`` has not begun, or is over."""
        since_us = self._since_us.pop(part, None)
        if since_us is not None:
            self._emit(
                TransferSpan(
                    trace_context=self.trace_context,
                    transfer=self._transfer,
                    part=part,
                    start_us=since_us,
                    end_us=self._now_us(),
                    outcome=outcome,
                )
            )

    def drop(self, part: Part) -> None:
        """It was another's to do."""
        self._since_us.pop(part, None)

    def end_all(self, outcome: str) -> None:
        """The transfer is over on this side; what has begun first ends last."""
        for part in reversed(tuple(self._since_us)):
            self.end(part, outcome)
