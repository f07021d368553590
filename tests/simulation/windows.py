"""Stretches of time in which each message may be struck, with a probability of the stretch's own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .fleet import Fleet


class Window(NamedTuple):
    until_us: int
    chance: float
    random: random.Random
    """Its own, so that a run without another window is the same run as far as this one goes."""


class Windows:
    """Open windows by kind of fault."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._open: dict[str, list[Window]] = {}

    def open(self, kind: str, *, length_us: int, chance: float, seed: str) -> None:
        until_us = self._fleet.now_us + length_us
        self._fleet.fault_until(until_us)
        self._open.setdefault(kind, []).append(Window(until_us, chance, random.Random(seed)))

    def is_open(self, kind: str) -> bool:
        return any(window.until_us > self._fleet.now_us for window in self._open.get(kind, ()))

    def strikes(self, kind: str, shards: Sequence[str]) -> bool:
        """Whether a message from, to or between ``shards`` is struck by ``kind`` now."""
        windows = self._open.get(kind)
        if not windows:
            return False
        now_us = self._fleet.now_us
        windows[:] = [window for window in windows if window.until_us > now_us]
        struck = False
        for window in windows:  # each of them draws, whatever the others say
            struck |= window.random.random() < window.chance
        if struck:
            self._fleet.hits.strike(kind, shards)
        return struck
