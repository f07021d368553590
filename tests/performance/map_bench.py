"""What the live map costs with 50,000 entities: ``python -m tests.performance.map_bench [--entities N] [--seconds S]``.

A line of JSON each: reading and painting one frame from a real Valkey, the server's memory for a full history, and a
page's pictures in a headless Chromium that draws on the processor. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any

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

SPEED = 0.02
"""Radians a second: some hundred handoffs in it."""
SECOND = 1_000_000
BOX = ((-HALF, -HALF), (HALF, HALF))


async def reading_and_painting(entities: int, frames: int = 40) -> dict[str, Any]:
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
        "read_ms": quantiles(read_ms[1:]),
        "paint_ms": quantiles(paint_ms[1:]),
        "cpu_ms_a_frame": quantiles(cpu_ms[1:]),
    }


def history(entities: int) -> dict[str, Any]:
    circles, painter, kept = Circles(entities, speed=SPEED), Painter(box=BOX), FrameHistory()
    now_us = SystemClock().now_unix_us()
    for second in range(130):
        kept.take(painter.paint(circles.snapshot(now_us + second * SECOND)))
    return {
        "frames": len(kept),
        "history_bytes": kept.size_bytes,
        "owner_changes": len(painter.owners),
        "owner_bytes": painter.owners.size_bytes,
    }


async def page(entities: int, seconds: float) -> dict[str, Any]:
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
        "pictures_a_second": round(measured["pictures"], 1),
        "frames_a_second": round(measured["frames"], 2),
        "picture_ms": quantiles(measured["took"]),
        "behind_ms": round(measured["behind"]),
        "shown_seconds_a_second": round(measured["speed"], 3),
    }


def quantiles(values: list[float]) -> dict[str, float]:
    return {name: round(float(np.quantile(values, q)), 2) for name, q in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    print(json.dumps({"entities": options.entities, **await reading_and_painting(options.entities)}))
    print(json.dumps(history(options.entities)))
    print(json.dumps(await page(options.entities, options.seconds)))


if __name__ == "__main__":
    asyncio.run(main())
