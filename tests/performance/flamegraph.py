"""A flame graph as an SVG of plain rectangles, from the raw stacks of a sampling profiler."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from html import escape

WIDTH, ROW_HEIGHT, HEAD_HEIGHT = 1200, 18, 30
SMALLEST_SHARE = 0.002
"""Of the graph's width: thinner rectangles show nothing and only make the file large."""
LETTER_WIDTH = 6.6
IN_WORDS = 8
"""So many boxes are named in the description."""
_FRAME = re.compile(r"(?P<name>.+) \((?P<file>[^()]*?)(:\d+)?\)$")

STYLE = """
  :root { --ink: #1b2026; }
  @media (prefers-color-scheme: dark) { :root { --ink: #e8ebef; } }
  text { font: 11px "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1b2026; pointer-events: none; }
  .head { font: 14px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink); }
  .own { fill: #9db4cc; } .library { fill: #b9bfc7; }
"""

Stack = tuple[str, ...]


@dataclass
class Node:
    """A frame with all that it called. ``samples``: those in which it was on the stack, here."""

    samples: int = 0
    called: dict[str, Node] = field(default_factory=dict)

    def add(self, stack: Stack, samples: int) -> None:
        self.samples += samples
        if stack:
            self.called.setdefault(stack[0], Node()).add(stack[1:], samples)

    @property
    def depth(self) -> int:
        return 1 + max((node.depth for node in self.called.values()), default=0)


def parse(raw: str) -> list[tuple[Stack, int]]:
    """``py-spy record --format raw``: a line a stack, ``name (file:line);name (file:line) samples``.

    Outermost frames first.
    """
    found = []
    for line in raw.splitlines():
        frames, _, samples = line.rpartition(" ")
        found.append((tuple(frames.split(";")), int(samples)))
    return found


def cut(stacks: Iterable[tuple[Stack, int]], roots: Collection[tuple[str, str]]) -> Iterator[tuple[Stack, int]]:
    """The stacks in which one of ``roots`` (function, end of the file's name) is, from there on."""
    for stack, samples in stacks:
        for depth, frame in enumerate(stack):
            name, file = _parts(frame)
            if any(name == root and file.endswith(end) for root, end in roots):
                yield stack[depth:], samples
                break


def svg(title: str, stacks: Iterable[tuple[Stack, int]], *, all_samples: int) -> str:
    """The widest first. A rectangle's width is its share of ``stacks``; its tooltip says its share of ``all_samples``.

    Raises:
        ValueError: no stack.
    """
    top = Node()
    for stack, samples in stacks:
        top.add(stack, samples)
    if not top.samples:
        raise ValueError(f"no stack for {title!r}")
    height = HEAD_HEIGHT + (top.depth - 1) * ROW_HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="t d">',
        f'<title id="t">{escape(title)}, as a flame graph</title>',
        f'<desc id="d">{escape(_in_words(top, all_samples))}</desc>',
        f"<style>{STYLE}</style>",
        f'<text class="head" x="2" y="19">{escape(title)}: {top.samples / all_samples:.0%} of its samples</text>',
        *_boxes(top, x=0.0, y=HEAD_HEIGHT, per_sample=WIDTH / top.samples, all_samples=all_samples),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _in_words(top: Node, all_samples: int) -> str:
    """Where a path stops being as good as straight, and what it calls there: for who does not see the boxes."""
    node = top
    while len(node.called) == 1:
        [node] = node.called.values()
    widest = sorted(node.called.items(), key=lambda item: -item[1].samples)[:IN_WORDS]
    shares = ", ".join(f"{_parts(frame)[0]} {child.samples / all_samples:.0%}" for frame, child in widest)
    return f"Boxes under the boxes that call them, each as wide as its share of the samples. The widest: {shares}."


def _boxes(node: Node, *, x: float, y: float, per_sample: float, all_samples: int) -> Iterator[str]:
    for frame, child in sorted(node.called.items(), key=lambda item: (-item[1].samples, item[0])):
        width = child.samples * per_sample
        if width < SMALLEST_SHARE * WIDTH:
            break  # all that follow are thinner still
        name, file = _parts(frame)
        kind = "own" if "shardfleet" in file else "library"
        tip = escape(f"{name} ({file}): {child.samples / all_samples:.1%}")
        letters = int((width - 6) / LETTER_WIDTH)
        shown = name if len(name) <= letters else name.rpartition(".")[2]  # without its class, if that helps
        shown = shown if len(shown) <= letters else shown[: letters - 1] + "…" if letters > 3 else ""
        label = f'<text x="{x + 3:.1f}" y="{y + 13}">{escape(shown)}</text>' if shown else ""
        box = (
            f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{max(0.5, width - 0.7):.1f}" height="{ROW_HEIGHT - 1}"/>'
        )
        yield f"<g><title>{tip}</title>{box}{label}</g>"
        yield from _boxes(child, x=x, y=y + ROW_HEIGHT, per_sample=per_sample, all_samples=all_samples)
        x += width


def _parts(frame: str) -> tuple[str, str]:
    """Function and file. The line says only where the function begins."""
    match = _FRAME.match(frame)
    return (match["name"], match["file"]) if match else (frame, "")
