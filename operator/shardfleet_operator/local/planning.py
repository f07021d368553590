"""What the fleet of one machine needs next: its shards run, each started again when it ends.

Only where one cannot run is it more than that: then a neighbour takes it over, and the plan is that of a fleet whose
size may change, until there are as many shards as there were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.requests import Observed
from shardfleet_shard.core.stats import ShardStats

from ..plan import Absences, Action, Desired, FailFleet, Process, Surroundings, plan, plan_elastic, splits_next
from ..plan import Observed as PlanObserved
from ..plan.takeover import TAKE_OVER_AFTER_US
from ..surroundings import claims_of, loads_of, read_owned, read_positions
from .world import World, layout_of


class LocalPlanner:
    """Args: ``figures_of``: a shard's newest (epoch, figures)."""

    def __init__(self, config: FleetConfig, world: World, figures_of: Callable[[str], tuple[int, ShardStats]]) -> None:
        self._desired = Desired(config=config)
        self._world = world
        self._figures_of = figures_of
        self._absences = Absences()

    async def next_actions(
        self, observed: Observed, processes: Sequence[Process], *, failed: str, now_us: int
    ) -> list[Action]:
        """Raises ``StoreUnavailable``: there was more to be read, and no answer."""
        desired, layout = self._desired, layout_of(observed)
        seen = PlanObserved(
            layout=layout, processes=tuple(processes), members=observed.members, phase=observed.phase, failed=failed
        )
        absent_us = self._absences.see(observed.members, now_us)
        actions = plan(desired, seen, now_us)
        is_whole = layout is None or len(layout.shards) == desired.replicas
        waits = all(now_us - since_us < TAKE_OVER_AFTER_US for since_us in absent_us.values())
        if layout is None or (is_whole and waits) or any(isinstance(action, FailFleet) for action in actions):
            return actions
        stats = {shard: self._figures_of(shard) for shard in layout.shards}
        around = Surroundings(
            claims=claims_of(observed),
            owned=await read_owned(self._world, layout, stats),
            loads=loads_of(layout, stats),
            absent_us=absent_us,
        )
        if splits_next(desired, seen, around):
            around = replace(around, positions=await read_positions(self._world, layout))
        return plan_elastic(desired, seen, around, now_us)
