"""What all fleets of an operator share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

COPY_INTERVAL_US = 60_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """As the operator was started.

    Attributes:
        image: of shards whose spec names none; '' where the operator does not know its own.
        redis_url: the Redis of fleets whose spec names none; '' for none. May hold a password.
        environ: for the handoff delay.
        copies: folder for copies of all fleets' worlds; None: none are made.
        copy_interval_us: between two copies of a fleet.
    """

    image: str = ""
    redis_url: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    copies: Path | None = None
    copy_interval_us: int = COPY_INTERVAL_US
