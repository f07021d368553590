"""Puts the page together: one HTML file that needs nothing else, runs no script, and is the same for the same trace."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources

import numpy as np

from .axes import TimeAxis, duration, milliseconds
from .histogram_figure import Words, histogram
from .lives import End
from .map_figure import map_figure
from .markup import Html, count, short, table, tag
from .rows_figure import TABLE_ROWS, axis_of, handoff_figure, lives_figure
from .story import Story
from .verdicts import banner, boxes, verdict_table

GENERATOR = "shardfleet report"
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Should a name ever get through as markup, the browser still loads and runs nothing."""

MAX_UNIX_US = 253_402_300_800 * 1_000_000
"""The year 10000: a calendar has no later one."""


def render(story: Story) -> str:
    """The whole page."""
    title = f"{short(story.fleet)}: report of a trace"
    axis = axis_of(story)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=GENERATOR),
        tag("title", title),
        tag("style", Html(_style())),
    )
    body = tag(
        "body",
        tag("header", tag("h1", title), tag("p", _when(story, axis), class_="soft"), banner(story.check)),
        tag("main", boxes(story.check), _figures(story), *_sections(story, axis)),
        tag("footer", tag("p", _footer(story))),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{head}{body}</html>\n'


def _style() -> str:
    return (resources.files(__package__) / "style.css").read_text("utf-8")


def _when(story: Story, axis: TimeAxis) -> str:
    known = 0 < axis.begin_us < MAX_UNIX_US
    began = datetime.fromtimestamp(axis.begin_us // 1_000_000, UTC) if known else None
    parts = [
        f"{began:%d %B %Y, %H:%M:%S} UTC" if began else "",
        f"{duration(axis.shown_s)} shown",
        count(len(story.shards), "shard"),
        count(len(story.lives), "process", "processes"),
        f"{story.check.records:,} records",
    ]
    return " · ".join(part for part in parts if part)


def _figures(story: Story) -> Html:
    check = story.check
    gap, died = check.gap_ms, sum(life.end is End.DIED for life in story.lives)
    lost = f"{check.entities_lost:,} lost" if check.entities_lost else "none lost"
    worst = "" if check.longest_hole_entity is None else f"entity {check.longest_hole_entity}; "
    shown = (
        ("Entities", f"{check.entities_seen:,}", f"{check.entities_expected:,} to the end, {lost}"),
        ("Handoffs", f"{check.handoffs:,}", f"{check.continuity_failures:,} without continuity"),
        ("Gap, median", milliseconds(gap.get("p50")), "at a handoff, beyond one tick"),
        ("Gap, p99", milliseconds(gap.get("p99")), f"largest {milliseconds(gap.get('max'))}"),
        ("Longest hole", count(check.longest_hole_ticks, "tick"), f"{worst}bound {check.bound_ticks:,}"),
        ("Simulated by two", count(check.overlap_ticks, "tick"), f"{check.repeated_ticks:,} repeated after a restart"),
        ("Frozen", f"{check.frozen_ticks:,}", "entity ticks, waiting for an answer"),
        ("Processes that died", f"{died:,}", f"of {len(story.lives):,}"),
    )
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", value, tag("small", more))) for name, value, more in shown),
        class_="figures",
    )


def _sections(story: Story, axis: TimeAxis) -> tuple[Html, ...]:
    pace = story.pace
    interval = pace.interval_ms[~np.isnan(pace.interval_ms)]
    gaps = story.handoffs.gap_ms[~np.isnan(story.handoffs.gap_ms)]
    tick_ms = story.tick_us / 1000
    return (
        _section("Map", "Who simulated what, and where it changed hands.", map_figure(story)),
        _section("Handoffs", "From each shard to each other one, over time.", handoff_figure(story, axis)),
        tag(
            "div",
            _section(
                "Gaps",
                "Target's first tick minus source's last, beyond one tick. Below 0 the target was early.",
                histogram(gaps, Words(title="Gap at a handoff", sample=("handoff", "handoffs")), _marks(gaps)),
            ),
            _section(
                "Ticks",
                f"From one tick to the next of a shard; {tick_ms:g} ms by the grid.",
                histogram(
                    interval,
                    Words(title="Time from tick to tick", sample=("tick", "ticks")),
                    _marks(interval),
                    about=tick_ms,
                ),
            ),
            class_="pair",
        ),
        _section("Lives of the shards", "Processes, their ends and successors.", lives_figure(story, axis)),
        _section("Shards", "", _shards(story)),
        _section("Verdict", "", verdict_table(story.check)),
    )


def _section(title: str, words: str, *children: Html) -> Html:
    anchor = title.lower().replace(" ", "-")
    return tag(
        "section",
        tag("h2", title, id=anchor),
        tag("p", words, class_="soft") if words else "",
        *children,
        aria_labelledby=anchor,
    )


def _marks(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[tuple[str, float]]:
    if not len(values):
        return []
    middle, high = np.quantile(values, [0.5, 0.99], method="nearest").tolist()
    return [("p50", middle), ("p99", high)]


def _shards(story: Story) -> Html:
    handoffs, pace, rows = story.handoffs, story.pace, []
    given = np.bincount(handoffs.source, minlength=len(story.shards))
    taken = np.bincount(handoffs.target, minlength=len(story.shards))
    for number, name in list(enumerate(story.shards))[:TABLE_ROWS]:
        lives = [life for life in story.lives if life.shard == number]
        mine = pace.shard == number
        interval = pace.interval_ms[mine & ~np.isnan(pace.interval_ms)]
        figures = [value for values in (interval, pace.ready_ms[mine]) for _, value in _marks(values)]
        rows.append(
            (
                short(name), f"{len(lives):,}", f"{sum(life.end is End.DIED for life in lives):,}",
                f"{sum(life.records for life in lives):,}", f"{given[number]:,}", f"{taken[number]:,}",
                *(map(milliseconds, figures) if len(figures) == 4 else "----"),
            )
        )  # fmt: skip
    head = (
        "shard", "processes", "died", "records", "given", "taken", "tick to tick p50", "p99", "step done p50", "p99",
    )  # fmt: skip
    caption = "Entities given and taken; how regularly ticks came, and how long after a tick's start its step was done"
    more = f"; the first {TABLE_ROWS} of {len(story.shards):,} shards" if len(story.shards) > TABLE_ROWS else ""
    return table(head, rows, caption=caption + more)


def _footer(story: Story) -> str:
    bound = duration(story.check.bound_ticks * story.tick_us / 1_000_000)
    return (
        f"Made by shardfleet report, with a bound of {bound} for A2. The verdict is that of shardfleet check; "
        "times are those that the shards' own clocks wrote."
    )
