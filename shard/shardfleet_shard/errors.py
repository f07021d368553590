"""Every error that shardfleet raises on purpose.

ShardfleetError
├── UsageError            what a person typed or wrote is wrong (exit code 2)
│   ├── SpecError         a fleet file or a parameter: names the field
│   ├── DataFolderError   a data folder of another version or another fleet
│   └── SchemaChanged     the fleet's entities have other columns than the simulation (exit code 6)
├── StoreError            Redis
│   ├── StoreUnavailable  no answer: the request may or may not have been executed (retryable)
│   └── StoreRefused      a Redis that cannot serve (cluster mode, eviction, too old)
├── FrameError            a frame that is not well formed, too large or of another fleet
├── ShardUnavailable      no shard answers at an address (retryable)
├── SimulationError       a plugin raised, or returned rows that cannot be
├── TraceError            a trace cannot be written: the process must end, an untraced tick proves nothing
├── Superseded            a newer epoch of this shard exists: the process must end
└── InvariantError        a bug: an invariant broke; caught in main only (exit code 1)
"""

from __future__ import annotations

MISSHAPEN = (KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What comes of JSON that has other fields and types than whoever reads it expects."""


class ShardfleetError(Exception):
    """Base of all errors of the project.

    Attributes:
        code: a stable word for metrics and exit codes.
        retryable: whether the same call can succeed later without a change.
    """

    code = "error"
    retryable = False


class UsageError(ShardfleetError):
    """Wrong use: one line that says what, where and what to do. Exit code 2."""

    code = "usage"


class SpecError(UsageError):
    """A field of a fleet file is wrong. ``faults`` holds (field path, message), all at once."""

    code = "spec"

    def __init__(self, faults: list[tuple[str, str]], *, source: str = "") -> None:
        self.faults = faults
        prefix = f"{source}: " if source else ""
        super().__init__("; ".join(f"{prefix}{path}: {message}" for path, message in faults))


class DataFolderError(UsageError):
    """A data folder cannot be used: another version, another fleet, or in use."""

    code = "data-folder"


class SchemaChanged(UsageError):
    """The fleet's entities have other columns than the simulation, which has no upgrade from them."""

    code = "schema-changed"


class StoreError(ShardfleetError):
    """Redis answered with an error."""

    code = "store"


class StoreUnavailable(StoreError):
    """No answer from Redis: the request may or may not have been executed."""

    code = "store-unavailable"
    retryable = True


class StoreRefused(StoreError, UsageError):
    """This Redis cannot serve a fleet (cluster mode, maxmemory-policy, version)."""

    code = "store-refused"


class FrameError(ShardfleetError):
    """A frame is malformed, over a limit, or meant for another fleet; the link is closed.

    Attributes:
        reason: a stable word for metrics.
    """

    code = "frame"

    def __init__(self, message: str, *, reason: str = "malformed") -> None:
        super().__init__(message)
        self.reason = reason


class ShardUnavailable(ShardfleetError):
    """No shard answers at an address, or not now: asking again may help. The message names the address."""

    code = "shard-unavailable"
    retryable = True


class SimulationError(ShardfleetError):
    """A simulation plugin raised, or returned rows that break its contract."""

    code = "simulation"


class TraceError(ShardfleetError):
    """A trace file can't be made or written (names it). The process must end: an untraced tick proves nothing."""

    code = "trace"


class Superseded(ShardfleetError):
    """Redis knows a newer epoch of this shard. The process must end; its successor has the rows."""

    code = "superseded"


class InvariantError(ShardfleetError):
    """A bug. The message holds the numbers."""

    code = "invariant"
