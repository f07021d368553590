"""What the runtime says beside its figures: transfers that did not go as planned, records that are damaged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ..core.context import TransferNote
from ..core.damage import DamageReport

log = logging.getLogger(__name__)

MOST = 20
WINDOW_S = 10.0
"""``MOST`` lines in so long: where Redis is away, every border has some each tick."""


class TransferLog:
    """A line for each transfer that did not go as planned, and no flood of them.

    Args:
        now_s: any clock that only goes forward.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._since_s = now_s()
        self._written = 0
        self._left_out = 0

    def write(self, notes: Sequence[TransferNote]) -> None:
        now_s = self._now_s()
        if now_s - self._since_s >= WINDOW_S:
            if self._left_out:
                log.info("%d more transfers were canceled, rejected or frozen", self._left_out)
            self._since_s, self._written, self._left_out = now_s, 0, 0
        for note in notes:
            if self._written >= MOST:
                self._left_out += 1
                continue
            self._written += 1
            log.info(
                "transfer %s",
                note.what,
                extra={"transfer": str(note.transfer), "peer": note.peer, "entities": note.entities},
            )


def log_damage(report: DamageReport, prefix: str) -> None:
    """One line for people, with the keys of Redis in full; the ids that it has no room for come in further ones."""
    log.error("%s", report.words(prefix))
    for part in report.further():
        log.error("not restored either: %s", part)
