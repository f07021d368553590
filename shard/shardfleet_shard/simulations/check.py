"""``shardfleet simulation check NAME``: plays a world for a while and tests every promise of the plugin on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.columns import Columns, Schema
from ..core.exactness import BrokenPromise, Fault, check_new_rows, check_seed, check_step, same_rows, step_once
from ..core.row_reader import RowReader
from ..core.schemas import schema_in_words
from ..core.simulation import Simulation, World
from .check_upgrade import check_upgrade
from .registry import load, reader_for

SEED_ROWS = 499
"""A prime: rows never divide evenly among the lanes of a SIMD unit."""

PROBES = 8
"""Ticks at which the step is tested in every way."""

PROBE_INTERVAL = 7
FIRST_PROBE = 3
"""Not 0: the second instance must meet its first tick later than the first one, or what a plugin remembers of the
world's start would agree."""

MAX_TICKS = 4000
"""A recorded track may start late; past this many ticks without enough rows the test gives up waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """``lines``: what to print; ``faults``: what is broken, none if all is well."""

    name: str
    lines: tuple[str, ...]
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        return not self.faults


@dataclass(kw_only=True, eq=False)
class _World:
    """One played world; ``rows`` as of the end of ``tick - 1``."""

    simulation: Simulation
    twin: Simulation
    schema: Schema
    dt: float
    rng: np.random.Generator
    rows: Columns
    tick: int = 0
    probes: int = 0
    largest: int = 0

    def play(self) -> list[Fault]:
        """One tick: arrivals, the tests where they are due, and the step itself."""
        faults = self._take_arrivals()
        if faults:
            return faults
        if len(self.rows) and self.tick % PROBE_INTERVAL == FIRST_PROBE:
            faults = check_step(self.simulation, self.twin, self.rows, tick=self.tick, dt=self.dt, rng=self.rng)
            self.probes += 1
            self.largest = max(self.largest, len(self.rows))
        if not faults and len(self.rows):
            faults = self._step()
        self.tick += 1
        return faults

    def _step(self) -> list[Fault]:
        try:
            stepped = step_once(self.simulation, self.rows, self.tick, self.dt)
        except BrokenPromise as broken:
            return [broken.fault]
        self.rows = self.rows.take(~np.isin(self.rows.id, stepped.leaving))
        return []

    def _take_arrivals(self) -> list[Fault]:
        rows, again = self.simulation.arrivals(self.tick), self.twin.arrivals(self.tick)
        if not same_rows(rows, again):
            message = f"arrivals({self.tick}) gave other rows to another instance; it must depend on the tick alone"
            return [Fault(rule="arrivals", message=message)]
        if rows is None or not len(rows):
            return []
        faults = check_new_rows(rows, schema=self.schema, living=self.rows.id, what="arrivals")
        if not faults:
            self.rows = Columns.concat(self.schema, [self.rows, rows])
        return faults


def check(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    dimensions: int = 2,
    base_dir: str = ".",
    tick_rate: int = 20,
    seed: int = 1,
) -> list[Fault]:
    """Every broken promise of simulation ``name``, none if all is well.

    Raises:
        SpecError: the name or a parameter is wrong.
    """
    return list(run(name, parameters, dimensions, base_dir=base_dir, tick_rate=tick_rate, seed=seed).faults)


def run(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    dimensions: int = 2,
    *,
    base_dir: str = ".",
    tick_rate: int = 20,
    seed: int = 1,
) -> CheckResult:
    """Plays ``name`` in a world from -120 to 120 and says what was tested and what is broken.

    Args:
        dimensions: 2 or 3.
        base_dir: from where a relative path in ``parameters`` counts.
        seed: of all random numbers; the same seed gives the same test.
    Raises:
        SpecError: the name or a parameter is wrong.
    """
    schema = reader_for(name, dimensions).schema
    world = World((-120.0,) * dimensions, (120.0,) * dimensions, tick_rate, base_dir, schema)
    simulation, twin = (load(name, world, parameters or {}) for _ in range(2))
    played, faults = _play(simulation, twin, world, seed)
    reader, other = (RowReader.of(schema, one, name=name) for one in (simulation, twin))
    faults += check_upgrade(reader, other, played.rows)
    lines = [
        f"{name}: {dimensions} dimensions, {schema.row_size_bytes} bytes a row, "
        f"{'exact' if simulation.exact else 'not exact: bits are not compared, targets wait for the final state'}",
        f"{played.tick} ticks played, {played.probes} tested, up to {played.largest} rows, seed {seed}",
        *(f"upgrade from: {schema_in_words(former)}" for former in reader.schemas[1:]),
        *(f"FAULT {fault.rule}: {fault.message}" for fault in faults),
        f"verdict: {'ok' if not faults else 'broken'}",
    ]
    return CheckResult(name=name, lines=tuple(lines), faults=tuple(faults))


def _play(simulation: Simulation, twin: Simulation, world: World, seed: int) -> tuple[_World, list[Fault]]:
    rows = simulation.seed(np.random.default_rng(seed), SEED_ROWS)
    again = twin.seed(np.random.default_rng(seed), SEED_ROWS)
    played = _World(
        simulation=simulation,
        twin=twin,
        schema=world.schema,
        dt=1.0 / world.tick_rate,
        rng=np.random.default_rng(seed),
        rows=rows,
    )
    faults = check_seed(rows, again, schema=world.schema, count=SEED_ROWS)
    while not faults and played.probes < PROBES and played.tick < MAX_TICKS:
        faults = played.play()
    if not faults and not played.probes:
        faults = [Fault(rule="rows", message=f"no rows in {played.tick} ticks: neither seed nor arrivals gave any")]
    return played, faults
