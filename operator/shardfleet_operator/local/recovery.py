"""Which shards' processes are there and yet gone: nothing but another start brings their part of a transfer."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from shardfleet_shard.core.requests import Member

from ..plan import ProcessState
from ..platforms.local import LocalProcess


def hanging(
    wanted: Collection[str], processes: Sequence[LocalProcess], members: Sequence[Member]
) -> list[LocalProcess]:
    """Processes to be ended at once: they run, have long had no lease, and the watchdog wants their shards' recovery.

    Args:
        wanted: ``RecoveryBook.wanted``.
        members: as Redis has them now; a shard that has its lease back by then is left alone, and so is a process
            that has not announced itself yet.
    """
    lapsed = {(member.shard, member.epoch) for member in members if not member.living}
    return [
        one
        for one in processes
        if one.shard in wanted
        and one.process.state is ProcessState.RUNNING
        and one.process.epoch
        and (one.shard, one.process.epoch) in lapsed
    ]
