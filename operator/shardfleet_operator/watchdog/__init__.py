"""The watchdog: judges transfers that outlived their switch, repairs them, and counts the world's entities.

``judge``, ``FindingBook``, ``RecoveryBook`` and ``FaultBook`` are pure; ``Watchdog`` reads on an interval (a real Redis
through ``RepairingStore``) and brings them together. Its repairs are compare-and-set: two watchdogs do no harm.
"""

from .audit import CONVERGENCE_US, Finding, FindingBook, Watchdog, WatchdogCounts, WatchdogStore
from .bounds import Fault, FaultBook, counted_age_us
from .judge import (
    HANDOFF_DISCREPANCY_THRESHOLD_US,
    ManifestSummary,
    OpenTransfer,
    Verdict,
    VerdictKind,
    judge,
)
from .repairs import RecoveryBook, is_repairable, waits_for
from .store import RepairingStore, StoreReader

__all__ = [
    "CONVERGENCE_US",
    "HANDOFF_DISCREPANCY_THRESHOLD_US",
    "Fault",
    "FaultBook",
    "Finding",
    "FindingBook",
    "ManifestSummary",
    "OpenTransfer",
    "RecoveryBook",
    "RepairingStore",
    "StoreReader",
    "Verdict",
    "VerdictKind",
    "Watchdog",
    "WatchdogCounts",
    "WatchdogStore",
    "counted_age_us",
    "is_repairable",
    "judge",
    "waits_for",
]
