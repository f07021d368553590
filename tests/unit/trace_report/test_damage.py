"""Traces damaged at random: every one is judged and drawn, or refused in one sentence."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from shardfleet_operator.trace_report import read_story, render
from shardfleet_shard.errors import UsageError

from ..checker.world import random_world
from .pages import on_a_circle, parse

RECORD_BYTES = 60
FIELDS = ((0, 8), (8, 8), (16, 4), (20, 8), (28, 8), (36, 8), (44, 8), (52, 8))
"""(offset, size) of a record's."""
STRANGE = (None, -1, 0, 1005, 2**63, 2**64 - 1, 2**70, 1.5, 1e300, True, "", "x", "a/1/1", "offer", "takeover", [], {})


def flip(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.randint(1, 20)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return data


def cut(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randrange(len(data) + 1)]


def insert(rng: random.Random, data: bytearray) -> bytearray:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randint(1, 80)) + data[at:]


def strange_field(rng: random.Random, data: bytearray) -> bytearray:
    if len(data) >= RECORD_BYTES:
        (offset, size), at = rng.choice(FIELDS), rng.randrange(len(data) // RECORD_BYTES) * RECORD_BYTES
        values = (bytes(size), b"\xff" * size, b"\xff" * (size - 1) + b"\x7f", rng.randbytes(size))
        data[at + offset : at + offset + size] = rng.choice(values)
    return data


def strange_value(rng: random.Random, data: bytearray) -> bytearray:
    """In one object of JSON: of a header, or of a line of events."""
    lines = [data] if data.count(b"\n{") == 0 else [bytearray(line) for line in data.splitlines(keepends=True)]
    index = rng.randrange(len(lines))
    try:
        value: dict[str, Any] = json.loads(lines[index])
        value[rng.choice(list(value))] = rng.choice(STRANGE)
    except (ValueError, TypeError, IndexError):
        return data
    lines[index] = bytearray(json.dumps(value).encode() + b"\n")
    return bytearray(b"".join(lines))


def swap_lines(rng: random.Random, data: bytearray) -> bytearray:
    lines = data.splitlines(keepends=True)
    rng.shuffle(lines)
    return bytearray(b"".join(lines[: rng.randint(0, len(lines))]))


@pytest.mark.parametrize("seed", range(40))
def test_damage_is_judged_and_drawn(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    files = sorted(random_world(seed).write(tmp_path, on_a_circle).iterdir())
    for path in rng.sample(files, min(len(files), rng.randint(1, 3))):
        if rng.random() < 0.1:
            path.unlink()
            continue
        special = strange_field if path.suffix == ".trace" else rng.choice((strange_value, swap_lines))
        path.write_bytes(rng.choice((flip, cut, insert, special, special))(rng, bytearray(path.read_bytes())))
    try:
        story = read_story(tmp_path)
    except UsageError as error:
        assert "\n" not in str(error)
        return
    page = parse(render(story))
    assert len(page.all("li", class_="rule")) == 5
    assert ("Failed" in page.all("div", class_="verdict")[0].text) != story.check.ok
