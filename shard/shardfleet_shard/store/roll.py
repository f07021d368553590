"""The roll-call's requests between their values and what the scripts take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.journal_requests import GAINS, JournalEntry
from ..core.roll_requests import Rejoin, Rolled, RollPhase, Statement
from .commands import INLINE_LIMIT_BYTES, STAGE_TTL_MS, Argument, Command
from .journal import NO_ROWS, header_of, rows_checksum
from .keys import FORMAT
from .living import to_bitmaps


def rolled(raw: Sequence[Any]) -> Rolled:
    return Rolled(phase=RollPhase(raw[0].decode()), wait_ms=int(raw[1]))


def is_staged(request: Rejoin) -> bool:
    """Whether the statements' rows go ahead of the closing script, one by one."""
    return sum(len(statement.entry.rows) for statement in request.statements) > INLINE_LIMIT_BYTES


def rejoin(r: Rejoin) -> tuple[Argument, ...]:
    world, staged = r.world, is_staged(r)
    alive = to_bitmaps([_ids(statement.entry) for statement in r.statements if statement.entry.kind in GAINS])
    arguments: list[Argument] = [
        *(FORMAT, r.call_ms, r.lease_ms, r.tick, r.ordinal, r.address),
        *(r.schema_hash, r.schema, " ".join(map(str, r.takes))),
        *(world.layout_version, world.layout, world.phase, int(world.seeded), world.origin_tick),
        *(" ".join(str(number) for rest in world.rests for number in rest), world.arrivals_through),
        *(alive.ids, alive.buckets, alive.bitmaps, alive.counts, "staged" if staged else "inline"),
    ]
    for statement in r.statements:
        arguments += _statement(statement, staged=staged)
    return tuple(arguments)


def _ids(entry: JournalEntry) -> bytes:
    """Packed rows begin with them."""
    return entry.rows[: 8 * entry.count]


def _statement(statement: Statement, *, staged: bool) -> tuple[Argument, ...]:
    entry = statement.entry
    body = entry.ids
    if entry.kind in GAINS:
        body = b"" if staged else entry.rows
    crc = rows_checksum(entry.rows) if entry.kind in GAINS else NO_ROWS
    return statement.owner, entry.id, header_of(entry), body, entry.versions, crc


def stage_statements(request: Rejoin, prefix: str) -> list[Command]:
    """Puts the rows where the closing script takes them from; none where they travel inline."""
    if not is_staged(request):
        return []
    stem = f"{prefix}stage:{request.shard}:{request.epoch}:{request.tick}:rejoin"
    return [
        ("SET", f"{stem}{number}", statement.entry.rows, "PX", STAGE_TTL_MS)
        for number, statement in enumerate(request.statements, start=1)
        if statement.entry.kind in GAINS
    ]
