"""What a platform is to the rest: something on which shard processes run. The plan decides, a platform carries out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardProcess:
    """One shard's process as the platform sees it: the running one, or the last that ended.

    Attributes:
        starts: how often it was started in this run of the platform.
        since_us: Unix microseconds at which it started, or ended.
        exit_code: None while it runs; negative: the number of the signal that ended it.
        end_confirmed: Redis has been told that it ended, so its lease no longer holds up its successor.
    """

    shard: str
    ordinal: int
    pid: int
    starts: int
    since_us: int
    exit_code: int | None = None
    end_confirmed: bool = False

    @property
    def running(self) -> bool:
        return self.exit_code is None


class Platform(Protocol):
    """Starting and stopping return once the platform has taken the order, not once it is carried out."""

    def observe(self) -> Sequence[ShardProcess]:
        """Every shard that was ever started here, sorted by ordinal."""

    async def start_shard(self, ordinal: int) -> None:
        """Starts a process unless one runs. A predecessor's end is told to Redis first.

        Raises:
            StoreError: Redis could not be told; nothing was started.
        """

    async def stop_shard(self, ordinal: int) -> None:
        """Tells the shard to end in order: finish its transfers, publish, resign."""

    async def confirm_ended(self, ordinal: int) -> None:
        """Tells Redis that the shard's process has ended. Only ever after the platform has seen it end.

        Raises:
            StoreError: Redis could not be told; call again.
        """
