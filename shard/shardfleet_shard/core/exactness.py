"""Tests what a plugin promises of ``step``: the same bits for the same row, whatever other rows are there.

A handoff's target moves an offered row forward by itself, in other company and in other memory than the source.
With ``exact = True`` nobody compares the two afterwards, so the promise is tested here instead: the same rows are
stepped whole, permuted, in parts, alone and in other memory layouts, and every bit must agree. NumPy keeps it for
``+ - * /`` and ``np.sqrt``; not for ``np.sin``, ``np.power``, ``@`` or a mean over all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import U64, Columns, Schema, first_duplicate
from .simulation import Simulation

MAX_ALONE = 16
"""Rows that are stepped one by one at a tick: enough to meet the scalar path of every loop."""

_PART_SIZES = (1, 2, 3, 5, 7, 13)
"""Odd lots: a SIMD loop ends in a remainder that another code path works on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One broken promise. ``rule`` is a stable word; ``message`` one line for a person."""

    rule: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stepped:
    """Rows after one step, and the ids (sorted) that leave."""

    rows: Columns
    leaving: U64


class BrokenPromise(Exception):
    """A step that can't be compared at all; ``fault`` says why."""

    def __init__(self, rule: str, message: str) -> None:
        self.fault = Fault(rule=rule, message=message)
        super().__init__(message)


def check_step(
    simulation: Simulation, twin: Simulation, rows: Columns, *, tick: int, dt: float, rng: np.random.Generator
) -> list[Fault]:
    """Steps ``rows`` from the end of ``tick - 1`` in many ways and compares; ``rows`` stays as it is.

    Args:
        simulation: the one that has simulated the world up to here.
        twin: another instance, which has not: a plugin that remembers gives other results there.
    Returns:
        At most one fault a rule, in the order of the tests; none means that all promises hold here.
    """
    try:
        whole = step_once(simulation, rows.copy(), tick, dt)
    except BrokenPromise as broken:
        return [broken.fault]
    if not _exact(simulation):
        return []
    faults: dict[str, Fault] = {}
    tries: list[tuple[str, str, Simulation, Columns, NDArray[np.int64]]] = [
        ("repeat", "stepped a second time", simulation, rows.copy(), np.arange(len(rows))),
        ("memory", "stepped by a new instance of the plugin", twin, rows.copy(), np.arange(len(rows))),
    ]
    for rule, how, order in _companies(len(rows), rng):
        tries.append((rule, how, twin, rows.take(order), order))
    for how, laid_out in _layouts(rows):
        tries.append(("layout", how, twin, laid_out, np.arange(len(rows))))
    for rule, how, plugin, variant, order in tries:
        if rule in faults:
            continue
        try:
            message = _difference(whole, step_once(plugin, variant, tick, dt), order)
        except BrokenPromise as broken:
            faults[rule] = Fault(rule=rule, message=f"{how}: {broken.fault.message}")
            continue
        if message:
            faults[rule] = Fault(rule=rule, message=f"tick {tick}, {how}: {message}")
    return list(faults.values())


def step_once(simulation: Simulation, rows: Columns, tick: int, dt: float) -> Stepped:
    """Steps ``rows`` in place and checks what holds for every plugin, exact or not.

    Raises:
        BrokenPromise: it raised, or touched what it must not, or returned ids or numbers that can't be.
    """
    before = dict(rows.arrays)
    ids, versions = rows.id.copy(), rows.version.copy()
    try:
        result = simulation.step(rows, tick, dt)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise BrokenPromise("raises", f"step raised at tick {tick} with {len(rows)} rows: {said}") from error
    for name in before.keys() | rows.arrays.keys():
        if rows.arrays.get(name) is not before.get(name):
            raise BrokenPromise("in place", f"step replaced column {name!r}; write into it: rows.{name}[:] = ...")
    if not (np.array_equal(rows.id, ids) and np.array_equal(rows.version, versions)):
        raise BrokenPromise("identity", f"step changed id or version at tick {tick}; both belong to the shard")
    bad = np.flatnonzero(~rows.finite())
    if len(bad):
        message = f"id {ids[bad[0]]} has a position or velocity that is not finite after tick {tick}"
        raise BrokenPromise("finite", message)
    return Stepped(rows=rows, leaving=_leaving(result, ids, tick))


def check_seed(rows: Columns, again: Columns, *, schema: Schema, count: int) -> list[Fault]:
    """What holds for the rows of ``seed``; ``again`` is what the same random numbers gave a second time."""
    faults = check_new_rows(rows, schema=schema, living=np.zeros(0, np.uint64), what="seed")
    if not faults and len(rows) not in (0, count):
        faults.append(Fault(rule="seed", message=f"seed gave {len(rows)} rows where {count} were asked for"))
    if not faults and rows.pack() != again.pack():
        faults.append(
            Fault(rule="seed", message="seed gave other rows for the same random numbers; draw from rng alone")
        )
    return faults


