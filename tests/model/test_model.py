"""The model of docs/spec: its smallest configuration holds, and its checker can fail. ``make model`` runs all of it."""

from __future__ import annotations

import re

import pytest

from .check import SPEC, check, searches
from .configurations import BY_NAME, CONFIGURATIONS, EVERY_RUN_ENDS, PROPERTIES, QUICK, VARIANTS


@pytest.mark.parametrize("name", QUICK)
def test_quick(name: str) -> None:
    [search] = searches([name])
    result = check(search)
    assert result.states > 10
    assert result.violated == search.breaks, result


def test_names() -> None:
    assert len(BY_NAME) == len(CONFIGURATIONS)
    assert len({variant.macro for variant in VARIANTS}) == len(VARIANTS)
    assert {variant.configuration for variant in VARIANTS} <= set(BY_NAME)


def test_every_property_can_fail() -> None:
    """``make model`` finds each of them broken by some variant; and there is no assertion without a name."""
    assert {variant.breaks for variant in VARIANTS} == set(PROPERTIES)
    asserted = {name for page in SPEC.glob("*.pml") for name in re.findall(r"assert\((\w+)", page.read_text())}
    assert asserted == set(PROPERTIES) - {EVERY_RUN_ENDS}
