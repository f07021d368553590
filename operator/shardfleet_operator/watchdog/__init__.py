"""The watchdog: judges transfers that outlived their switch, and counts the world's entities.

``judge`` and ``FindingBook`` are pure; ``Watchdog`` reads the store on an interval and brings them together. It
judges and reports. It changes nothing in Redis.
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

__all__ = [
    "HANDOFF_DISCREPANCY_THRESHOLD_US",
    "Finding",
    "FindingBook",
    "ManifestSummary",
    "OpenTransfer",
    "Verdict",
    "VerdictKind",
    "Watchdog",
    "WatchdogStore",
    "judge",
]
