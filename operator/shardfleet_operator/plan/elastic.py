"""More shards, fewer shards, other pods: ``plan_elastic`` changes the layout and starts and ends shards for it. Pure.

Everything is the same few moves. A cell is given to a newcomer by cutting one in two (more shards) or by handing it
over whole (a shard that leaves); two sibling cells become one (fewer shards). The shard that has lost its cell hands
its entities over by ordinary handoffs, and is ended once it has none. One layout change at a time, and only when the
former one is carried out.

Rules that always hold: a shard that may still own something is never ended, and is run again if it ended by itself;
no cell is given to a shard that does not live; a running shard that stays keeps its cell. Of a shard that is given up
(takeover.py) nothing is left to own: another one takes that over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from shardfleet_shard.core.columns import F64
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.requests import Member

from .layout import CellLoad, choose_merge, choose_split, merge, reassign, split
from .plan import (
    LOOK_AGAIN_US,
    Action,
    Desired,
    Observed,
    Process,
    ProcessState,
    StopShard,
    Wait,
    WriteLayout,
    drive,
    newest,
    ordinal_of,
    plan,
    shard_name,
)
from .takeover import HOPELESS_RESTARTS, TakeOver, give_away, given_up, next_look_us, taker_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What only a fleet that can change its size needs to know.

    Attributes:
        leaving: shards whose pods are on nodes that are about to go (cordoned, or marked for removal).
        outdated: shards whose pods were made from an older spec.
        owned: entities by shard, open journal entries counted in; a shard that is not in it is not known of. Read
            after ``claims``.
        claims: cell path -> shard, of shards that live.
        loads: by cell path.
        positions: by cell path, (n, dimensions); needed only where ``splits_next`` says so.
        max_surge: leaving and outdated shards that are replaced at a time.
        absent_us: shard -> since when it has had no lease, Unix microseconds.
        cannot_run: shards whose process is known not to run soon: no node takes it, or it ends at once each time.
        stranded: shards whose process is where nobody hears of it: its node is down or gone.
    """

    leaving: frozenset[str] = frozenset()
    outdated: frozenset[str] = frozenset()
    owned: Mapping[str, int] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    loads: Mapping[str, CellLoad] = field(default_factory=dict)
    positions: Mapping[str, F64] = field(default_factory=dict)
    max_surge: int = 1
    absent_us: Mapping[str, int] = field(default_factory=dict)
    cannot_run: frozenset[str] = frozenset()
    stranded: frozenset[str] = frozenset()


def plan_elastic(desired: Desired, observed: Observed, around: Surroundings, now_us: int) -> list[Action]:
    """What to do now, in this order. Like ``plan``, for fleets whose size and pods may change."""
    layout = observed.layout
    strangers = layout is not None and any(ordinal_of(shard, desired.name) is None for shard in layout.shards)
    if layout is None or strangers or not desired.running or observed.phase != "run" or observed.failed:
        return plan(desired, observed, now_us)
    view = _View.of(desired, observed, around, layout)
    takeovers = view.takeovers(now_us)
    change = view.without(takeovers) or view.next_layout()
    keep = set(view.here) | set(view.newcomers) | view.owners
    actions: list[Action] = [WriteLayout(layout=change)] if change is not None else []
    actions += takeovers
    if change is not None:
        keep |= set(change.shards)
    actions += drive({shard: ordinal_of(shard, desired.name) or 0 for shard in keep}, observed, now_us)
    for process in view.processes.values():
        is_over = process.state is ProcessState.ENDED and process.shard not in view.living
        if is_over and process.shard not in keep:
            actions.append(StopShard(shard=process.shard, ordinal=process.ordinal))  # so that nothing is left of it
    if change is None and (view.is_changing or takeovers):
        actions.append(Wait(until_us=now_us + LOOK_AGAIN_US))
    elif (look_us := next_look_us(around.absent_us, now_us)) is not None:
        actions.append(Wait(until_us=look_us))
    return actions


def splits_next(desired: Desired, observed: Observed, around: Surroundings) -> bool:
    """Whether ``plan_elastic`` is about to cut a cell, so that the entities' positions are worth reading."""
    layout = observed.layout
    if layout is None or not desired.running or observed.phase != "run":
        return False
    change = _View.of(desired, observed, around, layout).next_layout()
    return change is not None and len(change.cells) > len(layout.cells)


def is_changing(desired: Desired, observed: Observed, around: Surroundings) -> bool:
    """Whether the fleet is on its way to another size, or to other pods."""
    return observed.layout is not None and _View.of(desired, observed, around, observed.layout).is_changing


