"""Nothing but ``tag`` makes markup."""

from __future__ import annotations

import pytest
from shardfleet_operator.trace_report.markup import Html, count, escape, number, short, table, tag


def test_text_and_attributes_are_escaped_markup_is_not() -> None:
    made = tag("p", "<&>", tag("b", "x"), class_="a\"b'", aria_label="<", title=None)
    assert made == '<p class="a&quot;b&#x27;" aria-label="&lt;">&lt;&amp;&gt;<b>x</b></p>'
    assert tag("meta", name="x") == '<meta name="x">' and tag("p") == "<p></p>"
    assert isinstance(made, Html)


@pytest.mark.parametrize("text", ["\x00", "\x1b[2J", "\u202e", "\u2066", "\ud800", "\n", "\u200b"])
def test_what_cannot_be_seen_is_shown_as_such(text: str) -> None:
    assert escape(f"a{text}b").startswith("a\ufffd") and escape(f"a{text}b").encode()


def test_numbers() -> None:
    assert [number(v) for v in (1, 1.25, -0.04, 30.0, 0.06)] == ["1", "1.2", "0", "30", "0.1"]
    assert (count(1, "entity", "entities"), count(1200, "tick")) == ("1 entity", "1,200 ticks")
    assert short("abc", 3) == "abc" and short("abcd", 3) == "ab…"


def test_columns_of_numbers_stand_at_the_right() -> None:
    made = table(("shard", "n"), [("a-1", "3"), ("b", "-"), ("7", "-1.5 ms")], caption="c")
    assert made.count('<td class="number">') == 3 and made.count('<th class="number"') == 1
    assert table(("a", "b"), [], caption="c").count("<th ") == 2
