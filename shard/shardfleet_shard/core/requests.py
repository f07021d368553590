"""What a shard asks of Redis, as plain values, and what Redis answers.

Each request is one Lua script under store/scripts/ (atomic, idempotent, O(1) in entities: ids and rows travel as
packed bytes). store/memory.py executes the same requests on dictionaries for the simulation and the tests. The
docstrings here are the specification of both.

Every request except ``Join``, ``Recover`` and the reads carries the actor's shard and epoch and is answered with
``Refused`` unless the generation in Redis (``meta.generation``) equals both Redis' run_id and the joined
generation (GENERATION; ``detail`` is the running one), no roll-call goes on (CLOSED), and the actor's epoch is the
stored one. No answer at all (connection lost, timed out) is ``None`` at the runtime: the request may or may not have
been executed, now or later, and several times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from .census_requests import RemoveCopy, RestoreEntity
from .journal_requests import Entries, FleetRecords, Publish, ReadEntries, ReadFleet, Tail
from .repair_requests import Overdue, ReadOverdue, Repair
from .roll_requests import CallRoll, Ready, Rejoin, Rolled
from .spawn_requests import Arrive, Despawn, Seed, Spawn
from .takeover_requests import TakeOver
from .transfer import TransferId


class RefusedReason(StrEnum):
    EPOCH = "epoch"
    """The stored epoch is another: a successor exists (higher), or Redis forgot (lower or none)."""
    GENERATION = "generation"
    """Redis restarted or was replaced since the caller joined."""
    HELD = "held"
    """Someone else's lease or claim stands; ``detail`` says whose, ``wait_ms`` for how long."""
    LAYOUT = "layout"
    """The layout has another version than the caller's."""
    OLDER = "older"
    """A manifest that is not above the stored (epoch, tick)."""
    UNCLAIMED = "unclaimed"
    """No living shard that could read the rows claims the cell; ``detail`` is its path. A shard of a former schema
    reads rows of its own alone, one of the newest (``meta.schema``) everybody's."""
    DUPLICATE = "duplicate"
    """An id that is alive already, or was despawned in the last 60 s, or longer ago with the despawn still in a
    journal (its shard is down); ``detail`` is the id."""
    NOT_OWNER = "not owner"
    """The actor does not hold the election."""
    BUSY = "busy"
    """RESIGN: the journal has an unapplied ``in``, or a record names the shard."""
    SEEDED = "seeded"
    """The world has its seed already."""
    CLOSED = "closed"
    """A roll-call goes on (core/roll_requests.py); ``detail`` is its phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing was changed."""

    reason: RefusedReason
    detail: str = ""
    wait_ms: int = 0


class Outcome(StrEnum):
    STARTED = "started"
    ACCEPTED = "accepted"
    CANCELED = "canceled"
    REJECTED = "rejected"
    DECIDED = "decided"
    """The record is gone and its sequence is decided: for a side in doubt that means canceled or rejected."""
    NOT_YET = "not yet"
    ADOPTED = "adopted"
    RELEASED = "released"
    CLEARED = "cleared"
    OK = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The script ran. ``reason`` explains a rejection."""

    outcome: Outcome
    reason: str = ""


# --- identity, lease, claims -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Reads the generation.

    Answer: ``Joined``. The stored and the running one differ after a restart: only the operator's
    ``Reopen`` (all shards' leases have ended) or the roll-call may bring them together.

    A caller with a schema asks at the same time whether the fleet's entities fit it, where the two generations are
    one and no roll-call goes on: schemas that nothing has any more (no living member, no manifest with rows) are
    forgotten; where the caller takes all that are left, its own becomes the newest one, ``meta.schema``, and is added
    to ``schemas``.
    """

    schema_hash: int = 0
    """0: the caller simulates nothing."""
    founds: bool = False
    """Where there is no generation, a world begins: Redis' run_id is stored. Only for who knows that no shard of this
    fleet lives: with living ones it is a Redis that forgot, and theirs to call the roll."""
    schema: str = ""
    """Its columns as JSON; see core/schemas.py."""
    takes: tuple[int, ...] = ()
    """Former schemas whose rows the caller can upgrade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    generation: str
    """Redis' own run_id now."""
    stored: str
    """'' where there is none."""
    misfit: str = ""
    """A schema of the fleet, as JSON, whose rows the caller does not take (of several the lowest hash); '' for none.
    Nothing was changed then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopen:
    """By the operator alone, on a cold start: stored generation := run_id, if no shard's lease exists. A roll-call of
    another generation ends with it.

    Answer: ``Done(OK)`` or ``Refused(HELD)`` (``wait_ms``: the longest lease left).
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover:
    """Fences the shard's former process and starts a new epoch: ``max(stored + 1, unix_us)``.

    In one step: epoch raised; decided sets of old epochs deleted; the shard's claims removed; for every active
    record: state started and source or target is the shard -> canceled (record, holders deleted, sequence decided);
    accepted and target is the shard -> its target_epoch becomes the new one; accepted and source is the shard ->
    the shard leaves the holders, and {target} alone clears as in RELEASED. ``members[shard]`` := address, ordinal
    and epoch; ``schema_of[shard]`` := schema_hash; the mark of a RESIGN goes. The journal and the manifest stay.
    Refused only by GENERATION and CLOSED.

    Answer: ``Recovered``.
    """

    shard: str
    ordinal: int
    address: str
    unix_us: int
    schema_hash: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    epoch: int
    lease_left_ms: int
    """What the former process' lease still has; 0 where there is none (never was, ran out, resigned, ended)."""
    accepted_incoming: tuple[TransferId, ...] = ()
    """Accepted records whose target is the shard, handed to the new epoch: it must adopt each and say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew:
    """Sets the lease to ``ttl_ms``. Refused(HELD, wait_ms) while an older epoch's lease stands, or after RESIGN.

    Runs in a roll-call too, where the lease stands: Refused(CLOSED) otherwise.
    """

    shard: str
    epoch: int
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """By the platform, after it has seen the process end (waitpid, kubelet): deletes the shard's lease.

    Only where the lease is of that very ``epoch`` (0: whatever it is): an older process may live on unseen, and its
    lease must then run out. Answer: ``Done(OK)``.
    """

    shard: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The shard claims exactly ``cells`` (paths) under its epoch; claims on other cells are given up.

    Refused(LAYOUT) unless ``layout_version`` is the stored one (an empty ``cells`` is always allowed), HELD where
    another shard's claim of that path stands and that shard's epoch is current. Answer: ``Done(OK)``.
    """

    shard: str
    epoch: int
    layout_version: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resign:
    """The shard ends in order: lease and claims deleted, ``members`` and ``schema_of`` entries removed, epoch marked
    as resigned, schemas that nothing has any more forgotten (as in ``Join``; the one that is left is the newest).

    Refused(BUSY) while an active record names the shard, or its journal has an entry of ``BRINGS`` after
    the position of its last manifest. Manifest and journal stay: a resumed world starts from them. Executed again it is
    ``Done(OK)``, whatever names the shard by then: a successor may run.
    """

    shard: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observe:
    """Reads what a shard must know of the fleet. Answer: ``Observed``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    shard: str
    ordinal: int
    epoch: int
    address: str
    living: bool
    """Its lease exists under this epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    generation: str
    layout: str
    """JSON of the layout, or ''."""
    members: tuple[Member, ...]
    """Sorted by ordinal."""
    claims: Mapping[str, tuple[str, int]]
    """Cell path -> (shard, epoch)."""
    owner: tuple[str, int]
    """(shard, epoch) that holds the election, or ('', 0)."""
    phase: str
    """'run', or 'settle': no new transfers, finish and resign."""
    origin_tick: int
    """Grid tick at which the world's own tick 0 lies; 0 before seeding."""
    arrivals_through: int
    """World tick up to which arrivals have been spawned; -1 before the first."""
    seeded: bool
    rests: tuple[tuple[int, int], ...] = ()
    """(grid tick from which a world that rested went on, its origin tick until then), ascending."""


