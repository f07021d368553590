"""The page as a reader and a browser get it: what is on it, and what can never be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shardfleet_operator.checker import check_directory
from shardfleet_operator.trace_report import read_story, render
from shardfleet_operator.trace_report.lives import End
from shardfleet_operator.trace_report.page import POLICY
from shardfleet_operator.trace_report.rows_figure import PAIRS
from shardfleet_operator.trace_report.story import PALETTE
from shardfleet_shard.errors import UsageError

from ..checker.world import World, random_world, small_world
from .pages import Node, on_a_circle, page_of, parse

SECTIONS = ["Map", "Handoffs", "Gaps", "Ticks", "Lives of the shards", "Shards", "Verdict"]


def crash_and_recovery() -> World:
    world = World()
    a, b = world.start("f-0", 1, 100), world.start("f-1", 2, 100)
    for entity, file in ((1, a), (2, a), (3, b)):
        world.spawn(entity, file, 100)
    for tick in range(100, 180):
        if tick == 130:
            gone = world.crash("f-1")
        if tick == 150:
            world.recover(gone, 3, tick, manifest_tick=127)
        if tick == 160:
            world.hand_over(1, world.files["f-1", 3], 165)
        world.step(tick)
    world.end(179)
    return world


def figures(page: Node) -> dict[str, str]:
    (shown,) = page.all("dl", class_="figures")
    return {box.all("dt")[0].text: box.all("dd")[0].text for box in shown.children}


def section(page: Node, title: str) -> Node:
    return next(one for one in page.all("section") if one.all("h2")[0].text == title)


# --- what is on it -----------------------------------------------------------------------------------------------


def test_a_right_trace_is_shown_whole(tmp_path: Path) -> None:
    page = page_of(small_world(), tmp_path)
    assert [h.text for h in page.all("h2")] == SECTIONS and len(page.all("h1")) == 1
    assert "Proved" in page.all("div", class_="verdict")[0].text
    rules = page.all("li", class_="rule")
    assert [rule.all("h3")[0].text[:2] for rule in rules] == ["A1", "A2", "A4", "A5", "Th"]
    assert all(rule.has(class_="ok") for rule in rules)
    shown = figures(page)
    assert shown["Entities"].startswith("3") and shown["Handoffs"].startswith("2")
    assert shown["Longest hole"].startswith("0 ticks")
    tracks = section(page, "Map").all("path", class_="track")
    assert sorted(track.text for track in tracks) == [
        "entity 1 at a", "entity 1 at b", "entity 2 at a", "entity 3 at b"
    ]  # fmt: skip
    assert len(section(page, "Map").all("circle", class_="cross")) == 2
    assert [row.text for row in section(page, "Lives of the shards").all("rect", class_="life")] == [
        "epoch 11: 0.0 s to 3.0 s, ended in order", "epoch 12: 0.0 s to 3.0 s, ended in order"
    ]  # fmt: skip
    (table,) = section(page, "Handoffs").all("table")
    assert [[cell.text for cell in row.all("td")][:7] for row in table.all("tr")[1:]] == [
        ["a", "b", "1", "1", "0", "0", "0"], ["b", "a", "1", "0", "1", "0", "0"]
    ]  # fmt: skip
    strips = section(page, "Handoffs").all("div", class_="strip")
    assert [(len(s.all("path", class_="up")), len(s.all("path", class_="down"))) for s in strips] == [(1, 0), (0, 1)]


def test_a_crash_its_successor_and_a_takeover_are_told(tmp_path: Path) -> None:
    page = page_of(crash_and_recovery(), tmp_path)
    assert figures(page)["Processes that died"] == "1of 3"
    lives = section(page, "Lives of the shards")
    assert len(lives.all("rect", class_="life")) == 3
    assert [sign.text for sign in lives.all("i", class_="sign-at")] == ["■", "✕", "■"]

    world = small_world()
    a, b = world.files["a", 11], world.files["b", 12]
    a.events.pop()
    b.events.pop()
    a.alive = False
    for tick in range(160, 170):
        world.step(tick)
    world.take_over(a, b, 170, manifest_tick=158)
    for tick in range(170, 200):
        world.step(tick)
    world.end(199)
    (folder := tmp_path / "taken").mkdir()
    page = page_of(world, folder)
    assert "a to b: 1 handoff, 2 entities taken over" in section(page, "Handoffs").text
    assert [sign.text for sign in section(page, "Handoffs").all("i", class_="sign-at")] == ["▲"]


def test_a_broken_rule_is_named_with_its_entity_and_marked_on_the_map(tmp_path: Path) -> None:
    world = small_world()
    next(r for r in world.files["a", 11].records if (r.entity, r.tick) == (2, 140)).state_in += 1
    page = page_of(world, tmp_path)
    assert "Failed: 1 violation" in page.all("div", class_="verdict")[0].text
    broken = [rule for rule in page.all("li", class_="rule") if rule.has(class_="broken")]
    assert [rule.all("h3")[0].text for rule in broken] == ["A4 Continuity"]
    assert "violated" in broken[0].text and "entity 2, tick 140" in broken[0].text
    faults = section(page, "Map").all("path", class_="fault")
    assert [fault.text for fault in faults] == ["a rule is broken: entity 2, tick 140"]
    told = section(page, "Verdict").all("table")[1].all("tr")[1].all("td")
    assert [cell.text for cell in told[:5]] == ["A4", "state-changed", "2", "140", "a"]


@pytest.mark.parametrize("seed", range(12))
def test_the_page_says_what_the_checker_says(tmp_path: Path, seed: int) -> None:
    world = random_world(seed)
    story = read_story(world.write(tmp_path, on_a_circle))
    assert story.check == check_directory(tmp_path)
    page = parse(render(story))
    assert figures(page)["Handoffs"].startswith(f"{story.check.handoffs}")
    totals = [int(cell.all("td")[2].text) for cell in section(page, "Handoffs").all("tr")[1:]]
    assert sum(totals) == story.check.handoffs
    assert sum(life.end is End.DIED for life in story.lives) == sum(not file.alive for file in world.files.values())
    assert len(section(page, "Lives of the shards").all("rect", class_="life")) == len(world.files)


# --- traces that are not right -----------------------------------------------------------------------------------


def test_a_file_that_is_missing_leaves_the_rest_unproven(tmp_path: Path) -> None:
    folder = small_world().write(tmp_path, on_a_circle)
    (folder / "b.12.events.jsonl").unlink()
    page = parse(render(read_story(folder)))
    files = page.all("li", class_="rule")[-1]
    assert files.has(class_="broken") and "b.12.events.jsonl is missing" in files.text
    others = page.all("li", class_="rule")[:-1]
    assert not any(rule.has(class_="ok") for rule in others), "what can't be read proves nothing"


@pytest.mark.parametrize("damage", ["no header", "no records", "garbage"])
def test_damage_is_told_as_the_checker_tells_it(tmp_path: Path, damage: str) -> None:
    folder = small_world().write(tmp_path, on_a_circle)
    for stem in ("a.11", "b.12"):
        if damage == "no header":
            (folder / f"{stem}.json").write_text("[")
        elif damage == "no records":
            (folder / f"{stem}.trace").write_bytes(b"")
        else:
            (folder / f"{stem}.trace").write_bytes(b"\xff" * 6000)
    story = read_story(folder, bound_s=0.5)
    page = parse(render(story))
    assert not story.check.ok
    for kind in story.check.counts:
        assert kind.split(" ")[1] in section(page, "Verdict").text


def test_no_trace_is_the_checkers_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no trace"):
        read_story(tmp_path)
    with pytest.raises(UsageError, match="no such directory"):
        read_story(tmp_path / "nowhere")


# --- what can never be on it -------------------------------------------------------------------------------------

ELEMENTS = """
    html head meta title style body header main footer section div span p h1 h2 h3 ul li dl dt dd small strong figure
    figcaption details summary table caption thead tbody tr th td svg desc g path rect circle text i b
