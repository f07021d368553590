"""Writes the pictures of the documentation: ``python -m tests.integration.map.screenshots docs/images``.

The fleet is the README's first one, in its second minute, soon after one of its shards was killed.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from .conftest import CHROMIUM, FLAGS, until

ORBIT = Path("examples/orbit.yaml")
SIZES = ((1280, 800), (390, 844))
BEFORE_S, AFTER_S = 60.0, 6.0
"""The fleet runs before a shard is killed, and after it."""
STARTS_WITHIN_S = 30.0


async def take(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="sf-shots-", dir="/tmp") as data, (Path(data) / "said").open("w") as said:
        command = [
            sys.executable,
            "-m",
            "shardfleet_operator.cli",
            "local",
            "up",
            "-f",
            str(ORBIT),
            "--data",
            f"{data}/d",
        ]
        fleet = subprocess.Popen(command, stdout=said, stderr=said)  # noqa: ASYNC220
        try:
            url = await _map_of(Path(said.name))
            await asyncio.sleep(BEFORE_S)
            os.kill(_shard_of(fleet.pid), signal.SIGKILL)
            await asyncio.sleep(AFTER_S)
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
                for theme in ("dark", "light"):
                    for width, height in SIZES:
                        await shoot(browser, url, theme, width, height, folder / f"map-{theme}-{width}.png")
                await browser.close()
        finally:
            fleet.send_signal(signal.SIGINT)
            fleet.wait()


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


async def _map_of(said: Path) -> str:
    deadline_s = time.monotonic() + STARTS_WITHIN_S
    while (found := re.search(r"the map is at (\S+)", said.read_text())) is None:  # noqa: ASYNC240
        assert time.monotonic() < deadline_s, said.read_text()  # noqa: ASYNC240
        await asyncio.sleep(0.1)
    return found[1]


def _shard_of(supervisor: int) -> int:
    """One of the processes that the supervisor started for a shard."""
    children = subprocess.run(
        ["pgrep", "-P", str(supervisor), "-af", "shard"], capture_output=True, text=True, check=True
    )
    return next(int(line.split()[0]) for line in children.stdout.splitlines() if "arena-2" in line)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
