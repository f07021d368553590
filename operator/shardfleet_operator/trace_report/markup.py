"""HTML and SVG as strings, in which nothing that comes from a trace can be anything but text.

``tag`` escapes whatever is not ``Html`` already, so a page that is put together by it alone needs no care elsewhere.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

NAME_LIMIT = 60
"""Characters of a name from a trace; a file's name may have 255."""
TEXT_LIMIT = 400
"""Of a sentence from the checker: it may quote a damaged line."""


class Html(str):
    """Markup already: not escaped again."""

    __slots__ = ()


def escape(value: object) -> Html:
    """As text. What cannot be seen (control characters, the other half of a surrogate, marks that turn the reading
    direction) becomes U+FFFD."""
    text = str(value)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return Html(html.escape(text))


def tag(element: str, /, *children: object, **attributes: object) -> Html:
    """One element. ``class_`` is ``class``, ``aria_label`` is ``aria-label``; an attribute that is None is left out."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if not children:
        return Html(f"<{element}{shown}>" if element in _VOID else f"<{element}{shown}></{element}>")
    return Html(f"<{element}{shown}>{join(children)}</{element}>")


_VOID = frozenset({"meta", "br", "col"})


def join(parts: Iterable[object]) -> Html:
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def table(head: Sequence[object], rows: Sequence[Sequence[object]], *, caption: str) -> Html:
    """Columns in which every cell is a number (or '-', or empty) stand at the right."""
    kinds = ["number" if rows and all(map(_numeric, column)) else None for column in zip(*rows, strict=True)]
    kinds = kinds or [None] * len(head)

    def line(element: str, cells: Sequence[object], scope: str | None) -> Html:
        return tag("tr", *(tag(element, c, class_=k, scope=scope) for c, k in zip(cells, kinds, strict=True)))

    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption),
            tag("thead", line("th", head, "col")),
            tag("tbody", *(line("td", row, None) for row in rows)),
        ),
        class_="scroll",
        tabindex="0",
        role="group",
        aria_label=caption,
    )


def _numeric(value: object) -> bool:
    text = str(value).lstrip("-+")
    return not text or text[0].isdigit()


def folded(summary: str, *children: object) -> Html:
    return tag("details", tag("summary", summary), *children)


def short(text: str, limit: int = NAME_LIMIT) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def number(value: float) -> str:
    """For coordinates: at most one place behind the point."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def count(value: int, one: str, many: str | None = None) -> str:
    """'1 handoff', '1,234 handoffs'."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"
