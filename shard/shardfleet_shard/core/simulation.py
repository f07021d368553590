"""What a simulation plugin is: entry point group ``shardfleet.simulations``.

A plugin is a class; the shard calls it as ``Plugin(world, parameters)`` and gets a ``Simulation``. It moves rows
and nothing else: it never sees a border, a shard or a transfer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from .columns import Columns, Schema

ENTRY_POINT_GROUP = "shardfleet.simulations"


@dataclass(frozen=True)
class World:
    """What a plugin may know of the world.

    Attributes:
        low, high: the world's corner points, world units, one number a dimension (entities may leave the box).
        tick_rate: ticks a second.
        base_dir: folder of the fleet's file; a relative path in the parameters counts from here.
        schema: the full schema, plugin's columns included; ``world.schema.rows(id=..., position=...)`` builds rows.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    tick_rate: int
    base_dir: str = "."
    schema: Schema = field(default_factory=lambda: Schema(2))

    @property
    def dimensions(self) -> int:
        return len(self.low)


class Simulation(Protocol):
    """A world's rules. Ticks count from the world's start (0, 1, 2 ...), not from 1970.

    Class attributes:
        dtype: NumPy structured dtype of the extra columns, or None.
        exact: True (default) promises the same bits for the same row whatever other rows are there, in
            whatever memory layout; ``shardfleet simulation check NAME`` tests it. With False the target of a
            handoff waits for the source's final state.
        parameters_schema: JSON schema of ``spec.simulation.parameters``.

    A simulation that has had other columns may give two things more, both or none; without them a fleet is never
    rolled from those columns to these. (They are no part of the type, for most simulations have neither.)

        former_dtypes: ClassVar[Sequence[np.dtype | None]], the ``dtype`` of former versions.
        upgrade(self, former: Columns, rows: Columns) -> None: fills ``rows``, which have today's columns, from
            ``former``, the same entities in the same order. Every column that has kept its name, type and width is
            copied already (id, version, position and velocity always), the others are zero. ``former.schema`` says
            which of ``former_dtypes`` it is. Each row must depend on its former self alone: it comes in any company,
            and after a crash again.
    """

    dtype: ClassVar[np.dtype[Any] | None]
    exact: ClassVar[bool]
    parameters_schema: ClassVar[Mapping[str, Any]]

    def __init__(self, world: World, parameters: Mapping[str, Any]) -> None:
        """Raises ``ValueError`` (first word: the parameter's name) for parameters that can't be."""

    def seed(self, rng: np.random.Generator, count: int) -> Columns:
        """``count`` rows for a new world, unique ids, version 1. Called once in a world's life."""
        ...

    def arrivals(self, tick: int) -> Columns | None:
        """Rows that enter the world to be simulated from ``tick`` on (state as of the end of ``tick - 1``).

        Asked of the stream's owner alone, once for each tick number, in order. Must be a pure function of
        ``tick`` and the parameters: after a crash another shard asks again.
        """
        ...

    def step(self, entities: Columns, tick: int, dt: float) -> np.ndarray[Any, Any] | Sequence[int] | None:
        """Moves all rows from the end of ``tick - 1`` to the end of ``tick``, in place; never touches id or version.

        Not called without a row. Returns ids (u64) that leave the world, or None. A row that is named is given again
        until it has left, maybe by another shard (one that is changing hands stays until it has), and must be named
        each time.
        """
        ...