"""
ATTRIBUTES = """
    aria-hidden aria-label aria-labelledby charset class content cx cy d height http-equiv id lang name
    preserveaspectratio r role scope style tabindex title viewbox width x y
"""
HOSTILE = ["a<script>alert(1)<&script>", "\"onload='x'", "b\u202egnp", "c\x01\x1b[31m", "-->", "{{x}}", "d" * 200]


def test_names_from_a_trace_are_text(tmp_path: Path) -> None:
    world = World()
    files = [world.start(name, number, 100) for number, name in enumerate(HOSTILE, 1)]
    for number, file in enumerate(files):
        world.spawn(number + 1, file, 100)
    for tick in range(100, 140):
        for number in range(len(files)):
            if tick == 110 + number:
                world.hand_over(number + 1, files[(number + 1) % len(files)], tick + 2)
        world.step(tick)
    world.end(139)
    folder = world.write(tmp_path, on_a_circle)
    (folder / "a.99.json").write_text("<img src=x>")
    (folder / "a.99.trace").write_bytes(b"")
    (folder / "a.99.events.jsonl").write_text('{"kind":"<b>bold</b>","tick":1}\n')
    text = render(read_story(folder))
    page = parse(text)
    assert not page.all("script") and not page.all("img")
    elements = {node.name for node in page.walk()}
    assert elements <= set(ELEMENTS.split())
    for node in page.walk():
        assert set(node.attributes) <= set(ATTRIBUTES.split()), node
    assert "a<script>alert(1)<&script>" in page.text, "and still they can be read"
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", text)
    assert "d" * 61 not in page.all("body")[0].text


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    folder = small_world().write(tmp_path, on_a_circle)
    text = render(read_story(folder))
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:", text)
    assert parse(text).all("meta", http_equiv="Content-Security-Policy", content=POLICY)


# --- for everybody -----------------------------------------------------------------------------------------------


def test_pictures_have_words_and_ids_are_unique(tmp_path: Path) -> None:
    page = page_of(crash_and_recovery(), tmp_path)
    ids = [node.attributes["id"] for node in page.walk() if "id" in node.attributes]
    assert len(set(ids)) == len(ids)
    for node in page.walk():
        for named in node.attributes.get("aria-labelledby", "").split():
            assert named in ids
    for picture in page.all("svg"):
        assert picture.has(role="img") and picture.children[0].name == "title" and picture.children[0].text
    assert all(table.all("caption")[0].text and table.all("th", scope="col") for table in page.all("table"))
    for title in ("Handoffs", "Gaps", "Ticks", "Lives of the shards"):
        assert section(page, title).all("details")[0].all("table"), f"{title} has no table for those who do not see it"
    assert page.all("html", lang="en") and any(meta.has(name="viewport") for meta in page.all("meta"))


def test_the_same_trace_makes_the_same_page_wherever_it_lies(tmp_path: Path) -> None:
    pages = []
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        pages.append(render(read_story(random_world(5).write(tmp_path / name, on_a_circle))))
    assert pages[0] == pages[1]


def test_many_shards_share_the_colours_and_the_rest_is_counted(tmp_path: Path) -> None:
    world = World()
    files = [world.start(f"many-{n}", n + 1, 100) for n in range(30)]
    for n, file in enumerate(files):
        world.spawn(n + 1, file, 100)
    for tick in range(100, 160):
        if tick % 10 == 5:
            for e in list(world.entities.values()):
                world.hand_over(e.id, files[(files.index(e.owner) + 1) % 30], tick + 3)
        world.step(tick)
    world.end(159)
    story = read_story(world.write(tmp_path, on_a_circle))
    assert max(story.colours) < PALETTE
    for source, target in zip(story.handoffs.source.tolist(), story.handoffs.target.tolist(), strict=True):
        assert story.colours[source] != story.colours[target], "shards that hand over to each other look different"
    page = parse(render(story))
    rows = section(page, "Handoffs").all("span", class_="name")
    assert len(rows) == PAIRS + 1 and rows[-1].text == "6 other pairs of shards"
    assert len(section(page, "Handoffs").all("tr")) == 31
