"""Histograms of milliseconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .axes import F64, binned, even_edges, milliseconds, round_marks, symmetric_edges
from .markup import Html, count, folded, table, tag

WIDTH, HEIGHT = 1000, 100
BINS = 40
LABELS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a histogram is of."""

    title: str
    sample: tuple[str, str]
    """One of them, many of them: 'handoff', 'handoffs'."""


def histogram(values_ms: F64, words: Words, marks: Sequence[tuple[str, float]], *, about: float | None = None) -> Html:
    """Bars, the ``marks`` (name, ms) as lines, and the same as a table.

    Args:
        values_ms: (n,) finite.
        about: where the values belong; bins are even around it. None: around 0, and where a few values are far
            from most, edges grow as 1, 2, 5, 10.
    """
    if not len(values_ms):
        return tag("figure", tag("p", f"No {words.sample[1]}, so nothing to draw.", class_="soft"))
    edges = _edges(values_ms, about)
    below, inside, above = binned(values_ms, edges)
    bars = _bars(edges, below, inside.tolist(), above)
    most = max(number for _, number, _ in bars)
    levels = [level for level in round_marks(0, most, most=4) if level == round(level) and level > 0]
    shape = tag(
        "svg",
        tag("title", words.title),
        tag(
            "desc", f"{count(len(values_ms), *words.sample)}; " + ", ".join(f"{n} {milliseconds(v)}" for n, v in marks)
        ),
        *(tag("path", d=f"M0 {HEIGHT * (1 - level / most):.4g}H{WIDTH}", class_="level") for level in levels),
        *_rects(bars, most, len(values_ms), words),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=words.title,
    )
    scale = [tag("span", f"{level:,.0f}", style=f"bottom:{100 * level / most:.2f}%") for level in levels]
    rows = [(name, f"{number:,}", f"{number / len(values_ms):.1%}") for name, number, _ in bars if number]
    return tag(
        "figure",
        tag(
            "div",
            tag("div", *scale, class_="scale", aria_hidden="true"),
            tag("div", shape, *_lines(marks, edges, below, above), class_="plot"),
            tag("span"),
            tag("div", *_labels(edges, below, above), class_="axis", aria_hidden="true"),
            class_="bars",
        ),
        folded("The same as a table", table((words.title, words.sample[1], "share"), rows, caption=words.title)),
    )


def _edges(values: F64, about: float | None) -> list[float]:
    low, first, last, high = np.quantile(values, [0.005, 0.1, 0.9, 0.995], method="nearest").tolist()
    if about is not None:
        reach = max(0.2 * about, min(about, max(high - about, about - low)))
        return even_edges(about - reach, about + reach, most=BINS)
    if high - low <= 12 * (last - first):
        return even_edges(min(low, 0.0), max(high, 0.0), most=BINS)
    return symmetric_edges(float(values.min()), float(values.max()))


Bar = tuple[str, int, bool]
"""Name, number, whether it holds all beyond an edge."""


def _bars(edges: Sequence[float], below: int, inside: Sequence[int], above: int) -> list[Bar]:
    bars: list[Bar] = [(f"below {edges[0]:g} ms", below, True)] if below else []
    bars += [(f"{a:g} to {b:g} ms", n, False) for a, b, n in zip(edges, edges[1:], inside, strict=False)]
    return bars + ([(f"above {edges[-1]:g} ms", above, True)] if above else [])


def _rects(bars: Sequence[Bar], most: int, total: int, words: Words) -> Iterator[Html]:
    width = WIDTH / len(bars)
    for index, (name, number, beyond) in enumerate(bars):
        if number:
            height = max(0.8, HEIGHT * number / most)
            yield tag(
                "rect",
                tag("title", f"{name}: {count(number, *words.sample)} ({number / total:.1%})"),
                x=f"{index * width:.5g}",
                y=f"{HEIGHT - height:.4g}",
                width=f"{width * 0.9:.4g}",
                height=f"{height:.4g}",
                class_="bar out" if beyond else "bar",
            )


def _place(value: float, edges: Sequence[float], below: int, above: int) -> float:
    """0..1 in the plot: bins are equally wide, whatever they hold."""
    bins = len(edges) - 1 + bool(below) + bool(above)
    if value < edges[0]:
        return 0.5 / bins
    if value > edges[-1]:
        return 1 - 0.5 / bins
    return float(np.interp(value, edges, np.arange(len(edges))) + bool(below)) / bins


def _lines(marks: Sequence[tuple[str, float]], edges: Sequence[float], below: int, above: int) -> Iterator[Html]:
    for row, (name, value) in enumerate(marks):
        at = _place(value, edges, below, above)
        yield tag(
            "span",
            tag("b", f"{name} {milliseconds(value)}"),
            class_="at left" if at > 0.6 else "at",
            style=f"left:{at * 100:.2f}%;--row:{row * 1.35:g}em",
        )


def _labels(edges: Sequence[float], below: int, above: int) -> Iterator[Html]:
    step = -(-(len(edges) - 1) // LABELS)
    zero = min(range(len(edges)), key=lambda n: abs(edges[n]))
    for index in range(zero % step, len(edges), step):
        at = _place(edges[index], edges, below, above)
        unit = "" if index + step < len(edges) else " ms"
        yield tag(
            "span", f"{edges[index]:g}{unit}", style=f"left:{at * 100:.2f}%", class_="last" if at > 0.97 else None
        )
