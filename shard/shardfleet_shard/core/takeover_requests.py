"""How a living shard takes over what a dead one held; kept like requests.py, of which this is a part.

What the dead shard held goes under an *alias*, ``shard@epoch``: its manifest and its journal by another name, so that
no script copies a row. One ``takeover`` entry in the taker's journal names it. Until the taker's own manifest contains
the rows, they are read there, and count as the taker's at a version above.
"""

from __future__ import annotations

from dataclasses import dataclass

ALIAS_MARK = "@"
"""No shard's name has it."""


def alias_of(shard: str, epoch: int) -> str:
    """``epoch``: the one that the takeover raised ``shard`` to, so that each takeover has an alias of its own."""
    return f"{shard}{ALIAS_MARK}{epoch}"


def is_alias(name: str) -> bool:
    return ALIAS_MARK in name


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver:
    """By the operator, for ``shard``, which lives under ``epoch``: it takes over what ``gone`` held.

    Compare-and-set on the epoch of ``gone``, so that of this, of another taker's and of a RECOVER one comes first. In
    one step: the epoch of ``gone`` raised to ``max(stored + 1, unix_us)``, its decided sequences, claims and
    membership removed; for every active record: started and ``gone`` is source or target -> canceled; accepted and
    ``gone`` is the target -> ``shard`` is, under its epoch, and ``gone`` leaves the holders (it may have said ADOPTED);
    accepted and ``gone`` is the source -> it leaves the holders, and {target} alone clears as in RELEASED. Manifest and
    journal of ``gone``, where it has any, go under the alias, which counts among the shards that ever were; a
    ``takeover`` entry (peer: the alias) is appended to the journal of ``shard``.

    Answer: ``Done(OK)``, or ``Refused``: HELD where ``shard`` has no lease under ``epoch``, or ``gone`` has one
    (``wait_ms``), OLDER where the epoch of ``gone`` is another (``detail``), UNCLAIMED where ``shard`` could not read
    rows of ``gone``: they are of another schema, and its own is not the newest.
    """

    shard: str
    epoch: int
    gone: str
    gone_epoch: int
    unix_us: int
