"""The roll-call: how a Redis that restarted learns from living shards what it forgot. Part of core/requests.py.

It begins with the first shard that meets a Redis whose run_id is not the stored generation, and has two phases.
*Calling*, for one full lease: each living shard says what it knows, by ``Rejoin``. *Closed*: nothing changes any more;
each of them reads the same ledger, acts on it, and is ``Ready``. Once all are, the world is open again. Until then
everything that is not said here to run is answered ``Refused(CLOSED)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .journal_requests import JournalEntry
from .transfer import TransferId

MIN_CALL_MS = 2_000
"""A request that was under way when Redis went is given up after a second: only then does its shard ask again."""
READY_LIMIT_MS = 30_000
"""After calling: a shard that keeps its lease and never becomes ready holds the others up no longer than this."""


class RollPhase(StrEnum):
    CALLING = "calling"
    CLOSED = "closed"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRoll:
    """By anyone, of no shard: begins the roll-call where the stored generation is not the running one, moves it on, and
    says how far it is. Refused(GENERATION) where the caller's generation is not the running one.

    Calling ends ``call_ms`` after it began. Closed ends when every shard that rejoined is ready. It waits for another
    ``call_ms`` for one that rejoined without a lease, for others while they keep theirs, and no longer than
    ``READY_LIMIT_MS``: whoever is not waited for gets its epoch raised, so that it can only recover.

    Answer: ``Rolled``.
    """

    call_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    phase: RollPhase
    wait_ms: int
    """Until calling ends; 0 in the other phases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """An entry for the journal of ``owner``; its id '' unless it stood there before, under that id."""

    owner: str
    entry: JournalEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldKnown:
    """What a shard knows of the world as such; stored where Redis knows nothing, or less."""

    layout_version: int = 0
    layout: str = ""
    phase: str = "run"
    seeded: bool = False
    origin_tick: int = 0
    rests: tuple[tuple[int, int], ...] = ()
    arrivals_through: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejoin:
    """A living shard says what it knows; begins the roll-call where need be. Once an epoch and roll-call.

    In one step: epoch (a lower one's decided sequences go), member, schema (in ``schemas``; the newest one where there
    is none, or where ``takes`` names that) and lease are stored; entries of kind ``held`` that it said earlier go;
    ``statements`` become journal entries: one that stands there under its own id and kind is left out, and so is one of
    a transfer that Redis knows as accepted or decided, or that was said already. Ids with rows among them are alive
    from now on, unless they were despawned lately; ids of a ``despawn`` are not. Counters: spawned, despawned, by what
    changes. Large statements are staged one by one and closed by the one script.

    Answer ``Done(OK)``, also where this epoch has said it before. Refused: EPOCH (the stored one is higher), GENERATION
    (the caller's is not the running one), CLOSED (it comes too late).
    """

    shard: str
    epoch: int
    tick: int
    """Tells attempts apart: their statements may differ."""
    ordinal: int
    address: str
    schema_hash: int
    schema: str
    takes: tuple[int, ...] = ()
    lease_ms: int
    """0: its lease has run out, so it gets none before the world is open."""
    call_ms: int
    world: WorldKnown
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A shard that rejoined has read the ledger and acted on it, while nothing changed.

    In one step: records in state started that name it are canceled; of accepted ones that are not among ``open`` it
    leaves the holders as source, joins them as target, and {target} alone clears; of its epoch's sequences through
    ``sequence`` all without a record are decided. Counters: canceled, completed.

    Answer ``Done(OK)``, also once the world is open. Refused(CLOSED) while the roll is still being called.
    """

    shard: str
    epoch: int
    sequence: int
    open: tuple[TransferId, ...]
