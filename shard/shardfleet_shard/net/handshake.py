"""May these two talk? Pure: Hello against Hello."""

from __future__ import annotations

from ..core.frames import Hello


def find_objection(mine: Hello, theirs: Hello, *, expected: str | None, names: frozenset[str] | None) -> str | None:
    """Why a link must not be, in one line; None where nothing speaks against it.

    Args:
        mine, theirs: both Hellos.
        expected: the shard that was dialed; None on the side that was called.
        names: names in the peer's certificate; None without TLS.
    """
    if theirs.fleet != mine.fleet:
        return f"fleet {theirs.fleet!r} is not {mine.fleet!r}"
    if theirs.shard == mine.shard:
        return f"both sides are shard {mine.shard!r}"
    if expected is not None and theirs.shard != expected:
        return f"shard {theirs.shard!r} answers where {expected!r} was expected"
    if names is not None and theirs.shard not in names:
        return f"the certificate names {', '.join(sorted(names)) or 'nobody'}, not {theirs.shard!r}"
    # N talks to N-1; which of the two is newer is not for this side to say.
    if abs(theirs.protocol_version - mine.protocol_version) > 1 or theirs.protocol_version < 1:
        return f"protocol version {theirs.protocol_version} does not talk to {mine.protocol_version}"
    if theirs.generation != mine.generation:
        return f"generation {theirs.generation!r} is not {mine.generation!r}"
    # In a roll to other columns one side takes the other's rows; which way they may go is for the planner to keep.
    if not mine.takes(theirs.schema_hash) and not theirs.takes(mine.schema_hash):
        return f"schema hash {theirs.schema_hash:08x} is not {mine.schema_hash:08x}: the columns differ"
    return None


def negotiated_version(mine: Hello, theirs: Hello) -> int:
    """The protocol version that both sides speak: the older one's."""
    return min(mine.protocol_version, theirs.protocol_version)


def find_misfit(mine: Hello, theirs: Hello, *, source: str, frame_kind: str, epoch: int | None) -> str | None:
    """Why a transfer's frame must not come over this link; None where it may.

    Offers and finals are the source's to send, answers come back to it, and an offer is of the epoch that said Hello.

    Args:
        source, epoch: of the frame's transfer; ``epoch`` None where it does not matter.
        frame_kind: 'offer', 'final' or 'answer'.
    """
    sender = mine.shard if frame_kind == "answer" else theirs.shard
    if source != sender:
        return f"{frame_kind} for a transfer of {source!r} over the link to {theirs.shard!r}"
    if epoch is not None and epoch != theirs.epoch:
        return f"{frame_kind} of epoch {epoch} over a link of epoch {theirs.epoch}"
    return None
