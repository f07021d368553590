"""The simulation finds what is known to be wrong: for each variant the seed that is recorded for it."""

from pathlib import Path

import pytest

from .campaign import wrong
from .plan import make_plan
from .runs import run_plan
from .variants import VARIANTS


@pytest.mark.parametrize("name", VARIANTS)
def test_a_known_wrong_protocol_is_found(name: str) -> None:
    with wrong(name):
        failure = run_plan(make_plan(VARIANTS[name].seed)).failure
    assert failure is not None, f"seed {VARIANTS[name].seed} holds: 'make variants' looks for another"


def test_a_variant_leaves_nothing_behind() -> None:
    before = run_plan(make_plan(2))
    for name in VARIANTS:
        with wrong(name):
            pass
    assert run_plan(make_plan(2)) == before


def test_the_docs_say_how_many_there_are() -> None:
    page = Path(__file__).parents[2] / "docs" / "reliability.md"
    assert f"and so on: {len(VARIANTS)} of them" in page.read_text()
