"""``shardfleet check DIR``: proves A1, A2, A4 and A5 from trace files alone; docs/reference/trace.md says how."""

from .check import DEFAULT_BOUND_S, Observer, check_directory
from .report import CheckReport, EpochFigures, Violation

__all__ = ["DEFAULT_BOUND_S", "CheckReport", "EpochFigures", "Observer", "Violation", "check_directory"]