def check_new_rows(rows: Columns, *, schema: Schema, living: U64, what: str) -> list[Fault]:
    """What holds for any rows that enter the world. ``what`` names who made them."""
    if rows.schema.descr != schema.descr:
        return [Fault(rule=what, message=f"{what} gave columns {rows.schema.descr}, not {schema.descr}")]
    if (twice := first_duplicate(rows.id)) is not None:
        return [Fault(rule=what, message=f"{what} gave id {twice} twice")]
    if len(known := np.intersect1d(rows.id, living)):
        return [Fault(rule=what, message=f"{what} gave id {known[0]}, which is in the world already")]
    if (rows.version != 1).any():
        return [Fault(rule=what, message=f"{what} gave version {rows.version.max()}; a new row's version is 1")]
    if not rows.finite().all():
        return [Fault(rule=what, message=f"{what} gave a position or velocity that is not finite")]
    return []


def same_rows(first: Columns | None, second: Columns | None) -> bool:
    """Bit for bit; None counts as no rows."""
    return (first.pack() if first is not None else b"") == (second.pack() if second is not None else b"")


def _exact(simulation: Simulation) -> bool:
    return bool(getattr(simulation, "exact", True))


def _leaving(result: Any, ids: U64, tick: int) -> U64:
    if result is None:
        return np.zeros(0, np.uint64)
    try:
        leaving = np.atleast_1d(np.asarray(result))
        if leaving.ndim != 1 or (leaving.dtype.kind not in "iu" and len(leaving)):
            raise ValueError(f"{leaving.dtype} of shape {leaving.shape}")
    except (ValueError, TypeError) as error:
        raise BrokenPromise("leaves", f"step must return ids or None, not {error}") from error
    leaving = np.sort(leaving.astype(np.uint64))
    if len(unknown := np.setdiff1d(leaving, ids)):
        raise BrokenPromise("leaves", f"step returned id {unknown[0]} at tick {tick}, which it was not given")
    if (twice := first_duplicate(leaving)) is not None:
        raise BrokenPromise("leaves", f"step returned id {twice} twice at tick {tick}")
    return leaving


def _companies(count: int, rng: np.random.Generator) -> Iterator[tuple[str, str, NDArray[np.int64]]]:
    """(rule, how, positions of the rows taken): the same rows in other orders and other company."""
    everyone = np.arange(count)
    yield "order", "with the rows in another order", rng.permutation(count)
    yield "order", "with the rows in reverse", everyone[::-1].copy()
    yield "split", "with half of the rows", np.flatnonzero(rng.random(count) < 0.5)
    start = 0
    for size in _PART_SIZES:
        yield "split", f"with {size} rows alone", everyone[start : start + size]
        start += size
    for row in rng.permutation(count)[:MAX_ALONE]:
        yield "alone", "with one row alone", np.array([row])


def _layouts(rows: Columns) -> Iterator[tuple[str, Columns]]:
    """(how, the same rows in other memory): strided, reversed, column-major and shifted from their alignment."""

    def spread(array: NDArray[Any]) -> NDArray[Any]:
        return np.zeros((len(array) * 2, *array.shape[1:]), array.dtype)[::2]

    def backwards(array: NDArray[Any]) -> NDArray[Any]:
        return np.zeros_like(array)[::-1]

    def by_column(array: NDArray[Any]) -> NDArray[Any]:
        return np.zeros(array.shape, array.dtype, order="F")

    def shifted(array: NDArray[Any]) -> NDArray[Any]:
        return np.zeros((len(array) + 1, *array.shape[1:]), array.dtype)[1:]

    makers: tuple[tuple[str, Callable[[NDArray[Any]], NDArray[Any]]], ...] = (
        ("with every second row of larger arrays", spread),
        ("with arrays that run backwards", backwards),
        ("with arrays in column-major order", by_column),
        ("with arrays that start elsewhere", shifted),
    )
    for how, make in makers:
        arrays = {}
        for name, array in rows.arrays.items():
            arrays[name] = make(array)
            arrays[name][...] = array
        yield how, Columns(rows.schema, arrays)


def _difference(whole: Stepped, other: Stepped, order: NDArray[np.int64]) -> str:
    """'' where ``other`` holds the same bits as rows ``order`` of ``whole``, else the first difference."""
    expected = whole.rows.take(order)
    for column in whole.rows.schema.columns:
        mine, theirs = _bits(expected[column.name]), _bits(other.rows[column.name])
        differing = np.argwhere(mine != theirs)
        if len(differing):
            where = tuple(differing[0])
            values = expected[column.name][where].item(), other.rows[column.name][where].item()
            return (
                f"id {expected.id[where[0]]} gets {column.name} {values[1]!r} instead of {values[0]!r}; "
                "use + - * / and np.sqrt row by row, or set exact = False"
            )
    if not np.array_equal(np.intersect1d(whole.leaving, expected.id), other.leaving):
        return f"ids {other.leaving.tolist()[:5]} leave instead of {whole.leaving.tolist()[:5]}"
    return ""


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    """As integers, so that -0.0 differs from 0.0 and NaN equals itself."""
    return np.ascontiguousarray(array).view(f"<u{array.dtype.itemsize}")
