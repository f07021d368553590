"""The watchdog: judges transfers that outlived their switch, and counts the world's entities.

``judge``, ``FindingBook`` and ``FaultBook`` are pure; ``Watchdog`` reads on an interval (a real Redis through
``StoreReader``) and brings them together. It judges and reports. It changes nothing in Redis.
"""

from .audit import CONVERGENCE_US, Finding, FindingBook, Watchdog, WatchdogStore
from .bounds import Fault, FaultBook, counted_age_us
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
    "CONVERGENCE_US",
    "HANDOFF_DISCREPANCY_THRESHOLD_US",
    "Fault",
    "FaultBook",
    "Finding",
    "FindingBook",
    "ManifestSummary",
    "OpenTransfer",
    "StoreReader",
    "Verdict",
    "VerdictKind",
    "Watchdog",
    "WatchdogStore",
    "counted_age_us",
    "judge",
]
