"""The map: whose land it is, the tracks of some entities, and where they were handed over."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .axes import round_marks
from .markup import Html, count, join, number, short, tag
from .story import Story

WIDTH = 1000
HEIGHTS = (380, 880)
EDGE = 14
"""Around the land, so that marks at its edge are whole."""
CROSSINGS = 2500
NAMES = 40
"""With more shards than these, names would cover the map; the legend has them all."""


def map_figure(story: Story) -> Html:
    """An SVG, and the legend. Positions in a world of three dimensions are seen from above."""
    atlas = story.atlas
    scale = _Scale(story)
    cells = join(_land(story, scale))
    shape = tag(
        "svg",
        tag("title", "Map of the world by owner", id="map-title"),
        tag("desc", _words(story), id="map-words"),
        tag("g", *_grid(scale), aria_hidden="true"),
        tag("g", cells),
        tag("g", *_tracks(story, scale)),
        tag("g", *_crossings(story, scale)),
        tag("g", *(_names(story, scale) if len(story.shards) <= NAMES else ())),
        tag("g", *_faults(story, scale)),
        class_="map",
        viewBox=f"0 0 {WIDTH} {number(scale.height)}",
        role="img",
        aria_labelledby="map-title map-words",
    )
    seen = f"{count(len(atlas.tracks), 'entity', 'entities')} of {atlas.entities:,}"
    sample = "Every entity is drawn" if len(atlas.tracks) == atlas.entities else f"Drawn are {seen}, chosen by a hash"
    steps = "" if atlas.every_tick == 1 else f", with a point every {atlas.every_tick} ticks"
    return tag(
        "figure",
        shape,
        legend(story),
        tag(
            "figcaption",
            tag(
                "p",
                f"{sample}{steps}. A line has the colour of the shard that simulated the entity there, a ring is a "
                "handoff. The tint is the shard that simulated most at that place.",
                " Seen from above: the third coordinate is left out." if atlas.dimensions == 3 else "",
                class_="soft",
            ),
        ),
    )


def legend(story: Story) -> Html:
    return tag(
        "ul",
        *(
            tag("li", tag("span", class_=f"chip c{story.colours[number]}"), short(name))
            for number, name in enumerate(story.shards)
        ),
        class_="legend",
    )


class _Scale:
    """World units to the picture's, with the world's y upwards."""

    def __init__(self, story: Story) -> None:
        self.low, self.high = (np.array(corner) for corner in (story.atlas.low, story.atlas.high))
        span = np.maximum(self.high - self.low, 1e-9)
        inner = WIDTH - 2 * EDGE
        self.height = float(np.clip(inner * span[1] / span[0] + 2 * EDGE, *HEIGHTS))
        self.unit = float(min(inner / span[0], (self.height - 2 * EDGE) / span[1]))
        self.offset = (np.array([WIDTH, self.height]) - self.unit * span) / 2

    def place(self, xy: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> list[list[float]]:
        """(n, 2) of the picture."""
        # Far beyond the picture is as good as anywhere, and has fewer digits.
        at = (np.clip(xy, self.low - self._far, self.high + self._far) - self.low) * self.unit + self.offset
        at[:, 1] = self.height - at[:, 1]
        found: list[list[float]] = at.round(1).tolist()
        return found

    @property
    def _far(self) -> float:
        return float((self.high - self.low).max())


def _words(story: Story) -> str:
    atlas = story.atlas
    (left, bottom), (right, top) = atlas.low, atlas.high
    return (
        f"Tracks of {len(atlas.tracks):,} of {atlas.entities:,} entities in a box from {left:g}, {bottom:g} to "
        f"{right:g}, {top:g}, coloured by which of {count(len(story.shards), 'shard')} simulated them. "
        "The tables below hold the handoffs between each two shards."
    )


def _grid(scale: _Scale) -> Iterator[Html]:
    for axis in (0, 1):
        for value in round_marks(float(scale.low[axis]), float(scale.high[axis]), most=5 if axis else 6):
            point = scale.low.copy()
            point[axis] = value
            x, y = scale.place(point[None, :])[0]
            if axis == 0:
                yield tag("path", d=f"M{number(x)} 0V{number(scale.height)}", class_="grid")
                yield tag("text", f"{value:g}", x=number(x + 4), y=number(scale.height - 6))
            else:
                yield tag("path", d=f"M0 {number(y)}H{WIDTH}", class_="grid")
                yield tag("text", f"{value:g}", x=5, y=number(y - 5))


def _land(story: Story, scale: _Scale) -> Iterator[Html]:
    """One path a shard: a rectangle for each run of its cells in a column."""
    land, atlas = story.atlas.territory, story.atlas
    low, high = np.array(atlas.low), np.array(atlas.high)
    side = max(float((high - low).max()) / max(land.shape), 1e-12)
    for shard in range(len(story.shards)):
        parts = []
        for column in np.flatnonzero((land == shard).any(1)).tolist():
            mine = np.concatenate([[0], land[column] == shard, [0]]).astype(np.int8)
            edges = np.flatnonzero(np.diff(mine)).reshape(-1, 2)
            for bottom, top in edges.tolist():
                corners = low + np.array([[column, bottom], [column + 1, top]]) * side
                (x0, y0), (x1, y1) = scale.place(np.minimum(corners, np.maximum(high, low + side)))
                parts.append(f"M{number(x0)} {number(y1)}H{number(x1)}V{number(y0)}H{number(x0)}z")
        if parts:
            yield tag("path", d="".join(parts), class_=f"land c{story.colours[shard]}")


def _tracks(story: Story, scale: _Scale) -> Iterator[Html]:
    """One path for each entity and shard. A piece begins where the one before ended, so that a track has no gaps."""
    for track in story.atlas.tracks:
        points = scale.place(track.place)
        shard = track.shard.tolist()
        pieces: dict[int, list[str]] = {}
        for index, (x, y) in enumerate(points):
            owner = shard[index]
            piece = pieces.setdefault(owner, [])
            if index == 0 or shard[index - 1] != owner:
                begin = points[max(0, index - 1)]
                piece.append(f"M{number(begin[0])} {number(begin[1])}L{number(x)} {number(y)}")
            elif points[index - 1] != [x, y]:
                piece.append(f"{number(x)} {number(y)}")
        for owner, piece in sorted(pieces.items()):
            yield tag(
                "path",
                tag("title", f"entity {track.entity} at {short(story.shards[owner])}"),
                d=" ".join(piece),
                class_=f"track c{story.colours[owner]}",
            )


def _crossings(story: Story, scale: _Scale) -> Iterator[Html]:
    places, owners = [], []
    for track in story.atlas.tracks:
        here = np.flatnonzero(track.shard[1:] != track.shard[:-1]) + 1
        places.append(track.place[here])
        owners.append(track.shard[here])
    if not places:
        return
    place, owner = np.concatenate(places), np.concatenate(owners)
    some = np.linspace(0, len(place) - 1, min(len(place), CROSSINGS)).astype(np.int64)
    for (x, y), shard in zip(scale.place(place[some]), owner[some].tolist(), strict=True):
        yield tag("circle", cx=number(x), cy=number(y), r="2.5", class_=f"cross c{story.colours[shard]}")


def _names(story: Story, scale: _Scale) -> Iterator[Html]:
    """Each in the middle of its land: at the cell of it that is nearest to all of it."""
    land, low = story.atlas.territory, np.array(story.atlas.low)
    side = max(float((np.array(story.atlas.high) - low).max()) / max(land.shape), 1e-12)
    for shard, name in enumerate(story.shards):
        cells = np.argwhere(land == shard)
        if not len(cells):
            continue
        middle = cells[int(((cells - cells.mean(0)) ** 2).sum(1).argmin())]
        x, y = scale.place((low + (middle + 0.5) * side)[None, :])[0]
        half = 6 * min(len(name), 24)
        yield tag("text", short(name, 24), x=number(min(max(x, half), WIDTH - half)), y=number(y + 7), class_="name")


def _faults(story: Story, scale: _Scale) -> Iterator[Html]:
    """A cross at each place of which the checker complains; the first few have their entity beside them."""
    for index, (x_world, y_world, entity, tick) in enumerate(story.atlas.suspects):
        x, y = scale.place(np.array([[x_world, y_world]]))[0]
        yield tag(
            "path",
            tag("title", f"a rule is broken: entity {entity}, tick {tick}"),
            d=f"M{number(x - 9)} {number(y - 9)}l18 18m0 -18l-18 18",
            class_="fault",
        )
        if index < 5:
            yield tag("text", f"entity {entity}", x=number(x + 13), y=number(y + 5), class_="fault-name")
