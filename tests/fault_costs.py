"""What each fault of the protocol's table cost, into one file: tests on one machine and on a cluster both add to it."""

from __future__ import annotations

import json
import os
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "build" / "fault-costs.json"
ONE_MACHINE = "one machine"
CLUSTER = "cluster"


def note(row: str, where: str, test: str, **figures: float | None) -> None:
    """The newest figures of a test take the place of its former ones.

    Args:
        row: of the table "What each fault may cost", its first words.
        where: ``ONE_MACHINE`` or ``CLUSTER``.
        figures: units last in their names; None: nothing was measured.
    """
    costs = json.loads(FILE.read_text()) if FILE.exists() else {}
    costs.setdefault(row, {}).setdefault(where, {})[test] = {
        name: round(value, 2) for name, value in figures.items() if value is not None
    }
    FILE.parent.mkdir(parents=True, exist_ok=True)
    written = FILE.with_suffix(f".{os.getpid()}")  # as a whole, for another run may read it meanwhile
    written.write_text(json.dumps(costs, indent=1, sort_keys=True) + "\n")
    written.replace(FILE)
