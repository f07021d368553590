"""Which entities are drawn, and whose the ground is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shardfleet_operator.trace_report import atlas, read_story, render

from ..checker.world import Record, World, small_world
from .pages import parse


def world_of(entities: int, ticks: int = 40, shards: int = 2) -> World:
    world = World()
    files = [world.start(f"w-{n}", n + 1, 100) for n in range(shards)]
    for entity in range(entities):
        world.spawn(entity + 1, files[entity % shards], 100)
    for tick in range(100, 100 + ticks):
        world.step(tick)
    world.end(99 + ticks)
    return world


def by_shard(record: Record) -> tuple[float, float]:
    """Entities of w-0 stand in the west, those of w-1 in the east."""
    return (-50.0 if record.entity % 2 else 50.0) + record.tick % 10, float(record.entity % 7)


def test_a_sample_is_bounded_the_same_each_time_and_holds_the_suspects() -> None:
    ids = np.arange(1, 5001, dtype=np.uint64)
    chosen = atlas.choose(ids, [4321, 77, 99_999])
    assert len(chosen) == atlas.TRACKS and {77, 4321} <= set(chosen.tolist()) and 99_999 not in chosen
    assert (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, atlas.choose(ids[::-1], [4321, 77]))
    low, high = np.percentile(atlas.choose(ids, []), [25, 75])
    assert 1000 < low < 1600 and 3400 < high < 4000, "the hash favours nobody"
    assert atlas.choose(ids[:3], []).tolist() == [1, 2, 3]


def test_the_ground_is_whose_it_is(tmp_path: Path) -> None:
    story = read_story(world_of(40).write(tmp_path, by_shard))
    land = story.atlas.territory
    west, east = land[: len(land) // 2], land[len(land) // 2 :]
    assert set(west[west >= 0].tolist()) == {0} and set(east[east >= 0].tolist()) == {1}
    assert story.atlas.low == (-50.0, 0.0) and story.atlas.high == (59.0, 6.0)


def test_one_stray_does_not_shrink_the_world(tmp_path: Path) -> None:
    def place(record: Record) -> tuple[float, float]:
        return (1e12, -1e300) if (record.entity, record.tick) == (7, 110) else by_shard(record)

    story = read_story(world_of(60, ticks=60).write(tmp_path, place))
    assert story.atlas.high[0] < 100 and story.atlas.low[1] > -10
    parse(render(story))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_places_that_are_none_are_left_out(tmp_path: Path, value: float) -> None:
    story = read_story(world_of(6).write(tmp_path, lambda r: (value, 1.0) if r.entity == 3 else by_shard(r)))
    assert np.isfinite([*story.atlas.low, *story.atlas.high]).all()
    assert {track.entity for track in story.atlas.tracks} == {1, 2, 4, 5, 6}
    assert "nan" not in render(story) and "inf " not in render(story)


def test_a_world_in_one_point_is_drawn(tmp_path: Path) -> None:
    page = parse(render(read_story(small_world().write(tmp_path))))
    assert page.all("svg", class_="map")[0].all("path", class_="land")


def test_fast_entities_are_fewer_and_points_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def to_and_fro(record: Record) -> tuple[float, float]:
        return 100.0 * (record.tick % 2), 100.0 * ((record.tick // 2 + record.entity) % 2)

    monkeypatch.setattr(atlas, "POINTS", 150)
    story = read_story(world_of(80, ticks=200).write(tmp_path, to_and_fro))
    drawn = story.atlas
    assert len(drawn.tracks) == atlas.FEWEST_TRACKS, "each is over a hundred diagonals long"
    assert drawn.every_tick > 1 and sum(len(track.tick) for track in drawn.tracks) <= 300
    assert f"Drawn are 12 entities of 80, chosen by a hash, with a point every {drawn.every_tick} ticks" in render(
        story
    )


def test_a_change_of_shards_keeps_both_its_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas, "POINTS", 20)
    story = read_story(small_world().write(tmp_path, by_shard))
    (track,) = (track for track in story.atlas.tracks if track.entity == 1)
    assert {119, 120, 139, 140} <= set(track.tick.tolist())
