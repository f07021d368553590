"""Despawns: rows that leave the world. They stay, and are simulated, until Redis has said so."""

from __future__ import annotations

from dataclasses import dataclass

from .authority import NEVER
from .columns import U32, U64
from .context import Context
from .manifest import AUTHORITATIVE
from .outgoing import RETRY_US
from .requests import Done
from .spawn_requests import Despawn


@dataclass(slots=True, eq=False)
class Leaving:
    """Rows of one request. A new transfer of them is out of the question."""

    ids: U64
    versions: U32
    next_try_us: int = 0


class Despawns:
    """All requests that are not answered yet."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.open: list[Leaving] = []

    def ask(self, ids: U64) -> U64:
        """Asks for those of ``ids`` that this shard owns and that are not passing. Returns these.

        A passing one is despawned by its new owner, or after a cancel.
        """
        tracker = self.context.tracker
        mask = tracker.mask_of(ids) & (tracker.states == AUTHORITATIVE) & (tracker.not_before_tick != NEVER)
        asked: U64 = tracker.rows.id[mask]
        if len(asked):
            tracker.not_before_tick[mask] = NEVER
            self.open.append(Leaving(asked, tracker.rows.version[mask]))
            self.repeat(self.context.clock.now_unix_us())
        return asked

    def repeat(self, now_us: int) -> None:
        context = self.context
        for leaving in self.open:
            if leaving.next_try_us <= now_us:
                leaving.next_try_us = NEVER
                context.request(
                    Despawn(
                        shard=context.shard,
                        epoch=context.epoch,
                        ids=leaving.ids.tobytes(),
                        versions=leaving.versions.tobytes(),
                    )
                )

    def handle_reply(self, request: Despawn, reply: Done | None) -> None:
        leaving = next((d for d in self.open if d.ids.tobytes() == request.ids), None)
        if leaving is None:
            return
        if reply is None:
            leaving.next_try_us = self.context.clock.now_unix_us() + RETRY_US
            return
        self.open.remove(leaving)
        tracker = self.context.tracker
        gone = tracker.remove(tracker.mask_of(leaving.ids))
        self.context.shadows.despawn(gone.id, gone.version, now_us=self.context.clock.now_unix_us())
        self.context.event("despawn", self.context.current_tick + 1, gone.id, gone.version)
