"""RowReader: the one place where stored and sent rows become rows of this shard's simulation.

Rows of a former schema are upgraded here, whether they come in an offer, a manifest or a journal, so that nothing else
ever sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from ..errors import SchemaChanged, SimulationError
from .columns import Columns, Schema, packed_schema_hash
from .schemas import SCHEMA_CHANGED, WAY_OUT, schema_changed
from .simulation import Simulation

Upgrade = Callable[[Columns, Columns], Any]


class RowReader:
    """Reads rows of ``schema`` and of the former schemas that its simulation can upgrade.

    Args:
        simulation: its name, for messages.
        former: further schemas.
        upgrade: the simulation's own; needed where there is a former schema.
    Attributes:
        takes: hashes of the former schemas.
    """

    def __init__(
        self, schema: Schema, *, simulation: str, former: Sequence[Schema] = (), upgrade: Upgrade | None = None
    ) -> None:
        self.schema = schema
        self._simulation = simulation
        self._former = {one.hash: one for one in former}
        self._upgrade = upgrade
        self.takes = tuple(sorted(self._former))

    @classmethod
    def of(cls, schema: Schema, simulation: Simulation | type[Simulation], *, name: str) -> Self:
        """As the simulation declares it."""
        former = [Schema(schema.dimensions, dtype) for dtype in getattr(simulation, "former_dtypes", ())]
        return cls(schema, simulation=name, former=former, upgrade=getattr(simulation, "upgrade", None))

    @property
    def schemas(self) -> tuple[Schema, ...]:
        """All that can be read, the own one first."""
        return (self.schema, *self._former.values())

    def is_former(self, data: bytes | memoryview) -> bool:
        """Whether packed rows are of a schema that was given up."""
        return packed_schema_hash(data) != self.schema.hash

    def unpack(self, data: bytes | memoryview, count: int) -> Columns:
        """``count`` packed rows; the arrays may be read-only.

        Raises:
            SchemaChanged: they have columns that nothing here can read.
            SimulationError: ``upgrade`` failed on them.
            ValueError: ``data`` is not exactly ``count`` rows long.
        """
        known = packed_schema_hash(data)
        if known == self.schema.hash:
            return self.schema.unpack(data, count)
        if known not in self._former:
            raise SchemaChanged(
                f"{SCHEMA_CHANGED}: the rows have columns of schema {known:08x}, simulation {self._simulation!r} has "
                f"those of {self.schema.hash:08x}: {WAY_OUT}"
            )
        return self._upgraded(self._former[known].unpack(data, count))

    def take(self, rows: Columns) -> Columns:
        """Rows as a manifest had them. Raises ``SchemaChanged`` and ``SimulationError`` as ``unpack`` does."""
        if not len(rows):
            return self.schema.empty()
        if rows.schema.hash == self.schema.hash:
            return rows
        if rows.schema.hash not in self._former:
            raise schema_changed(rows.schema, self.schema, name=self._simulation)
        return self._upgraded(rows)

    def _upgraded(self, former: Columns) -> Columns:
        """The same entities with today's columns."""
        rows = self.schema.empty(len(former))
        kept = set(former.schema.columns)
        for column in self.schema.columns:
            if column in kept:
                rows.arrays[column.name][...] = former[column.name]
        if self._upgrade is None or not len(former):
            return rows
        try:
            self._upgrade(former, rows)
        except Exception as error:
            raise SimulationError(f"{self._simulation}.upgrade: {type(error).__name__}: {error}") from error
        if not (np.array_equal(rows.id, former.id) and np.array_equal(rows.version, former.version)):
            raise SimulationError(f"{self._simulation}.upgrade: changed an id or a version")
        if not (finite := rows.finite()).all():
            entity = int(rows.id[~finite][0])
            raise SimulationError(f"{self._simulation}.upgrade: entity {entity} has no finite position or velocity")
        return rows
