"""Golden scenarios: scripts with the whole expected output underneath; ``--rewrite`` writes what is said now."""

from __future__ import annotations

from pathlib import Path

import pytest

from .interpreter import ERROR, INDENT, Interpreter

FOLDER = Path(__file__).parent / "scenarios"
SCENARIOS = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path, request: pytest.FixtureRequest) -> None:
    expected = path.read_text()
    actual = Interpreter().run(expected)
    if request.config.getoption("--rewrite", default=False):
        path.write_text(actual)
    else:
        assert actual == expected
    assert INDENT + ERROR not in actual


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) > 30
