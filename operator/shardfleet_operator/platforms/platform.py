"""What a platform is to the rest: something on which shard processes run. The plan decides, ``perform`` carries out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shardfleet_shard.core.layout import Layout

from ..plan import Action, ConfirmEnded, FailFleet, Process, RestartShard, StartShard, StopShard, Wait, WriteLayout


class Platform(Protocol):
    """Starting and stopping return once the platform has taken the order, not once it is carried out."""

    def observe(self) -> Sequence[Process]:
        """The newest process of every shard that was ever started here, sorted by ordinal."""
        ...

    async def start_shard(self, ordinal: int, *, restarts: int = 0) -> None:
        """Starts a process unless one runs. ``restarts`` is kept and shown by ``observe``."""
        ...

    async def stop_shard(self, ordinal: int) -> None:
        """Tells the shard to end in order: finish its transfers, publish, resign."""
        ...

    async def confirm_ended(self, shard: str, epoch: int) -> None:
        """Tells Redis that the shard's process of this epoch has ended, which the platform has seen.

        Raises:
            StoreError: Redis could not be told; call again.
            InvariantError: the process runs.
        """
        ...


class LayoutWriter(Protocol):
    """The store's part in a plan."""

    async def write_layout(self, layout: Layout) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """What ``perform`` could not do itself.

    Attributes:
        failed: why the fleet was given up; '' where it was not.
        look_again_us: Unix microseconds before which nothing is due; None: only a change can make something due.
    """

    failed: str = ""
    look_again_us: int | None = None


async def perform(
    actions: Sequence[Action],
    platform: Platform,
    layouts: LayoutWriter,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Performed:
    """Carries out a plan, in order.

    Raises:
        StoreError: at the first action that fails; what is left comes again with the next plan.
    """
    failed, look_again_us = "", None
    for action in actions:
        match action:
            case WriteLayout(layout=layout):
                await layouts.write_layout(layout)
            case StartShard(ordinal=ordinal):
                await platform.start_shard(ordinal)
            case RestartShard(shard=shard, ordinal=ordinal, restarts=restarts, reason=reason):
                say(f"{shard} is started again: {reason}")
                await platform.start_shard(ordinal, restarts=restarts)
            case StopShard(ordinal=ordinal):
                await platform.stop_shard(ordinal)
            case ConfirmEnded(shard=shard, epoch=epoch):
                await platform.confirm_ended(shard, epoch)
            case FailFleet(reason=reason):
                failed = reason
            case Wait(until_us=until_us):
                look_again_us = until_us
    return Performed(failed=failed, look_again_us=look_again_us)
