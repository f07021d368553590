"""Figures in rows over one axis of time: handoffs between each two shards, and the lives of the shards' processes.

A row's strip is an SVG that is stretched to the room that there is; all text beside and on it is HTML, so that it can
be read on a phone, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..checker.events import FINAL, OFFER, TAKEOVER
from .axes import I64, TimeAxis, duration, milliseconds
from .lives import End, Life
from .markup import Html, count, folded, join, short, table, tag
from .story import Story

BINS = 160
PAIRS = 24
"""Pairs of shards with a row of their own: those with the most handoffs."""
SIGNS = 12
"""A row's takeovers, each with a mark."""
LIFE_ROWS = 100
LIVES = 1500
TABLE_ROWS = 200
WIDTH, MIDDLE = 1000, 50


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pair:
    """All handoffs from one shard to another; ``which`` are their rows."""

    source: int
    target: int
    which: I64


def axis_of(story: Story) -> TimeAxis:
    return TimeAxis.of((life.begin_us, life.end_us) for life in story.lives)


def handoff_figure(story: Story, axis: TimeAxis) -> Html:
    """A row for each ordered pair of shards: bars above the line started from the final state, below it from the
    offer."""
    pairs = _pairs(story)
    heights = [_counts(story, pair, axis) for pair in pairs]
    most = max((int(part.max()) for both in heights for part in both), default=0)
    rows = [
        _handoff_row(story, axis, pair, both, most) for pair, both in list(zip(pairs, heights, strict=True))[:PAIRS]
    ]
    if len(pairs) > PAIRS:
        others = np.array(heights[PAIRS:]).sum(0)
        title = f"{count(len(pairs) - PAIRS, 'other pair')} of shards"
        total = sum(len(pair.which) for pair in pairs[PAIRS:])
        rows.append(_row(title, _bars(title, others, max(most, int(others.max())), "", axis), f"{total:,}"))
    if len(story.frozen_us):
        frozen = np.histogram(axis.place(story.frozen_us), BINS, (0, 1))[0]
        title = "frozen, waiting for an answer"
        strip = _bars(title, np.array([frozen, np.zeros_like(frozen)]), max(1, int(frozen.max())), "", axis)
        rows.append(_row(title, strip, f"{len(story.frozen_us):,}"))
    scale = f"The highest bar is {count(most, 'handoff')} in {duration(axis.shown_s / BINS)}; " if most else ""
    words = (
        f"{scale}heights grow with the square root. Above the line: the target began with the source's final state. "
        "Below: it moved the offer forward by itself. ▲: a dead shard was taken over."
    )
    return _figure(rows, axis, words, _handoff_table(story, pairs))


