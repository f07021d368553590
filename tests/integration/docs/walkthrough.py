"""What a page tells its reader to do, taken from it as it stands: files to write, commands to run, output to expect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"(?:^`(?P<file>[\w./-]+)`\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A fenced block. ``file`` is the name on a line of its own above it, or ''."""

    kind: str
    file: str
    text: str


def steps(page: Path, section: str) -> Iterator[Step]:
    """All fenced blocks below the heading ``section``, until the next one of its level."""
    text = page.read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    body = dict(zip(parts[1::2], parts[2::2], strict=True))[section]
    for match in _BLOCK.finditer(body):
        yield Step(kind=match["kind"], file=match["file"] or "", text=match["text"])


def python_blocks(page: Path) -> list[str]:
    return [m["text"] for m in _BLOCK.finditer(page.read_text(encoding="utf-8")) if m["kind"] == "python"]