@dataclass(frozen=True)
class _View:
    """The observation, sorted out; each answer is worked out once, for with a thousand shards every look counts."""

    desired: Desired
    around: Surroundings
    layout: Layout
    processes: Mapping[str, Process]
    members: Mapping[str, Member]

    @classmethod
    def of(cls, desired: Desired, observed: Observed, around: Surroundings, layout: Layout) -> _View:
        members = {member.shard: member for member in observed.members}
        return cls(desired, around, layout, newest(observed.processes), members)

    # --- who is who --------------------------------------------------------------------------------------------

    @cached_property
    def living(self) -> Mapping[str, Member]:
        return {shard: member for shard, member in self.members.items() if member.living}

    @cached_property
    def here(self) -> frozenset[str]:
        """Shards with a cell."""
        return frozenset(cell.shard for cell in self.layout.cells)

    @cached_property
    def owners(self) -> set[str]:
        """Shards without a cell that may still own entities. Of one that nothing is known of, a running process may."""
        known = self.around.owned
        owning = {shard for shard, count in known.items() if count > 0}
        unknown = {
            shard
            for shard, process in self.processes.items()
            if shard not in known and process.state is not ProcessState.ENDED and shard in self.living
        }
        claiming = set(self.around.claims.values())
        strangers = (owning | unknown | claiming) - self.here
        return {shard for shard in strangers if ordinal_of(shard, self.desired.name) is not None}

    def _is_ending(self, shard: str) -> bool:
        """Told to end, by whomever."""
        process = self.processes.get(shard)
        return process is not None and process.state is ProcessState.STOPPING

    def _is_leaving(self, shard: str) -> bool:
        return shard in self.around.leaving or self._is_ending(shard)

    @cached_property
    def _to_replace(self) -> Sequence[str]:
        """Shards with a cell that are to hand it to a newcomer now, the urgent ones first.

        One that is ending is replaced at once, however many are: its pod goes anyway. The others take their turn.
        """
        to_go = sorted((s for s in self.here if self._is_leaving(s) or s in self.around.outdated), key=self._ordinal)
        ending = [shard for shard in to_go if self._is_ending(shard)]
        leaving = [shard for shard in to_go if self._is_leaving(shard) and not self._is_ending(shard)]
        # One that does not run is made anew in its place.
        outdated = [shard for shard in to_go if not self._is_leaving(shard) and shard in self.living]
        turns = max(0, self.around.max_surge - self._beyond - len(ending))
        return ending + (leaving + outdated)[:turns]

    @cached_property
    def _beyond(self) -> int:
        """Pods beyond the layout that are on their way out: they count as surge until they have gone."""
        return sum(
            process.state is not ProcessState.ENDED
            and shard not in self.here
            and (shard in self.around.outdated or self._is_leaving(shard))
            for shard, process in self.processes.items()
        )

    @property
    def _surplus(self) -> int:
        return len(self.here) - self.desired.replicas

    @cached_property
    def is_changing(self) -> bool:
        draining = any(
            process.state is not ProcessState.ENDED and shard not in self.here
            for shard, process in self.processes.items()
        )
        return self._surplus != 0 or bool(self._to_replace) or bool(self.owners) or draining

    @cached_property
    def newcomers(self) -> Sequence[str]:
        """Shards that run, or are to run, so that they can be given a cell; lowest free ordinals first."""
        # Fewer shards: who leaves goes with the cell that is given up, as far as there are any.
        wanted = max(0, len(self._to_replace) - max(0, self._surplus)) + max(0, -self._surplus)
        if self.around.stranded & self.here and not self.here & self.living.keys():
            wanted = max(wanted, 1)  # somebody must be there to take over
        # One that still drains is as good as a new one.
        if not wanted:
            return []
        names = sorted((shard for shard in self.processes if self._can_take(shard)), key=self._ordinal)[:wanted]
        taken = self.here | self.owners | set(names)
        ordinal = 0
        while len(names) < wanted:
            name = shard_name(self.desired.name, ordinal)
            if name not in taken and not self._is_going(name):
                names.append(name)
            ordinal += 1
        return names

    def _can_take(self, shard: str) -> bool:
        process = self.processes[shard]
        is_good = shard not in self.around.outdated and not self._is_leaving(shard)
        is_ours = ordinal_of(shard, self.desired.name) is not None
        is_good = is_good and shard not in self.around.stranded
        return process.state is ProcessState.RUNNING and shard not in self.here and is_good and is_ours

    def _is_going(self, shard: str) -> bool:
        """Its process is on its way out, or of an older spec: not a place for a newcomer yet."""
        process = self.processes.get(shard)
        return process is not None and process.state is not ProcessState.ENDED

    def _ordinal(self, shard: str) -> int:
        ordinal = ordinal_of(shard, self.desired.name)
        return ordinal if ordinal is not None else 1 << 30

    # --- shards that do not come back --------------------------------------------------------------------------

    def takeovers(self, now_us: int) -> list[TakeOver]:
        """At most one a taker: what each of them takes over is no more than another shard held."""
        around = self.around
        hopeless = {
            shard
            for shard, process in self.processes.items()
            if process.state is ProcessState.ENDED and process.restarts >= HOPELESS_RESTARTS
        }
        cannot_run = around.cannot_run | around.stranded | hopeless
        steady = {shard: member for shard, member in self.living.items() if not self._is_leaving(shard)}
        found: dict[str, TakeOver] = {}
        for gone in given_up(self.members.values(), self.here, around.absent_us, cannot_run, now_us):
            if ordinal_of(gone.shard, self.desired.name) is None:
                continue
            taker = taker_of(self.layout, gone.shard, steady, around.owned)
            taker = taker or taker_of(self.layout, gone.shard, self.living, around.owned)
            if taker is not None and taker.shard not in found:
                waited_s = (now_us - around.absent_us[gone.shard]) // 1_000_000
                why = ", and cannot run" if gone.shard in cannot_run else ""
                found[taker.shard] = TakeOver(
                    shard=taker.shard,
                    epoch=taker.epoch,
                    gone=gone.shard,
                    gone_epoch=gone.epoch,
                    unix_us=now_us,
                    reason=f"it has had no lease for {waited_s} s{why}",
                )
        return list(found.values())

    def without(self, takeovers: Sequence[TakeOver]) -> Layout | None:
        """The layout in which the takers have the cells; None where those that are gone have none."""
        layout = self.layout
        for one in takeovers:
            layout = give_away(layout, one.gone, one.shard)
        return layout if layout.version > self.layout.version else None

    # --- the next layout ---------------------------------------------------------------------------------------

    def next_layout(self) -> Layout | None:
        """The one change that is due now, or None."""
        if not self._is_carried_out():
            return None
        candidates = [shard for shard in self.newcomers if shard in self.living]
        if self._surplus > 0 and (merged := self._merged()) is not None:
            return merged
        for shard in self._to_replace:
            if candidates:
                cell = self.layout.cells_of(shard)[0]
                return reassign(self.layout, cell.path, candidates[0])
        if self._surplus < 0 and candidates:
            return self._split(candidates[0])
        return None

    def _is_carried_out(self) -> bool:
        """Every cell is claimed by the shard that it is meant for, as far as that one lives."""
        claims = self.around.claims
        return all(claims.get(cell.path) == cell.shard or cell.shard not in self.living for cell in self.layout.cells)

    def _split(self, newcomer: str) -> Layout:
        """A cell that its shard has beside another one goes over whole; else one is cut."""
        spare = [cell for cell in self.layout.cells if len(self.layout.cells_of(cell.shard)) > 1]
        if spare:
            busiest = max(spare, key=lambda cell: (self._entities(cell.path), cell.path))
            return reassign(self.layout, busiest.path, newcomer)
        config = self.desired.config
        path, cut = choose_split(
            self.layout, self.around.loads, config.world_low, config.world_high, self.around.positions
        )
        return split(self.layout, path, cut, newcomer)

    def _entities(self, path: str) -> int:
        load = self.around.loads.get(path)
        return load.entities if load is not None else 0

    def _merged(self) -> Layout | None:
        """Two cells joined for the one of their shards that stays: not the leaving one, else the one with more."""
        path = choose_merge(self.layout, self._loads_without_leaving())
        if path is None:
            return None
        sides = [self.layout.by_path[path + side].shard for side in "01"]
        owned, leaving = self.around.owned, self._on_their_way
        keep = max(sides, key=lambda s: (s in self.living, s not in leaving, owned.get(s, 0), -self._ordinal(s)))
        return merge(self.layout, path, keep=keep) if keep in self.living else None

    def _loads_without_leaving(self) -> Mapping[str, CellLoad]:
        """Cells of shards that leave weigh nothing, so that they are joined first."""
        gone = {cell.path for cell in self.layout.cells if cell.shard in self._on_their_way}
        return {path: load for path, load in self.around.loads.items() if path not in gone}

    @cached_property
    def _on_their_way(self) -> frozenset[str]:
        """Shards with a cell that are, or soon will be, to hand it over."""
        return frozenset(shard for shard in self.here if self._is_leaving(shard)) | frozenset(self._to_replace)
