"""What commands print: plain tables, one JSON object, and colours only where a person looks."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from shardfleet_shard.environment import NO_COLOR_VARIABLE, TERM_VARIABLE

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_ERASE_LINE = "\x1b[2K"
CLEAR_SCREEN = "\x1b[H\x1b[2J"
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def wants_colour(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that takes colours: NO_COLOR and TERM=dumb say no."""
    return stream.isatty() and not os.environ.get(NO_COLOR_VARIABLE) and os.environ.get(TERM_VARIABLE) != "dumb"


def style(text: str, name: str, *, stream: TextIO | None = None) -> str:
    """``text`` in one of bold, dim, red, green, yellow, where ``stream`` (stdout) takes colours."""
    if not wants_colour(sys.stdout if stream is None else stream):
        return text
    return f"\x1b[{_STYLES[name]}m{text}\x1b[0m"


def print_json(value: Mapping[str, Any], *, compact: bool = False) -> None:
    """One object; ``compact`` puts it on one line, for streams of objects."""
    if compact:
        print(json.dumps(value, separators=(",", ":")), flush=True)
    else:
        print(json.dumps(value, indent=2), flush=True)


def print_progress(stream: TextIO) -> Callable[[str, float], None]:
    """A function of (what, how much of it, 0..1) that keeps one line of ``stream`` up to date, where that is a terminal
    on which a line can be written anew, and does nothing elsewhere."""
    last = ""

    def show(what: str, part: float) -> None:
        nonlocal last
        line = f"{what} {part:4.0%}"
        if line != last:
            last = line
            # Erased at once with whatever is printed next: the cursor goes back to the line's beginning.
            print(f"{_ERASE_LINE}{line}\r", end="", file=stream, flush=True)

    return show if wants_colour(stream) else lambda what, part: None


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[str] = ()) -> str:
    """Columns under their heads, two spaces apart; those named in ``right`` are aligned to the right."""
    cells = [list(map(str, row)) for row in rows]
    widths = [max(map(_width, column)) for column in zip(head, *cells, strict=True)]
    to_right = [name in right for name in head]

    def line(values: Sequence[str]) -> str:
        padded = [
            " " * (width - _width(value)) + value if is_right else value + " " * (width - _width(value))
            for value, width, is_right in zip(values, widths, to_right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([style(line(list(head)), "bold"), *(line(row) for row in cells)])


def _width(text: str) -> int:
    return len(_ESCAPE.sub("", text))


def age(microseconds: int) -> str:
    """'12 ms', '3.4 s', '5 min', '2 h'; negative for what is still to come."""
    sign, size = ("-" if microseconds < 0 else ""), abs(microseconds)
    if size < 1_000_000:
        return f"{sign}{size // 1000} ms"
    if size < 120_000_000:
        return f"{sign}{size / 1_000_000:.1f} s"
    if size < 7_200_000_000:
        return f"{sign}{size // 60_000_000} min"
    return f"{sign}{size // 3_600_000_000} h"