def _pairs(story: Story) -> list[_Pair]:
    handoffs = story.handoffs
    code = handoffs.source.astype(np.int64) * len(story.shards) + handoffs.target
    rows = np.argsort(code, kind="stable")  # handoffs are in the order of time, and stay so within a pair
    codes, starts = np.unique(code[rows], return_index=True)
    parts = np.split(rows, starts[1:]) if len(codes) else []
    pairs = [
        _Pair(source=one // len(story.shards), target=one % len(story.shards), which=which)
        for one, which in zip(codes.tolist(), parts, strict=True)
    ]
    return sorted(pairs, key=lambda pair: -len(pair.which))


def _counts(story: Story, pair: _Pair, axis: TimeAxis) -> I64:
    """(2, BINS): from the final state (or a journal), and from the offer."""
    place, origin = axis.place(story.handoffs.unix_us[pair.which]), story.handoffs.origin[pair.which]
    below = origin == OFFER
    above = ~below & (origin != TAKEOVER)
    return np.array([np.histogram(place[part], BINS, (0, 1))[0] for part in (above, below)])


def _handoff_row(story: Story, axis: TimeAxis, pair: _Pair, both: I64, most: int) -> Html:
    source, target = short(story.shards[pair.source], 30), short(story.shards[pair.target], 30)
    colour = f"c{story.colours[pair.target]}"
    name = join((
        tag("span", class_=f"chip c{story.colours[pair.source]}"), f"{source} → ",
        tag("span", class_=f"chip {colour}"), target,
    ))  # fmt: skip
    taken = pair.which[story.handoffs.origin[pair.which] == TAKEOVER]
    places = np.unique(axis.place(story.handoffs.unix_us[taken]).round(2))[:SIGNS]
    signs = [_sign(place, "▲", f"{target} takes {source} over", "") for place in places.tolist()]
    done = len(pair.which) - len(taken)
    words = f"{source} to {target}: {count(done, 'handoff')}" + (
        f", {count(len(taken), 'entity', 'entities')} taken over" if len(taken) else ""
    )
    return _row(name, _bars(words, both, most, colour, axis, *signs), f"{done:,}")


def _bars(
    title: str,
    both: I64,
    most: int,
    colour: str,
    axis: TimeAxis,
    *signs: Html,
) -> Html:
    paths = []
    width = WIDTH / BINS
    for counts, name, up in ((both[0], "up", True), (both[1], "down", False)):
        bars = []
        for index in np.flatnonzero(counts).tolist():
            height = max(5, round(48 * (int(counts[index]) / max(1, most)) ** 0.5))
            bars.append(f"M{index * width:g} {MIDDLE}v{-height if up else height}h{width * 0.86:.3g}V{MIDDLE}z")
        if bars:
            paths.append(tag("path", d="".join(bars), class_=f"{name} {colour}".rstrip()))
    middle = tag("path", d=f"M0 {MIDDLE}H{WIDTH}", class_="middle")
    return _strip(title, axis, middle, *paths, signs=signs)


def _handoff_table(story: Story, pairs: list[_Pair]) -> Html:
    rows = []
    for pair in pairs[:TABLE_ROWS]:
        origin, gap = story.handoffs.origin[pair.which], story.handoffs.gap_ms[pair.which]
        gap = gap[~np.isnan(gap)]
        final, offer, taken = (int((origin == kind).sum()) for kind in (FINAL, OFFER, TAKEOVER))
        figures = np.quantile(gap, [0.5, 0.99, 1], method="nearest").tolist() if len(gap) else [None] * 3
        rows.append(
            (
                short(story.shards[pair.source]), short(story.shards[pair.target]),
                f"{len(origin) - taken:,}", f"{final:,}", f"{offer:,}", f"{len(origin) - taken - final - offer:,}",
                f"{taken:,}", *map(milliseconds, figures),
            )
        )  # fmt: skip
    head = (
        "from", "to", "handoffs", "final state", "offer moved on", "journal", "taken over", "gap p50", "p99", "max",
    )  # fmt: skip
    return table(head, rows, caption=_limited("Handoffs between each two shards", len(pairs)))


def lives_figure(story: Story, axis: TimeAxis) -> Html:
    """A row for each shard, a bar for each process."""
    by_shard: dict[int, list[Life]] = {number: [] for number in range(len(story.shards))}
    for life in story.lives[:LIVES]:
        by_shard[life.shard].append(life)
    rows = [_life_row(story, axis, number, lives) for number, lives in list(by_shard.items())[:LIFE_ROWS]]
    hidden = len(story.shards) - len(rows)
    words = (
        "Each bar is one process, an epoch; at the right their number. ■: ended in order. ✕: killed, or ended without "
        "a word. ▶: no end was recorded." + (f" {count(hidden, 'shard')} more are in the trace." if hidden else "")
    )
    return _figure(rows, axis, words, _life_table(story, axis))


def _life_row(story: Story, axis: TimeAxis, shard: int, lives: list[Life]) -> Html:
    bars, signs = [], []
    name = short(story.shards[shard], 40)
    for life in lives:
        begin, end = axis.place(np.array([life.begin_us, life.end_us])).tolist()
        width = max(2.0, (end - begin) * WIDTH)
        words = f"epoch {life.epoch}: {_seconds(axis, life.begin_us)} to {_seconds(axis, life.end_us)}, {life.end}"
        bars.append(
            tag(
                "rect",
                tag("title", words),
                x=f"{begin * WIDTH:.1f}",
                y=25,
                width=f"{width:.1f}",
                height=50,
                class_="life",
            )
        )
        sign = {End.IN_ORDER: "■", End.DIED: "✕", End.OPEN: "▶"}[life.end]
        signs.append(_sign(end, sign, words, "died" if life.end is End.DIED else ""))
    words = f"{name}: {count(len(lives), 'process', 'processes')}"
    colour = f"c{story.colours[shard]}"
    return _row(
        join((tag("span", class_=f"chip {colour}"), name)),
        _strip(words, axis, tag("g", *bars, class_=colour), signs=signs),
        f"{len(lives):,}",
    )


def _life_table(story: Story, axis: TimeAxis) -> Html:
    rows = [
        (
            short(story.shards[life.shard]), str(life.epoch),
            _seconds(axis, life.begin_us), _seconds(axis, life.end_us), str(life.end), f"{life.records:,}",
            f"{life.first_tick} to {life.last_tick}" if life.first_tick >= 0 else "none",
        )
        for life in story.lives[:TABLE_ROWS]
    ]  # fmt: skip
    head = ("shard", "epoch", "began", "ended", "how", "records", "ticks")
    return table(head, rows, caption=_limited("The shards' processes", len(story.lives)))


def _limited(caption: str, rows: int) -> str:
    return caption if rows <= TABLE_ROWS else f"{caption}: the first {TABLE_ROWS} of {rows:,}"


def _seconds(axis: TimeAxis, unix_us: int) -> str:
    return f"{(unix_us - axis.begin_us) / 1_000_000:.1f} s"


def _figure(rows: list[Html], axis: TimeAxis, words: str, same: Html) -> Html:
    """Rows over their axis, what the marks mean, and the same as a table."""
    return tag(
        "figure",
        tag("div", *rows, _time_axis(axis), class_="rows"),
        tag("figcaption", tag("p", words, class_="soft")),
        folded("The same as a table", same),
    )


def _row(name: object, strip: Html, total: str) -> Html:
    return join((tag("span", name, class_="name"), strip, tag("span", total, class_="number total")))


def _strip(title: str, axis: TimeAxis, *marks: Html, signs: list[Html] | tuple[Html, ...] = ()) -> Html:
    rests = [tag("rect", x=f"{cut * WIDTH - 6:.1f}", y=0, width=12, height=100, class_="rest") for cut in axis.cuts]
    shape = tag(
        "svg",
        tag("title", title),
        *rests,
        *marks,
        viewBox=f"0 0 {WIDTH} {2 * MIDDLE}",
        preserveAspectRatio="none",
        role="img",
        aria_label=title,
    )
    return tag("div", shape, *signs, class_="strip")


def _sign(place: float, sign: str, words: str, kind: str) -> Html:
    at = min(max(place, 0.004), 0.996)
    return tag(
        "i", sign, class_=f"sign-at {kind}".rstrip(), style=f"left:{at * 100:.2f}%", title=words, aria_hidden="true"
    )


def _time_axis(axis: TimeAxis) -> Html:
    return tag("div", *_time_marks(axis), class_="axis", aria_hidden="true")


def _time_marks(axis: TimeAxis) -> Iterator[Html]:
    for place, label in axis.marks():
        yield tag("span", label, style=f"left:{place * 100:.2f}%", class_="last" if place > 0.95 else None)
    for place, _ in axis.marks():
        yield tag("i", style=f"left:{place * 100:.2f}%")
