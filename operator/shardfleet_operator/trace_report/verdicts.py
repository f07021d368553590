"""What the checker said, for people: nothing here judges anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..checker import CheckReport, Violation
from .markup import TEXT_LIMIT, Html, count, short, table, tag

FIRST = 3
"""Violations of a rule that stand in its box; the table at the end has what the checker kept."""

RULES = (
    ("A1", "One simulator", "No tick of an entity was simulated by two shards."),
    ("A2", "Nothing lost", "Every entity was simulated until the end, without a hole over the bound."),
    ("A4", "Continuity", "Each step began with the state in which the one before had ended."),
    ("A5", "Order", "Versions grew by one with each change of shard, and never fell."),
    ("trace", "The files", "All that the proof needs is there and readable."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule's part of the verdict."""

    name: str
    title: str
    sentence: str
    violations: int
    kinds: tuple[tuple[str, int], ...]
    first: tuple[Violation, ...]


def rules_of(check: CheckReport) -> tuple[Rule, ...]:
    """One for each of ``RULES``."""
    found = []
    for name, title, sentence in RULES:
        kinds = [(key.split(" ", 1)[1], number) for key, number in check.counts.items() if key.split(" ")[0] == name]
        first = [violation for violation in check.violations if violation.rule == name]
        found.append(
            Rule(
                name=name,
                title=title,
                sentence=sentence,
                violations=sum(number for _, number in kinds),
                kinds=tuple(kinds),
                first=tuple(first),
            )
        )
    return tuple(found)


def banner(check: CheckReport) -> Html:
    """The verdict in one sentence."""
    if check.ok:
        sign, kind, title = "✓", "ok", "Proved: nothing was lost, doubled, changed or put out of order"
        words = "A1, A2, A4 and A5 hold, shown from the trace alone."
    else:
        sign, kind = "✕", "broken"
        title = f"Failed: {count(sum(check.counts.values()), 'violation')}"
        words = ", ".join(f"{name}: {number:,}" for name, number in check.counts.items())
    return tag(
        "div",
        tag("span", sign, class_="sign", aria_hidden="true"),
        tag("div", tag("strong", title), tag("p", words)),
        class_=f"verdict {kind}",
        role="status",
    )


def boxes(check: CheckReport) -> Html:
    """A box a rule, with the first violations in it."""
    rules = rules_of(check)
    incomplete = rules[-1].violations > 0
    return tag("ul", *(_box(rule, incomplete=incomplete) for rule in rules), class_="rules")


def _box(rule: Rule, *, incomplete: bool) -> Html:
    if rule.violations:
        kind, sign, state = "broken", "✕", "violated"
    elif incomplete:
        kind, sign, state = "unproven", "?", "no violation in what can be read"
    else:
        kind, sign, state = "ok", "✓", "ok"
    name = "" if rule.name == "trace" else f"{rule.name} "
    more = rule.violations - min(FIRST, len(rule.first))
    return tag(
        "li",
        tag("h3", f"{name}{rule.title}"),
        tag("p", tag("span", f"{sign} ", class_="sign", aria_hidden="true"), tag("span", state, class_="state")),
        tag("p", rule.sentence),
        tag("ul", *(tag("li", _whom(v)) for v in rule.first[:FIRST]), tag("li", f"{more:,} more") if more else "")
        if rule.violations
        else "",
        class_=f"rule {kind}",
    )


def _whom(violation: Violation) -> str:
    if violation.entity is None:
        return f"{violation.kind}: {short(violation.message, 120)}"
    return f"{violation.kind}: entity {violation.entity}, tick {violation.tick}"


def verdict_table(check: CheckReport) -> Html:
    """Every rule, and below it every violation that was kept."""
    rules = rules_of(check)
    rows = [
        (r.name, r.title, "violated" if r.violations else "none found", f"{r.violations:,}", _kinds(r)) for r in rules
    ]
    parts = [table(("rule", "", "violations", "number", "kinds"), rows, caption="The verdict, rule by rule")]
    if check.violations:
        parts.append(_violations(check.violations))
    return tag("div", *parts)


def _kinds(rule: Rule) -> str:
    return ", ".join(f"{kind} {number:,}" for kind, number in rule.kinds)


def _violations(violations: Sequence[Violation]) -> Html:
    rows = [
        (
            v.rule, v.kind, "" if v.entity is None else str(v.entity), "" if v.tick is None else str(v.tick),
            short(", ".join(v.shards)), short(v.message, TEXT_LIMIT),
        )
        for v in violations
    ]  # fmt: skip
    return table(
        ("rule", "kind", "entity", "tick", "shards", "what"), rows, caption="Violations: the first few of each kind"
    )
