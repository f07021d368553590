"""The map's page in a real browser. Nothing here waits for time, but for what the page says of itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page
from shardfleet_operator.local.map_child import listening_socket

from tests.patience import PATIENCE_S

from .conftest import until
from .stand_in import FLEET, Circles, PaintedFeeds, past

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "a-token-of-the-tests-0123456789"
RUNS = "window.shardfleetMap?.state === 'live' && shardfleetMap.frames > 2 && shardfleetMap.pictures > 0"
DRAWN = """() => {
  const canvas = document.getElementById("points");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.filter((value, index) => index % 4 === 3 && value > 0).length;
}"""


@contextlib.asynccontextmanager
async def opened(browser: Browser, url: str, *, wait: bool = True, **context: Any) -> AsyncIterator[Page]:
    """The page at ``url``, of which at the end nothing was complained of."""
    complaints: list[str] = []
    context.setdefault("viewport", {"width": 1280, "height": 800})
    where = await browser.new_context(**context)
    where.set_default_timeout(PATIENCE_S * 1000)
    try:
        page = await where.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("request", lambda request: url.split("#")[0] in request.url or complaints.append(request.url))
        await page.goto(url)
        if wait:
            await until(page, RUNS)
        yield page
        allowed = ("WebSocket connection", "Failed to load resource")  # of a server that was stopped, or said 404
        assert [one for one in complaints if not any(words in one for words in allowed)] == []
    finally:
        await where.close()


async def test_it_shows_entities_shards_and_figures(browser: Browser) -> None:
    async with PaintedFeeds(Circles(50)).served() as url, opened(browser, url) as page:
        assert await page.inner_text("#fleet-name") == FLEET
        assert await page.inner_text("#figure-entities") == "50"
        rows = await page.locator("#shards tbody tr").all_inner_texts()
        assert [row.split()[0] for row in rows] == ["arena-0", "arena-1", "arena-2", "arena-3"]
        assert "active" in rows[0]
        assert sum(int(row.split("\t")[2]) for row in rows) == 50
        assert await page.evaluate(DRAWN) > 50 * 20


async def test_entities_move_between_frames(browser: Browser) -> None:
    feeds = PaintedFeeds(Circles(50))
    async with feeds.served() as url, opened(browser, url) as page:
        feeds.reader.silent = True  # soon no frame comes any more, and time goes on all the same
        await until(page, "!document.getElementById('trouble').hidden")
        first = await page.evaluate("({...shardfleetMap})")
        await until(page, "first => shardfleetMap.shownMs > first.shownMs", first)
        assert await page.evaluate("first => shardfleetMap.pictures > first.pictures", first)
        assert await page.evaluate("shardfleetMap.frames") == first["frames"]


async def test_a_click_shows_who_owned_it(browser: Browser) -> None:
    feeds = PaintedFeeds(Circles(50))
    past(feeds, 60)
    async with feeds.served() as url, opened(browser, url) as page:
        await page.keyboard.press("Space")  # an entity that stands is easier to hit
        await until(page, "shardfleetMap.state === 'paused'")
        x, y = await page.evaluate("shardfleetMap.placeOf('7')")
        await page.locator("#map").click(position={"x": x, "y": y})
        chosen = await until(page, "shardfleetMap.selected")
        there = await page.evaluate("id => shardfleetMap.placeOf(id)", chosen)
        assert abs(there[0] - x) < 2 and abs(there[1] - y) < 2  # 7, or one that lies upon it
        await until(page, "document.querySelectorAll('#entity-details li').length > 10")
        assert "when it was first seen" in await page.inner_text("#entity-details li:last-child")
        assert await page.input_value("#entity-id") == chosen
        await page.locator("#entity-close").click()
        assert await page.evaluate("shardfleetMap.selected") is None
        assert await page.locator("#entity-details").is_hidden()


async def test_a_number_that_is_typed_finds_its_entity_or_says_that_there_is_none(browser: Browser) -> None:
    async with PaintedFeeds(Circles(50)).served() as url, opened(browser, url) as page:
        await page.fill("#entity-id", "12")
        await page.keyboard.press("Enter")
        await until(page, "document.querySelector('#entity-details dd')?.textContent.startsWith('arena-')")
        await until(page, "document.getElementById('announcer').textContent.includes('entity 12, owned by arena-')")
        await page.fill("#entity-id", "4711")
        await page.keyboard.press("Enter")
        await until(page, "document.getElementById('entity-details').textContent.includes('entity 4711')")
        assert await page.evaluate("shardfleetMap.selected") is None


async def test_a_change_of_owner_of_the_chosen_entity_is_said(browser: Browser) -> None:
    async with PaintedFeeds(Circles(50, speed=1.5)).served() as url, opened(browser, url) as page:
        await page.fill("#entity-id", "12")
        await page.keyboard.press("Enter")
        await until(page, "/entity 12 is owned by arena-. now/.test(document.getElementById('announcer').textContent)")


async def test_pause_and_the_past_and_back(browser: Browser) -> None:
    feeds = PaintedFeeds(Circles(50))
    past(feeds, 100)
    async with feeds.served() as url, opened(browser, url) as page:
        await page.click("#play")
        await until(page, "shardfleetMap.state === 'paused'")
        assert await page.inner_text("#play") == "Play"
        paused = await page.evaluate("shardfleetMap.frame.unix_us")
        before_s = time.time()
        await page.locator("#scrubber").fill("-60")
        await until(page, "shardfleetMap.state === 'past'")
        shown = await page.evaluate("shardfleetMap.frame.unix_us")
        assert before_s - 65 < shown / 1e6 < time.time() - 50
        assert "s ago" in await page.inner_text("#moment")
        await page.keyboard.press(".")
        later = await until(page, "was => shardfleetMap.frame.unix_us > was && shardfleetMap.frame.unix_us", shown)
        await page.keyboard.press(",")
        await until(page, "was => shardfleetMap.frame.unix_us < was", later)
        await page.click("#play")  # from there on, as it was
        await until(page, "was => shardfleetMap.frame.unix_us > was + 2e6", shown)
        assert await page.evaluate("shardfleetMap.state") == "past"
        await page.click("#go-live")
        await until(page, "was => shardfleetMap.state === 'live' && shardfleetMap.frame.unix_us > was", paused)


async def test_paused_it_asks_for_nothing(browser: Browser) -> None:
    feeds = PaintedFeeds(Circles(50))
    async with feeds.served() as url, opened(browser, url) as page:
        await page.keyboard.press("Space")
        await until(page, "shardfleetMap.state === 'paused'")
        frames, pictures = await page.evaluate("[shardfleetMap.frames, shardfleetMap.pictures]")
        number = feeds.feed.latest.number if feeds.feed.latest else 0
        while feeds.feed.latest is None or feeds.feed.latest.number < number + 4:
            await page.wait_for_timeout(30)
        assert await page.evaluate("shardfleetMap.frames") == frames
        assert await page.evaluate("shardfleetMap.pictures") <= pictures + 1
        await page.keyboard.press("Space")
        await until(page, "was => shardfleetMap.frames > was + 1", frames)


async def test_keys_alone_reach_everything(browser: Browser) -> None:
    async with PaintedFeeds(Circles(50)).served() as url, opened(browser, url) as page:
        reached = []
        for _ in range(20):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate("document.activeElement.id || document.activeElement.className"))
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", reached[-1]
            if reached[-1] == "log":
                break
        wanted = ["skip", "help-button", "theme-button", "map", "zoom-in", "zoom-out", "zoom-fit", "play", "scrubber"]
        assert [name for name in reached if name in wanted] == wanted
        await page.focus("#map")
        before = await page.evaluate("({...shardfleetMap.view})")
        await page.keyboard.press("+")
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("ArrowUp")
        after = await page.evaluate("({...shardfleetMap.view})")
        assert after["zoom"] > before["zoom"]
        assert after["middleX"] > before["middleX"] and after["middleY"] > before["middleY"]
        await page.keyboard.press("0")
        assert await page.evaluate("[shardfleetMap.view.zoom, shardfleetMap.view.middleX]") == [1, 0]
        await page.keyboard.press("Enter")
        await until(page, "shardfleetMap.selected")
        await page.keyboard.press("Escape")
        assert await page.evaluate("shardfleetMap.selected") is None
        await page.keyboard.press("?")
        assert await page.locator("#help").is_visible()
        await page.keyboard.press("Escape")
        assert await page.locator("#help").is_hidden()


async def test_pointer_and_wheel_move_the_map(browser: Browser) -> None:
    async with PaintedFeeds(Circles(50)).served() as url, opened(browser, url) as page:
        box = await page.locator("#map").bounding_box()
        assert box is not None
        await page.mouse.move(box["x"] + 200, box["y"] + 200)
        corner = await page.evaluate("shardfleetMap.view.toWorld(200, 200)")
        await page.mouse.wheel(0, -240)
        await until(page, "shardfleetMap.view.zoom > 1.3")
        kept = await page.evaluate("shardfleetMap.view.toWorld(200, 200)")
        assert kept == pytest.approx(corner, abs=1e-6)
        await page.mouse.down()
        await page.mouse.move(box["x"] + 260, box["y"] + 230, steps=4)
        await page.mouse.up()
        assert await page.evaluate("shardfleetMap.view.toWorld(260, 230)") == pytest.approx(kept, abs=1.0)
        assert await page.evaluate("shardfleetMap.selected") is None  # a drag is no click


async def test_verdicts_and_repairs_are_logged_and_said(browser: Browser) -> None:
    feeds = PaintedFeeds(Circles(50))
    async with feeds.served() as url, opened(browser, url) as page:
        feeds.reader.circles.stalled_us = feeds.reader.clock.now_unix_us()
        await until(page, "document.querySelector('#log [data-kind=verdict]')?.textContent.includes('DUAL_AUTHORITY')")
        await until(page, "document.getElementById('announcer').textContent.includes('verdict: DUAL_AUTHORITY')")
        feeds.reader.circles.stalled_us, feeds.reader.circles.repaired = 0, 1
        await until(page, "document.querySelector('#log [data-kind=repair]')")


async def test_a_shard_without_its_lease_is_marked(browser: Browser) -> None:
    feeds = PaintedFeeds(Circles(50))
    async with feeds.served() as url, opened(browser, url) as page:
        feeds.reader.circles.away = frozenset({"arena-2"})
        await until(page, "document.querySelector('#shards .state-away')?.textContent === 'away'")
        await until(page, "document.getElementById('log').textContent.includes('arena-2 has no lease')")


async def test_it_comes_back_when_the_server_does(browser: Browser) -> None:
    with contextlib.closing(listening_socket(None)) as listener:  # as the supervisor keeps it
        async with contextlib.AsyncExitStack() as first:
            url = await first.enter_async_context(PaintedFeeds(Circles(50)).served(at=listener.dup()))
            page = await (visit := contextlib.AsyncExitStack()).enter_async_context(opened(browser, url))
        async with visit:
            await until(page, "shardfleetMap.state === 'connecting'")
            async with PaintedFeeds(Circles(20)).served(at=listener.dup()):
                await until(page, "shardfleetMap.state === 'live' && shardfleetMap.frame.entities === 20")
                assert await page.evaluate("shardfleetMap.connections") == 2
                assert await page.inner_text("#figure-entities") == "20"


async def test_a_picture_that_stands_still_outlives_its_server(browser: Browser) -> None:
    with contextlib.closing(listening_socket(None)) as listener:
        async with contextlib.AsyncExitStack() as first:
            url = await first.enter_async_context(PaintedFeeds(Circles(50)).served(at=listener.dup()))
            page = await (visit := contextlib.AsyncExitStack()).enter_async_context(opened(browser, url))
            await page.keyboard.press("Space")
            await until(page, "shardfleetMap.state === 'paused'")
        async with visit, PaintedFeeds(Circles(20)).served(at=listener.dup()):
            await until(page, "shardfleetMap.connections === 2")
            assert await page.evaluate("shardfleetMap.placeOf('50') !== null && shardfleetMap.state === 'paused'")
            await page.keyboard.press("Space")
            await until(page, "shardfleetMap.state === 'live' && shardfleetMap.frame.entities === 20")
            assert await page.evaluate("shardfleetMap.placeOf('50')") is None


async def test_a_silent_redis_is_written_over_the_map(browser: Browser) -> None:
    feeds = PaintedFeeds(Circles(50))
    async with feeds.served() as url, opened(browser, url) as page:
        feeds.reader.silent = True
        await until(page, "!document.getElementById('trouble').hidden")
        assert await page.inner_text("#trouble") == "no answer from Redis at nowhere"
        feeds.reader.silent = False
        await until(page, "document.getElementById('trouble').hidden")


async def test_fifty_thousand_entities(browser: Browser) -> None:
    feeds = PaintedFeeds(Circles(50_000, speed=0.02))
    async with feeds.served() as url, opened(browser, url) as page:
        assert await page.inner_text("#figure-entities") == "50,000"
        assert await page.evaluate(DRAWN) > 20_000
        frames = await page.evaluate("shardfleetMap.frames")
        await until(page, "was => shardfleetMap.frames > was + 2", frames)
        # It does not stay behind: the server's newest frame is soon the page's, or the one that is on its way.
        deadline = time.monotonic() + PATIENCE_S
        while True:
            newest = feeds.feed.latest.number if feeds.feed.latest else 0
            if newest - await page.evaluate("shardfleetMap.frame.number") <= 2:
                break
            assert time.monotonic() < deadline
        await page.fill("#entity-id", "50000")
        await page.keyboard.press("Enter")
        await until(page, "document.querySelector('#entity-details dd')?.textContent.startsWith('arena-')")


async def test_both_themes_and_the_choice_is_kept(browser: Browser) -> None:
    async with PaintedFeeds(Circles(50)).served() as url:
        colours = {}
        for scheme in ("dark", "light"):
            async with opened(browser, url, color_scheme=scheme) as page:
                colours[scheme] = await page.evaluate("getComputedStyle(document.body).backgroundColor")
                await page.keyboard.press("t")
                other = await page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert other != colours[scheme]
                await page.reload()
                await until(page, RUNS)
                assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == other
        assert colours["dark"] != colours["light"]


async def test_with_reduced_motion_there_is_a_picture_a_frame(browser: Browser) -> None:
    async with (
        PaintedFeeds(Circles(50)).served() as url,
        opened(browser, url, reduced_motion="reduce") as page,
    ):
        await until(page, "shardfleetMap.frames > 6")
        counts = await page.evaluate("[shardfleetMap.pictures, shardfleetMap.frames + shardfleetMap.view.changes]")
        assert counts[0] <= counts[1]


async def test_on_a_narrow_screen_nothing_lies_outside(browser: Browser) -> None:
    viewport = {"width": 390, "height": 844}
    async with (
        PaintedFeeds(Circles(50)).served() as url,
        opened(browser, url, viewport=viewport, has_touch=True) as page,
    ):
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        for button in ("#play", "#zoom-in", "#theme-button"):
            box = await page.locator(button).bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390


async def test_what_can_be_pressed_has_a_name(browser: Browser) -> None:
    async with PaintedFeeds(Circles(50)).served() as url, opened(browser, url) as page:
        tree = await page.locator("body").aria_snapshot()
        for words in ('application "Map of the fleet"', 'button "Zoom in"', 'slider "Seconds before now"', "row "):
            assert words in tree, tree
        assert 'button ""' not in tree


async def test_the_token_of_the_address_opens_it_and_leaves_the_address(browser: Browser) -> None:
    async with PaintedFeeds(Circles(50)).served(token=TOKEN) as url:
        async with opened(browser, url, wait=False) as page:
            await until(page, "document.getElementById('trouble').textContent.includes('token is missing')")
        async with opened(browser, f"{url}#token={TOKEN}&fleet={FLEET}") as page:
            assert TOKEN not in page.url
            assert await page.evaluate("location.hash") == f"#fleet={FLEET}"


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
async def test_a_picture_of_it_shows_something(browser: Browser, theme: str, width: int, height: int) -> None:
    look: dict[str, Any] = {"viewport": {"width": width, "height": height}, "color_scheme": theme}
    async with PaintedFeeds(Circles(50)).served() as url, opened(browser, url, **look) as page:
        picture = await page.screenshot()
        empty = await (await page.context.new_page()).screenshot()
    assert [int.from_bytes(picture[at : at + 4]) for at in (16, 20)] == [width, height]
    assert len(picture) > 4 * len(empty)
