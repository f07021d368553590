"""The model of docs/spec: its smallest configuration holds, and its checker can fail. ``make model`` runs all of it."""

from __future__ import annotations

import pytest

from .check import check, searches
from .configurations import BY_NAME, CONFIGURATIONS, QUICK, VARIANTS


@pytest.mark.parametrize("name", QUICK)
def test_quick(name: str) -> None:
    [search] = searches([name])
    result = check(search)
    assert result.states > 10
    assert bool(result.violated) is not search.must_hold, result


def test_names() -> None:
    assert len(BY_NAME) == len(CONFIGURATIONS)
    assert len({variant.macro for variant in VARIANTS}) == len(VARIANTS)
    assert {variant.configuration for variant in VARIANTS} <= set(BY_NAME)
