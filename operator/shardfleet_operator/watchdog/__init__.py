"""The watchdog: judges transfers that outlived their switch, and counts the world's entities.

``judge`` and ``FindingBook`` are pure; ``Watchdog`` reads on an interval (a real Redis through ``StoreReader``) and
brings them together. It judges and reports. It changes nothing in Redis.
"""

from .audit import Finding, FindingBook, Watchdog, WatchdogStore
from .judge import (
    HANDOFF_DISCREPANCY_THRESHOLD_US,
    ManifestSummary,
    OpenTransfer,
    Verdict,
    VerdictKind,
    judge,
)
from .store import StoreReader

__all__ = [
    "HANDOFF_DISCREPANCY_THRESHOLD_US",
    "Finding",
    "FindingBook",
    "ManifestSummary",
    "OpenTransfer",
    "StoreReader",
    "Verdict",
    "VerdictKind",
    "Watchdog",
    "WatchdogStore",
    "judge",
]
