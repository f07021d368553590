"""The simulation finds what is known to be wrong: for each variant the seed that is recorded for it."""

import pytest

from .campaign import wrong
from .plan import make_plan
from .runs import run_plan
from .variants import VARIANTS

RECORDED = {name: variant.seed for name, variant in VARIANTS.items() if variant.seed is not None}


@pytest.mark.parametrize("name", RECORDED)
def test_a_known_wrong_protocol_is_found(name: str) -> None:
    with wrong(name):
        failure = run_plan(make_plan(RECORDED[name])).failure
    assert failure is not None, f"seed {RECORDED[name]} holds: 'make variants' looks for another"


def test_a_variant_leaves_nothing_behind() -> None:
    before = run_plan(make_plan(2))
    for name in VARIANTS:
        with wrong(name):
            pass
    assert run_plan(make_plan(2)) == before
