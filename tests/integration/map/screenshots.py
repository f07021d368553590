"""Writes the pictures of the documentation: ``python -m tests.integration.map.screenshots docs/images``.

The fleet is the painted one of the tests, with a past of a minute, and a transfer that stood and was repaired.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from .conftest import CHROMIUM, FLAGS, until
from .stand_in import Circles, PaintedFeeds, past

SIZES = ((1280, 800), (390, 844))
STALLED_S = 6.0


async def take(folder: Path) -> None:
    feeds = PaintedFeeds(Circles(50))
    past(feeds, 60)
    async with feeds.served() as url, async_playwright() as playwright:
        feeds.reader.circles.stalled_us = feeds.reader.clock.now_unix_us()
        await asyncio.sleep(STALLED_S)
        feeds.reader.circles.stalled_us, feeds.reader.circles.repaired = 0, 1
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
        for theme in ("dark", "light"):
            for width, height in SIZES:
                await shoot(browser, url, theme, width, height, folder / f"map-{theme}-{width}.png")
        await browser.close()


async def shoot(browser: Browser, url: str, theme: str, width: int, height: int, file: Path) -> None:
    context = await browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(url)
    await page.fill("#entity-id", "12")
    await page.keyboard.press("Enter")
    await until(page, "window.shardfleetMap?.frames > 12 && shardfleetMap.frame.passing > 0")
    await page.locator("#entity-id").blur()
    await page.evaluate("scrollTo(0, 0)")
    await page.screenshot(path=file)
    print(f"{file}: {file.stat().st_size:,} bytes")  # noqa: ASYNC240
    await context.close()


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
