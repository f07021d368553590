"""What the live map costs with 50,000 entities: ``make bench-map``, or ``python -m tests.performance.map_bench``.

Reading and painting one frame from a real Valkey, the server's memory for a full history, and a page's pictures in a
headless Chromium that draws on the processor. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

import numpy as np
from playwright.async_api import async_playwright
from shardfleet_operator.map.frame import decode
from shardfleet_operator.map.history import FrameHistory
from shardfleet_operator.map.painter import Painter
from shardfleet_operator.map.reader import Reader
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.system_clock import SystemClock

from tests.integration.map.conftest import CHROMIUM, FLAGS, until
from tests.integration.map.stand_in import FLEET, HALF, LAYOUT, Circles, PaintedFeeds, publish
from tests.integration.servers import redis_server

from .bench import figures

SPEED = 0.02
"""Radians a second: some hundred handoffs in it."""
SECOND = 1_000_000
BOX = ((-HALF, -HALF), (HALF, HALF))
RUNS = 3
UNITS = {
    "pictures_per_second": "1/s",
    "picture_ms_p50": "ms",
    "picture_ms_p95": "ms",
    "shown_seconds_per_second": "s/s",
    "behind_ms": "ms",
    "frames_per_second": "1/s",
    "frame_bytes": "bytes",
    "read_ms_p50": "ms",
    "paint_ms_p50": "ms",
    "cpu_ms_per_frame_p50": "ms",
    "history_bytes": "bytes",
}
"""Every figure; its unit. Behind: how far back the page shows, on purpose, to have two frames to go between."""
BOUNDS = {"pictures_per_second": (">=", 60.0), "history_bytes": ("<=", 100e6)}


async def reading_and_painting(entities: int, frames: int = 40) -> dict[str, float]:
    circles, clock = Circles(entities, speed=SPEED), SystemClock()
    with redis_server("valkey") as server:
        store = RedisStore(server.url, FLEET)
        try:
            await store.connect()
            await store.join()
            await FleetAdmin(store).write_layout(LAYOUT)
            reader, painter = Reader(store, clock), Painter(box=BOX)
            read_ms, paint_ms, cpu_ms, size = [], [], [], 0
            for _ in range(frames):
                await publish(store, circles, clock.now_unix_us())
                began, began_cpu = time.perf_counter(), time.process_time()
                snapshot = await reader.read()
                middle = time.perf_counter()
                frame = painter.paint(snapshot)
                read_ms.append(1000 * (middle - began))
                paint_ms.append(1000 * (time.perf_counter() - middle))
                cpu_ms.append(1000 * (time.process_time() - began_cpu))
                size = len(frame.data)
            meta, _ = decode(frame.data)
            assert meta["entities"] == entities
        finally:
            await store.close()
    return {
        "frame_bytes": size,
        "read_ms_p50": float(np.median(read_ms[1:])),
        "paint_ms_p50": float(np.median(paint_ms[1:])),
        "cpu_ms_per_frame_p50": float(np.median(cpu_ms[1:])),
    }


def history(entities: int) -> dict[str, float]:
    """Of a server that has run for longer than its history goes back."""
    circles, painter, kept = Circles(entities, speed=SPEED), Painter(box=BOX), FrameHistory()
    now_us = SystemClock().now_unix_us()
    for second in range(130):
        kept.take(painter.paint(circles.snapshot(now_us + second * SECOND)))
    return {"history_bytes": kept.size_bytes + painter.owners.size_bytes}


async def page(entities: int, seconds: float) -> dict[str, float]:
    feeds = PaintedFeeds(Circles(entities, speed=SPEED))
    async with feeds.served() as url, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
        where = await browser.new_page(viewport={"width": 1280, "height": 800})
        await where.goto(url)
        await until(where, "window.shardfleetMap?.frames > 5")
        measured = await where.evaluate(
            """async (ms) => {
              const report = window.shardfleetMap, took = [], began = performance.now();
              const [frames, pictures, shown] = [report.frames, report.pictures, report.shownMs];
              let last = report.pictures;
              while (performance.now() - began < ms) {
                await new Promise(requestAnimationFrame);
                if (report.pictures !== last) took.push(report.pictureMs);
                last = report.pictures;
              }
              const s = (performance.now() - began) / 1000;
              return {took, pictures: (report.pictures - pictures) / s, frames: (report.frames - frames) / s,
                      speed: (report.shownMs - shown) / 1000 / s, behind: Date.now() - report.shownMs};
            }""",
            1000 * seconds,
        )
        await browser.close()
    return {
        "pictures_per_second": measured["pictures"],
        "picture_ms_p50": float(np.quantile(measured["took"], 0.5)),
        "picture_ms_p95": float(np.quantile(measured["took"], 0.95)),
        "shown_seconds_per_second": measured["speed"],
        "behind_ms": measured["behind"],
        "frames_per_second": measured["frames"],
    }


def main() -> int:
    """0; 2 where there is no Chromium."""
    parser = argparse.ArgumentParser(prog="python -m tests.performance.map_bench", description=__doc__)
    parser.add_argument("--entities", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the page (%(default)s)")
    parser.add_argument("--runs", type=int, default=RUNS, help="%(default)s")
    parser.add_argument("--out", type=Path, default=Path("build/map.json"), help="the figures (%(default)s)")
    options = parser.parse_args()
    if CHROMIUM is None:
        print("no Chromium: apt-get install chromium, or Chrome", file=sys.stderr)
        return 2
    found = figures.Figures(units=UNITS, bounds=BOUNDS)
    for run in range(options.runs):
        print(f"run {run + 1} of {options.runs}", file=sys.stderr, flush=True)
        found.add(asyncio.run(reading_and_painting(options.entities)))
        found.add(history(options.entities))
        found.add(asyncio.run(page(options.entities, options.seconds)))
    figures.write(options.out, entities=options.entities, figures=found.to_dict())
    print("\n".join(found.table()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
