"""Reading ``spec.simulation.parameters``.

A fleet file knows no fractions (a Kubernetes resource carries decimals as strings), so each number may be given
as a number or as a string: ``speed: 18`` or ``speed: "18.5"``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NUMBER: Mapping[str, Any] = {"type": ["number", "string"], "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$"}
"""JSON schema of a number, or of a string that spells one."""


def number(parameters: Mapping[str, Any], name: str, default: float, *, above: float | None = None) -> float:
    """The parameter ``name`` as a float.

    Args:
        above: the value must be greater than this.
    Raises:
        ValueError: not a finite number, or not above the bound; the first word is the parameter's name.
    """
    value = _as_float(name, parameters.get(name, default))
    if above is not None and value <= above:
        raise ValueError(f"{name} must be above {above:g}, not {value:g}")
    return value


def point(parameters: Mapping[str, Any], name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    """The parameter ``name`` as one float a dimension, as many as ``default`` has.

    Raises:
        ValueError: another count, or something that is no finite number.
    """
    values = parameters.get(name, default)
    if len(values) != len(default):
        raise ValueError(f"{name} needs {len(default)} numbers, one a dimension, not {len(values)}")
    return tuple(_as_float(name, value) for value in values)


def _as_float(name: str, value: Any) -> float:
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, not {value!r}") from None
    if not math.isfinite(result):
        raise ValueError(f"{name} must be a finite number, not {result}")
    return result
