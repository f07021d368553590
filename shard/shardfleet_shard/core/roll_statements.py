"""What a living shard says in a roll-call: what it holds, what it took over, what it gave away, what it despawned.

Nothing is said of what is in doubt: what is not asserted by either side has not happened.
"""

from __future__ import annotations

from collections.abc import Iterator

from .columns import Columns
from .context import Context
from .journal_requests import EntryKind, JournalEntry
from .mailbox import TransferMailbox
from .manifest import MAX_CHUNK_BYTES
from .roll_requests import Statement
from .stream import EntityStream
from .transfer import Incoming, IncomingState, Outgoing, OutgoingState, TransferId


def statements_of(context: Context, mailbox: TransferMailbox, stream: EntityStream) -> tuple[Statement, ...]:
    """In bounded pieces; the order in which journals take them."""
    return (
        *_held(context),
        *_waiting(context, stream),
        *_given_away(context, mailbox),
        *_taken_over(context, mailbox),
        *_despawned(context),
    )


def _held(context: Context) -> Iterator[Statement]:
    """All rows; of those that leave, others say more."""
    rows = context.tracker.rows
    rows_per_entry = max(1, MAX_CHUNK_BYTES // rows.schema.row_size_bytes)
    for start in range(0, len(rows), rows_per_entry):
        part = rows.take(slice(start, start + rows_per_entry))
        entry = JournalEntry(
            id="",
            kind=EntryKind.HELD,
            count=len(part),
            tick=context.rows_tick + 1,
            offer_tick=context.rows_tick,
            rows=part.pack(),
        )
        yield Statement(owner=context.shard, entry=entry)


def _waiting(context: Context, stream: EntityStream) -> Iterator[Statement]:
    """Rows whose first tick has not come; Redis may still have their entry."""
    for entry, rows in stream.waiting:
        said = JournalEntry(
            id=entry.id if entry.transfer is None else "",
            kind=entry.kind if entry.transfer is None else EntryKind.RESTORE,
            count=len(rows),
            tick=entry.tick,
            offer_tick=entry.offer_tick,
            rows=rows.pack(),
        )
        yield Statement(owner=context.shard, entry=said)


def _given_away(context: Context, mailbox: TransferMailbox) -> Iterator[Statement]:
    for sequence, outgoing in mailbox.outgoing.open.items():
        if outgoing.state is OutgoingState.ACCEPTED:
            rows = context.tracker.rows_of(sequence)
            yield from _accepted(context, outgoing, rows, tick=context.rows_tick)
    for shadow in context.shadows.released:
        yield from _accepted(context, shadow.outgoing, shadow.rows, tick=shadow.tick)


def _accepted(context: Context, outgoing: Outgoing, rows: Columns, *, tick: int) -> Iterator[Statement]:
    raised = rows.with_version_raised()
    yield _in(outgoing.id, outgoing.target, outgoing.switch_tick, raised, tick=tick)
    yield _out(outgoing.id, outgoing.target, outgoing.switch_tick, raised, tick=tick)


def _taken_over(context: Context, mailbox: TransferMailbox) -> Iterator[Statement]:
    for incoming in mailbox.incoming.open.values():
        if incoming.state is IncomingState.ACCEPTED:
            rows, tick = _newest(incoming)
            yield _in(incoming.id, context.shard, incoming.switch_tick, rows, tick=tick)
            yield _out(incoming.id, context.shard, incoming.switch_tick, rows, tick=tick)
        elif incoming.state is IncomingState.ADOPTED and len(incoming.rows):
            rows, tick = _newest(incoming)
            yield _out(incoming.id, context.shard, incoming.switch_tick, rows, tick=tick)


def _newest(incoming: Incoming) -> tuple[Columns, int]:
    if incoming.final is not None:
        return incoming.final, incoming.final_tick
    return incoming.rows, incoming.offer_tick


def _in(transfer: TransferId, target: str, switch_tick: int, rows: Columns, *, tick: int) -> Statement:
    entry = JournalEntry(
        id="",
        kind=EntryKind.IN,
        transfer=transfer,
        peer=transfer.source,
        count=len(rows),
        tick=switch_tick,
        offer_tick=tick,
        rows=rows.pack(),
    )
    return Statement(owner=target, entry=entry)


def _out(transfer: TransferId, target: str, switch_tick: int, rows: Columns, *, tick: int) -> Statement:
    entry = JournalEntry(
        id="",
        kind=EntryKind.OUT,
        transfer=transfer,
        peer=target,
        count=len(rows),
        tick=switch_tick,
        offer_tick=tick,
        ids=rows.id.tobytes(),
        versions=rows.version.tobytes(),
    )
    return Statement(owner=transfer.source, entry=entry)


def _despawned(context: Context) -> Iterator[Statement]:
    ids, versions = context.shadows.all_despawned()
    if len(ids):
        entry = JournalEntry(
            id="", kind=EntryKind.DESPAWN, count=len(ids), ids=ids.tobytes(), versions=versions.tobytes()
        )
        yield Statement(owner=context.shard, entry=entry)
