"""A shard that never comes back, and who takes over what it held: what the operator does once it has waited enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardfleet_shard.core.requests import Done, Refused
from shardfleet_shard.core.takeover_requests import TakeOver

if TYPE_CHECKING:
    from .fleet import Fleet
    from .process import Process

LOOK_US = 100_000
WITHIN_US = 12_000_000
"""After its end: the lease, the wait, and whatever keeps Redis or every taker away meanwhile."""


class Takeovers:
    """Shards whose process has ended and is not started again by itself."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._lost: dict[str, int] = {}
        """Not taken over yet -> when its process ended."""
        self.away: set[str] = set()
        """Taken over, and not started since."""

    def lost(self, process: Process) -> None:
        self._lost[process.shard] = self.fleet.now_us
        self._look(process.shard, self.fleet.now_us, wait_us=process.taken_after_us)

    def started(self, shard: str) -> None:
        """Somebody has started it all the same."""
        self._lost.pop(shard, None)
        self.away.discard(shard)

    def _look(self, shard: str, since_us: int, *, wait_us: int) -> None:
        """Every so often until it is done, or the shard is back."""
        fleet, state = self.fleet, self.fleet.redis.store.state
        if self._lost.get(shard) != since_us:
            return
        fleet.fault_until(fleet.now_us)
        if self._lives_on(shard):
            return
        if set(fleet.layout.shards) <= {shard}:
            fleet.platform.start(shard)  # the last one: somebody makes room for it
            return
        assert fleet.now_us <= since_us + WITHIN_US, f"A2: nobody takes over {shard}"
        if not fleet.redis.gone:
            state.expire(fleet.redis.store._now_ms())
            if shard not in state.leases:
                if wait_us <= 0 and self._take_over(shard):
                    return
                wait_us -= LOOK_US
        fleet.at(fleet.now_us + LOOK_US, lambda: self._look(shard, since_us, wait_us=wait_us))

    def _lives_on(self, shard: str) -> bool:
        """Whether it was a successor that ended before it was heard of, beside one that goes on under the lease."""
        epoch = self.fleet.redis.store.state.leases.get(shard, (0, 0))[0]
        for process in self.fleet.all_processes:
            is_holder = process.shard == shard and process.runtime.context.epoch == epoch
            if is_holder and not process.dead and not process.cut_off:
                del self._lost[shard]
                self.fleet.processes[shard] = process
                return True
        return False

    def _take_over(self, gone: str) -> bool:
        fleet, state = self.fleet, self.fleet.redis.store.state
        takers = [shard for shard in fleet.layout.shards if shard != gone and shard in state.leases]
        if not takers:
            return False
        taker = min(takers, key=lambda shard: (abs(_ordinal(shard) - _ordinal(gone)), shard))
        request = TakeOver(
            shard=taker, epoch=state.epochs[taker], gone=gone, gone_epoch=state.epochs.get(gone, 0),
            unix_us=fleet.now_us,
        )  # fmt: skip
        if not isinstance(fleet.redis.ask(request), Done):
            return False
        assert isinstance(fleet.redis.ask(request), Refused), "of two takeovers of one epoch one is refused"
        fleet.judge.taken_over(taker, gone)
        del self._lost[gone]
        self.away.add(gone)
        if gone in fleet.layout.shards:
            fleet.give_cells(gone, taker)
        return True


def _ordinal(shard: str) -> int:
    return int(shard.rpartition("-")[2])
