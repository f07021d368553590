"""A shard's settings: every knob of ``spec``, with its default, its bounds and where its value came from.

Precedence: environment over the fleet's file over the default. Only ``main`` reads the environment; everything
else gets a ``ShardConfig``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from .environment import HANDOFF_DELAY_VARIABLE
from .errors import SpecError

DEFAULT_HANDOFF_DELAY_US = 60_000
MAX_HANDOFF_DELAY_US = 10_000_000

_DURATION = re.compile(r"(\d{1,9})(us|ms|s|m)")
_UNIT_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000}


def parse_duration_us(text: str) -> int:
    """'60ms' -> 60000. Units us, ms, s, m. Raises ``ValueError`` with an example."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 60ms, 3s or 500us")
    return int(match[1]) * _UNIT_US[match[2]]


def format_duration_us(duration_us: int) -> str:
    """60000 -> '60ms': in the largest unit that leaves no fraction; ``parse_duration_us`` reads it back."""
    for unit in ("m", "s", "ms"):
        if duration_us and duration_us % _UNIT_US[unit] == 0:
            return f"{duration_us // _UNIT_US[unit]}{unit}"
    return f"{duration_us}us"


def default_skew_limit_us(handoff_delay_us: int) -> int:
    """A quarter of the delay: what a clock may be off where the fleet doesn't say."""
    return max(1, handoff_delay_us // 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConfig:
    """What all shards of a fleet share. Durations in microseconds.

    ``sources`` names for each field where its value came from: 'default', 'spec', or the environment's variable.
    """

    name: str
    namespace: str = ""
    """Of the fleet's resource in a cluster; '' on one machine."""
    replicas: int = 4
    world_low: tuple[float, ...] = (-120.0, -120.0)
    world_high: tuple[float, ...] = (120.0, 120.0)
    simulation: str = "orbit"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed_entities: int = 50
    base_dir: str = "."
    tick_rate: int = 20
    handoff_delay_us: int = DEFAULT_HANDOFF_DELAY_US
    discrepancy_threshold_us: int = 1_500_000
    border_margin: float = 0.5
    guard_us: int = 10_000
    skew_limit_us: int = 15_000
    lease_us: int = 3_000_000
    telemetry_interval_us: int = 50_000
    election_interval_us: int = 2_000_000
    audit_interval_us: int = 250_000
    link_lease: Literal["Enabled", "Disabled"] = "Enabled"
    link_inactivity_us: int = 2_000_000
    link_lease_ttl_us: int = 25_000_000
    redis_outage_policy: Literal["Freeze", "Continue"] = "Freeze"
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def dimensions(self) -> int:
        return len(self.world_low)

    @property
    def identity(self) -> str:
        """The fleet's name in Redis and on links. No name holds a dot, so fleets of two namespaces never meet."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name

    def validate(self) -> None:
        """Every fault at once, by field path, or by the variable that a value came from. Raises ``SpecError``."""
        faults = []
        tick_us = -(-1_000_000 // max(1, self.tick_rate))
        source = self.sources.get("handoff_delay_us", "spec")
        delay_field = HANDOFF_DELAY_VARIABLE if source == HANDOFF_DELAY_VARIABLE else "spec.handoff.delay"
        if self.handoff_delay_us < tick_us + self.guard_us:
            faults.append(
                (
                    delay_field,
                    f"{self.handoff_delay_us} us is less than one tick plus the guard "
                    f"({tick_us} + {self.guard_us} us); raise it or the tick rate",
                )
            )
        elif self.handoff_delay_us > MAX_HANDOFF_DELAY_US:
            faults.append((delay_field, f"{self.handoff_delay_us} us is more than {MAX_HANDOFF_DELAY_US} us; lower it"))
        elif self.skew_limit_us > self.handoff_delay_us:
            faults.append(
                (
                    delay_field,
                    f"{self.handoff_delay_us} us is less than the skew limit ({self.skew_limit_us} us); "
                    "raise it or lower spec.handoff.skewLimit",
                )
            )
        if len(self.world_low) != len(self.world_high) or any(
            not low < high for low, high in zip(self.world_low, self.world_high, strict=False)
        ):
            faults.append(("spec.world", "min must lie below max in every dimension"))
        if faults:
            raise SpecError(faults)

    def rows(self) -> list[tuple[str, Any, str]]:
        """(field, value, source) a knob, for ``shardfleet config``."""
        return [
            (f.name, getattr(self, f.name), self.sources.get(f.name, "default"))
            for f in fields(self)
            if f.name != "sources"
        ]

    def to_json(self) -> str:
        """What a shard process gets as its configuration file."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ``SpecError`` for a file that ``to_json`` did not write."""
        try:
            data = json.loads(text)
            for name in ("world_low", "world_high"):
                data[name] = tuple(float(value) for value in data[name])
            return cls(**data)
        except (ValueError, TypeError, KeyError) as error:
            raise SpecError([("configuration", f"not a shard's configuration: {error}")]) from error
