"""The chart's objects, for each of the variants."""

from __future__ import annotations

import pytest

from .helm import Object, render
from .variants import VARIANTS


@pytest.fixture(params=VARIANTS, scope="session")
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return render(VARIANTS[request.param])
