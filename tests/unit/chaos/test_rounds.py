"""Which faults may strike at the same time."""

from __future__ import annotations

import pytest

from tests.chaos.driver import may_be_together


@pytest.mark.parametrize(
    ("one", "other", "may"),
    [
        ("kill-source", "kill-target", True),
        ("kill-source", "redis-restart", True),
        ("pause", "redis-restart", True),
        ("redis-wipe", "link-cut", True),
        ("redis-wipe", "kill-source", False),  # what it held is nowhere then
        ("kill-target", "redis-forgets", False),
        ("redis-cut", "redis-wipe", False),  # nor can it say so
        ("redis-restart", "disk-full", False),
    ],
)
def test_faults_that_may_strike_together(one: str, other: str, may: bool) -> None:
    assert may_be_together(one, other) is may
