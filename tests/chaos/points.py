"""The named steps of a transfer at which a shard can be struck.

``-before``: nothing of the request has left; ``-sent``: its last byte is in the socket; ``-answered``: Redis' answer is
there and nobody has acted on it.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from shardfleet_shard.core.journal_requests import Publish
from shardfleet_shard.core.requests import Accept, Adopted, Begin, Released


class Side(StrEnum):
    SOURCE = "source"
    TARGET = "target"
    EITHER = "either"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """``open``: a transfer of this shard is then surely accepted and not cleared."""

    name: str
    side: Side
    open: bool = False


def _points(side: Side, *names: str) -> tuple[Point, ...]:
    """A name that ends with '+' is ``open``."""
    return tuple(Point(name=name.removesuffix("+"), side=side, open=name.endswith("+")) for name in names)


POINTS = (
    *_points(Side.SOURCE, "begin-before", "begin-sent", "begin-answered", "offer-queued", "offer-sent"),
    *_points(Side.SOURCE, "final-queued", "final-sent", "release-before", "release-after"),
    *_points(Side.SOURCE, "released-before+", "released-sent", "released-answered"),
    *_points(Side.TARGET, "accept-before", "accept-sent", "accept-answered+", "answer-queued", "answer-sent"),
    *_points(Side.TARGET, "adopt-before", "adopt-after+", "adopted-before+", "adopted-sent", "adopted-answered"),
    *_points(Side.EITHER, "manifest-before", "manifest-sent", "manifest-answered", "step-before", "step-after"),
)
NUMBER = {point.name: number for number, point in enumerate(POINTS, 1)}
"""As ``Cell.POINT`` holds it."""

OF_REQUEST: dict[type, str] = {
    Begin: "begin",
    Accept: "accept",
    Adopted: "adopted",
    Released: "released",
    Publish: "manifest",
}


def points_of(side: Side) -> list[Point]:
    """Those of one side, and of either."""
    return [point for point in POINTS if point.side in (side, Side.EITHER)]


class Turns:
    """Which step is next: one at which no shard was killed yet, if there is one, and of those one that was tried least.

    So a step that is hard to hit is tried again, and one that cannot be hit keeps nobody from the others.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._tried: Counter[str] = Counter()
        self._killed_at: set[str] = set()

    def next(self, side: Side) -> Point:
        points = points_of(side)
        self._rng.shuffle(points)
        chosen = min(points, key=lambda point: (point.name in self._killed_at, self._tried[point.name]))
        self._tried[chosen.name] += 1
        return chosen

    def killed(self, at: str) -> None:
        self._killed_at.add(at)