# --- a transfer ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Source: record in state started, holders {source}, active index at transfer_time_us.

    Answer: ``Done``: STARTED (new, or there already and still started), ACCEPTED (there and accepted), DECIDED
    (this sequence was canceled, rejected or cleared before: nothing is brought back). Counters: started.
    """

    shard: str
    epoch: int
    transfer: TransferId
    target: str
    target_epoch: int
    cell: str
    transfer_time_us: int
    switch_tick: int
    count: int
    ids: bytes
    versions: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Target: started -> accepted; ``in`` (rows) to the target's journal, ``out`` (ids, versions) to the source's.

    Answer ``Done``: ACCEPTED (now, or before under this very target epoch); NOT_YET (no record, sequence not
    decided, the source's stored epoch is the transfer's); DECIDED (sequence decided, or the source's epoch is not
    current any more); REJECTED with a reason (the record is there but its target or target_epoch is not the actor,
    or the actor does not claim ``cell`` under its epoch: record deleted, sequence decided, counters: rejected).
    Needs both epochs current. ``versions`` in ``rows`` are already the target's.
    """

    shard: str
    epoch: int
    transfer: TransferId
    cell: str
    switch_tick: int
    offer_tick: int
    count: int
    rows: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Target: started -> rejected. Of an unknown sequence it decides it, so a late BEGIN finds it decided.

    Answer ``Done``: REJECTED, or ACCEPTED where it was accepted before (nothing changes then).
    """

    shard: str
    epoch: int
    transfer: TransferId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Source: started -> canceled. Of an unknown sequence it decides it. Counters: canceled (of a record).

    Answer ``Done``: CANCELED (also where the sequence was decided before), or ACCEPTED (nothing changes).
    """

    shard: str
    epoch: int
    transfer: TransferId


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """Target: holders + target. {target} alone -> record, holders, index entry deleted, sequence decided, counters:
    completed. Answer ``Done``: ADOPTED, or CLEARED (now, or no record any more). Only records in state accepted."""

    shard: str
    epoch: int
    transfer: TransferId


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Source: holders - source; clears as ``Adopted`` does. Answer ``Done``: RELEASED, or CLEARED."""

    shard: str
    epoch: int
    transfer: TransferId


# --- leased keys ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Elect:
    """Takes or renews the election for ``ttl_ms``: the holder keeps it while it lives; a free one goes to the living
    member with the lowest ordinal, one of a former schema first: what it spawns all can read. Answer: ``Elected``
    (whoever holds it now, or ('', 0))."""

    shard: str
    epoch: int
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Elected:
    shard: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLease:
    """The pair's lease: taken where free, renewed where the actor's, else Refused(HELD, detail=holder).

    ``ttl_ms`` 0 gives it up. The key comes from the sorted pair. Runs in a roll-call too.
    """

    shard: str
    epoch: int
    peer: str
    ttl_ms: int


Request = (
    Join | Reopen | Recover | Renew | Ended | Claim | Resign | Observe | Begin | Accept | Reject | Cancel | Adopted
    | Released | Publish | Tail | ReadEntries | ReadFleet | Spawn | Seed | Arrive | Despawn | Elect | LinkLease
    | Repair | ReadOverdue | RestoreEntity | RemoveCopy | CallRoll | Rejoin | Ready | TakeOver
)  # fmt: skip
Reply = Refused | Done | Joined | Recovered | Observed | Entries | FleetRecords | Elected | Overdue | Rolled
