"""A Chromium for the tests of the page."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.patience import PATIENCE_S

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no program chromium on the PATH (Debian: apt-get install --no-install-recommends chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=list(FLAGS), timeout=PATIENCE_S * 1000
        )
        yield browser
        await browser.close()


async def until(page: Page, condition: str, argument: Any = None) -> Any:
    """What the JavaScript ``condition`` is, once it is true. The page's policy forbids Playwright's own waiting."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := await page.evaluate(condition, argument)):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {condition}"
        await page.wait_for_timeout(30)
    return value
