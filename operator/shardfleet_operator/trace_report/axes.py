"""Scales: round steps, time without its rests, and numbers for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

REST_S = 20.0
"""A world that nobody simulated for longer rested: its axis leaves that out."""
CUT = 0.02
"""How much of the axis each rest that is left out takes."""
CUTS_SHOWN = 12
"""More rests than that are not drawn as cuts: the axis runs through all of them."""
TIME_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400)


def round_step(span: float, *, most: int) -> float:
    """The smallest of 1, 2, 5, 10, ... that cuts ``span`` into at most ``most`` parts."""
    if not span > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= most * 1.000001)


def round_marks(low: float, high: float, *, most: int) -> list[float]:
    """Round numbers from ``low`` to ``high``."""
    step = round_step(high - low, most=most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) + 0.0 for k in range(first, last + 1)]


def duration(seconds: float) -> str:
    """'0.5 s', '90 s', '12 min', '3 h 20 min', '5 d'."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 60 * 48:
        return f"{minutes // 60} h {minutes % 60} min".removesuffix(" 0 min")
    return f"{minutes // (60 * 24)} d"


def milliseconds(value: float | None) -> str:
    """'-0.9 ms', '3.2 s'; '-' for none."""
    if value is None or not math.isfinite(value):
        return "-"
    if abs(value) >= 1000:
        return f"{value / 1000:,.2f} s"
    return f"{value:.1f} ms" if abs(value) >= 0.95 else f"{value + 0.0:.2f} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAxis:
    """Unix microseconds to 0..1, without the times in which no process ran."""

    spans: tuple[tuple[int, int], ...]
    """What is shown: (begin, end), ascending and apart."""
    knots_us: tuple[float, ...]
    knots: tuple[float, ...]

    @staticmethod
    def of(lives: Iterable[tuple[int, int]]) -> TimeAxis:
        """``lives``: when each process began and ended."""
        ordered = sorted(lives) or [(0, 1)]
        rest_us = REST_S * 1_000_000
        while True:
            spans = [list(ordered[0])]
            for begin, end in ordered[1:]:
                if begin - spans[-1][1] > rest_us:
                    spans.append([begin, end])
                spans[-1][1] = max(spans[-1][1], end)
            if len(spans) <= CUTS_SHOWN + 1:
                break
            rest_us *= 4
        for span in spans:
            span[1] = max(span[1], span[0] + 1)
        lengths = [end - begin for begin, end in spans]
        scale = (1 - CUT * (len(spans) - 1)) / sum(lengths)
        knots_us: list[float] = []
        knots: list[float] = []
        at = 0.0
        for (begin, end), length in zip(spans, lengths, strict=True):
            knots_us += [begin, end]
            knots += [at, at + length * scale]
            at = knots[-1] + CUT
        return TimeAxis(spans=tuple((begin, end) for begin, end in spans), knots_us=tuple(knots_us), knots=tuple(knots))

    @property
    def begin_us(self) -> int:
        return self.spans[0][0]

    @property
    def shown_s(self) -> float:
        """Seconds on the axis."""
        return sum(end - begin for begin, end in self.spans) / 1_000_000

    @property
    def cuts(self) -> tuple[float, ...]:
        """The middle of each rest that is left out."""
        return tuple((a + b) / 2 for a, b in zip(self.knots[1:-1:2], self.knots[2::2], strict=True))

    def place(self, unix_us: I64) -> F64:
        """(n,) in 0..1; what lies outside is at the edge."""
        # Relative to the beginning first: a float holds no Unix microseconds times a scale exactly enough.
        knots_us = np.array(self.knots_us) - self.begin_us
        place: F64 = np.interp(unix_us - self.begin_us, knots_us, np.array(self.knots))
        return place

    def marks(self, most: int = 7) -> list[tuple[float, str]]:
        """(place, label); labels are times since the beginning."""
        wanted = self.shown_s / most
        step = next((s for s in TIME_STEPS_S if s >= wanted), round_step(self.shown_s / 86_400, most=most) * 86_400)
        found: list[tuple[float, str]] = []
        for begin, end in self.spans:
            for k in range(int((end - begin) / 1_000_000 / step) + 1):
                at = begin + round(k * step * 1_000_000)
                place = float(self.place(np.array([at]))[0])
                if not found or place - found[-1][0] > 0.6 / most:
                    found.append((place, duration((at - self.begin_us) / 1_000_000)))
        return found


def symmetric_edges(low: float, high: float, *, smallest: float = 0.1) -> list[float]:
    """Edges 1, 2, 5, 10, ... on both sides of 0, far enough for ``low`` and ``high``."""

    def side(until: float) -> list[float]:
        edges: list[float] = []
        power = smallest
        while until > 0 and (not edges or edges[-1] < until):
            edges.append(power * (1, 2, 5)[len(edges) % 3])
            if len(edges) % 3 == 0:
                power *= 10
        return [float(f"{edge:.3g}") for edge in edges]

    return [*(-edge for edge in reversed(side(-low))), 0.0, *side(high)]


def even_edges(low: float, high: float, *, most: int) -> list[float]:
    """Round edges from below ``low`` to above ``high``."""
    step = round_step(max(high - low, 1e-9), most=most)
    first, last = math.floor(low / step), max(math.floor(low / step) + 1, math.ceil(high / step))
    return [round(k * step, 9) + 0.0 for k in range(first, last + 1)]


def binned(values: F64, edges: Sequence[float]) -> tuple[int, I64, int]:
    """(below, in each bin, above)."""
    inside, _ = np.histogram(values, np.array(edges))
    # NumPy's last bin holds its upper edge as well.
    return int((values < edges[0]).sum()), inside.astype(np.int64), int((values > edges[-1]).sum())
