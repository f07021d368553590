"""Traces with places, and the page that is made of them, taken apart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from shardfleet_operator.trace_report import read_story, render

from ..checker.world import Record, World

VOID = {"meta", "br", "col"}


@dataclass(slots=True)
class Node:
    name: str
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    own_text: str = ""

    def all(self, name: str, /, **attributes: str) -> list[Node]:
        """Descendants; ``class_`` asks for one of the classes."""
        return [node for node in self.walk() if node.name == name and node.has(**attributes)]

    def has(self, **wanted: str) -> bool:
        for key, value in wanted.items():
            found = self.attributes.get(key.rstrip("_").replace("_", "-"), "")
            if value != found and not (key == "class_" and value in found.split()):
                return False
        return True

    def walk(self) -> Iterator[Node]:
        for child in self.children:
            yield child
            yield from child.walk()

    @property
    def text(self) -> str:
        return self.own_text + "".join(child.text for child in self.children)


class _Reader(HTMLParser):
    """Fails where elements are not closed in order, which browsers would mend in silence."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.open[-1].own_text += data


def parse(page: str) -> Node:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == [reader.root], "an element is left open"
    return reader.root


def on_a_circle(record: Record) -> tuple[float, float]:
    angle = record.tick / 30 + record.entity
    return 40 * math.cos(angle), 40 * math.sin(angle)


def page_of(world: World, folder: Path, bound_s: float = 5) -> Node:
    return parse(render(read_story(world.write(folder, on_a_circle), bound_s=bound_s)))
