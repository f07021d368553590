"""PromQL held against the tables of metrics: series that there are, labels that they have, functions that fit them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import promql_parser
from promql_parser import AggModifierType, MatchOp
from shardfleet_operator.cluster.metrics import OPERATOR_METRICS
from shardfleet_shard.monitoring.shard import RESOURCE, SHARD_METRICS
from shardfleet_shard.monitoring.table import Attribute, Kind

OF_COUNTERS = ("rate", "increase")
SAMPLE_INTERVAL = "5m"
"""In the place of Grafana's ``$__rate_interval``."""


class WrongQuestion(Exception):
    """An answer would be empty or mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """
    Attributes:
        labels: with the attribute that each comes from; None for ``le``.
        only_rises: a counter, or a part of a histogram.
        is_buckets: of a histogram.
    """

    labels: Mapping[str, Attribute | None]
    only_rises: bool
    is_buckets: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an expression yields.

    Attributes:
        labels: of its series.
        is_scalar: one number, without labels.
        is_rising: counts since some start, of which nobody may take but the rate.
        is_buckets: of a histogram, or rates of them.
    """

    labels: frozenset[str] = frozenset()
    is_scalar: bool = False
    is_rising: bool = False
    is_buckets: bool = False


@cache
def known() -> dict[str, Series]:
    """All series by the name that Prometheus has."""
    result: dict[str, Series] = {}
    for rows, constant in ((SHARD_METRICS, RESOURCE), (OPERATOR_METRICS, ())):
        for metric in (row.metric for row in rows):
            labels: dict[str, Attribute | None] = {one.label: one for one in (*constant, *metric.attributes)}
            is_histogram = metric.kind is Kind.HISTOGRAM
            for part in ("_bucket", "_sum", "_count") if is_histogram else ("",):
                name, is_buckets = metric.prometheus_name + part, part == "_bucket"
                assert name not in result, f"two metrics are {name}"
                result[name] = Series(
                    labels={**labels, "le": None} if is_buckets else labels,
                    only_rises=is_histogram or metric.kind is Kind.COUNTER,
                    is_buckets=is_buckets,
                )
    return result


def parsed(question: str, variables: Collection[str] = ()) -> Any:
    """``question``, with a value in the place of Grafana's ``variables``. Raises ``ValueError`` as the parser does."""
    question = question.replace("$__rate_interval", SAMPLE_INTERVAL)
    for name in variables:
        question = re.sub(rf"\${name}\b", ".*", question)
    if left := re.findall(r"\$\w+", question):
        raise WrongQuestion(f"no variable is called {left}")
    return promql_parser.parse(question)


def names(question: str, variables: Collection[str] = ()) -> set[str]:
    """The series that it asks for."""
    found: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.name)

    promql_parser.walk(parsed(question, variables), pre_visit=visit)
    return found


def answer(question: str, variables: Collection[str] = ()) -> Answer:
    """What it yields. Raises ``WrongQuestion``."""
    result = _answer(parsed(question, variables))
    if result.is_rising:
        raise WrongQuestion("a counter itself, which begins anew with its process: take its rate")
    return result


def _answer(node: Any) -> Answer:
    match type(node).__name__:
        case "NumberLiteral":
            return Answer(is_scalar=True)
        case "ParenExpr" | "UnaryExpr":
            return _answer(node.expr)
        case "VectorSelector":
            return _selected(node)
        case "MatrixSelector":
            return _selected(node.vector_selector)
        case "Call":
            return _called(node)
        case "AggregateExpr":
            return _aggregated(node)
        case "BinaryExpr":
            return _combined(node)
        case other:
            raise WrongQuestion(f"these tests know no {other}")


def _selected(selector: Any) -> Answer:
    series = known().get(selector.name)
    if series is None:
        raise WrongQuestion(f"no metric is called {selector.name}")
    for matcher in selector.matchers.matchers:
        if matcher.name not in series.labels:
            raise WrongQuestion(f"{selector.name} has no label {matcher.name}")
        attribute = series.labels[matcher.name]
        if attribute is not None and attribute.values:
            is_pattern = matcher.op in (MatchOp.Re, MatchOp.NotRe)
            for one in matcher.value.split("|") if is_pattern else [matcher.value]:
                if not any(re.fullmatch(one if is_pattern else re.escape(one), value) for value in attribute.values):
                    raise WrongQuestion(f"{matcher.name} of {selector.name} is never {one}")
    return Answer(labels=frozenset(series.labels), is_rising=series.only_rises, is_buckets=series.is_buckets)


def _called(call: Any) -> Answer:
    name, given = call.func.name, [_answer(argument) for argument in call.args]
    if name in OF_COUNTERS:
        if not given[0].is_rising:
            raise WrongQuestion(f"{name}() of what is no counter")
        return Answer(labels=given[0].labels, is_buckets=given[0].is_buckets)
    if name == "histogram_quantile":
        buckets = given[1]
        if not buckets.is_buckets or buckets.is_rising or "le" not in buckets.labels:
            raise WrongQuestion("histogram_quantile() of what are no rates of buckets by le")
        return Answer(labels=buckets.labels - {"le"})
    if name == "absent":
        return Answer()
    if name == "max_over_time":
        return Answer(labels=given[0].labels)
    if name == "abs":
        return given[0]
    raise WrongQuestion(f"these tests know no {name}()")


def _aggregated(node: Any) -> Answer:
    inner, by = _answer(node.expr), node.modifier
    if inner.is_rising:
        raise WrongQuestion(f"{node.op} of counters, which begin anew one by one: first their rates")
    named = frozenset(by.labels) if by else frozenset()
    if not named <= inner.labels:
        raise WrongQuestion(f"{node.op} by {sorted(named - inner.labels)}, which it has not")
    left = inner.labels - named if by and by.type == AggModifierType.Without else named
    return Answer(labels=left, is_buckets=inner.is_buckets and "le" in left)


def _combined(node: Any) -> Answer:
    left, right = _answer(node.lhs), _answer(node.rhs)
    if node.modifier and (node.modifier.matching or node.modifier.group_labels):
        raise WrongQuestion("these tests know neither on() nor group_left()")
    is_unless = str(node.op) == "unless"  # of the right only counts that it is there
    if left.is_rising or (right.is_rising and not is_unless):
        raise WrongQuestion(f"{node.op} of a counter, which begins anew with its process: take its rate")
    if left.is_scalar or right.is_scalar:
        return Answer(labels=left.labels | right.labels)
    if str(node.op) == "or":  # the labels that both have are there in any case
        return Answer(labels=left.labels & right.labels)
    if left.labels != right.labels:
        raise WrongQuestion(f"no series of the left is one of the right: {sorted(left.labels ^ right.labels)}")
    return Answer(labels=left.labels)
