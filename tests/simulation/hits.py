"""What a run's faults hit: how often each kind struck, and in which states the transfers were that it struck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from shardfleet_shard.core.transfer import IncomingState, OutgoingState

if TYPE_CHECKING:
    from .fleet import Fleet
    from .process import Process

STATES = (
    *(f"source {state}" for state in OutgoingState if state not in (OutgoingState.KEPT, OutgoingState.GONE)),
    *(f"target {state}" for state in IncomingState if state not in (IncomingState.REFUSED, IncomingState.DONE)),
)
"""Of open transfers, as each side knows them; the four ends are no states that a fault could hit."""


def states_of(process: Process, *, peer: str = "") -> set[str]:
    """States of the open transfers of ``process``, or of those alone that it has with ``peer``."""
    mailbox = process.runtime.mailbox
    states = {f"source {out.state}" for out in mailbox.outgoing.open.values() if peer in ("", out.target)}
    states.update(f"target {inc.state}" for inc in mailbox.incoming.open.values() if peer in ("", inc.id.source))
    return states


class Hits:
    """Counted when a fault takes effect, not when it was planned."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.kinds: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        """(state, kind)"""

    def strike(self, kind: str, shards: Sequence[str]) -> None:
        """``shards``: one whose every transfer is concerned, two that are concerned with each other; none: all."""
        self.kinds[kind] += 1
        self._fleet.note("fault", kind, *shards)
        processes = self._fleet.processes
        states: set[str] = set()
        if len(shards) == 2:
            for mine, peer in ((shards[0], shards[1]), (shards[1], shards[0])):
                if mine in processes:
                    states |= states_of(processes[mine], peer=peer)
        else:
            for shard in shards or processes:
                if shard in processes:
                    states |= states_of(processes[shard])
        self.add(states, kind)

    def add(self, states: Iterable[str], kind: str) -> None:
        self.pairs.update((state, kind) for state in states)
