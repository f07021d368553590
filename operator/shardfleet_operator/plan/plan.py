"""What to do next for one fleet: ``plan(desired, observed, now) -> actions``, pure and total.

Level-triggered: only what is observed now counts, never what was done before. Carried out again and again, the
actions lead to no more actions. A Platform performs them in order, on processes here and on pods in a cluster, and
stops at the first that fails; what is left comes again with the next plan.

One rule stands above all others: a shard is started only where its former process is known to have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.requests import Member
from shardfleet_shard.errors import DataFolderError
from shardfleet_shard.exit_codes import ExitCode

from .layout import initial_layout
from .takeover import TakeOver

# The first restart is at once (a killed shard's entities wait for it), later ones double.
FIRST_BACKOFF_US = 500_000
MAX_BACKOFF_US = 30_000_000
# A process that ran so long was healthy: its end starts a new count. Well above the 10 s for which one whose simulation
# fails tries again before it ends; more would make the entities of a shard that is killed now and then wait.
HEALTHY_US = 20_000_000
# How soon to look again where only time, or someone else, can help.
LOOK_AGAIN_US = 500_000


class ProcessState(StrEnum):
    RUNNING = "running"
    STOPPING = "stopping"
    """Told to stop, still there."""
    ENDED = "ended"
    """Known to have ended, by the platform that started it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The newest process (pod) of a shard, as the platform knows it. A shard without one has no entry.

    Attributes:
        epoch: under which it announced itself; 0 as long as that is not known.
        started_us, ended_us: Unix microseconds; ``ended_us`` and ``exit_code`` count in state ENDED only.
        restarts: how many quick ends of its predecessors led to it; the platform keeps what the action said.
        detail: its last words, for people.
    """

    shard: str
    ordinal: int
    state: ProcessState
    epoch: int = 0
    started_us: int = 0
    ended_us: int = 0
    exit_code: int = 0
    restarts: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What the fleet's file asks for.

    Attributes:
        running: False: all shards settle and end.
        gives_up: a shard that can never run as it was started (exit codes 2 and 6) ends the fleet, for a person
            waits at a terminal. False: it is tried again like any other, for what it met may be mended meanwhile.
    """

    config: FleetConfig
    running: bool = True
    gives_up: bool = True

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def replicas(self) -> int:
        return self.config.replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is, from Redis and the platform.

    Attributes:
        layout: None where none was ever written.
        members: as Redis has them; ``living`` tells of a lease.
        phase: 'run', or 'settle'.
        failed: why the fleet was given up, '' where it was not.
    """

    layout: Layout | None = None
    processes: tuple[Process, ...] = ()
    members: tuple[Member, ...] = ()
    phase: str = "run"
    failed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteLayout:
    layout: Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class StartShard:
    shard: str
    ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartShard:
    """As ``StartShard``, after an end that nobody asked for. ``restarts`` is the new process' count."""

    shard: str
    ordinal: int
    restarts: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopShard:
    """Asks it to settle and end (SIGTERM)."""

    shard: str
    ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmEnded:
    """Tells Redis that the process of this epoch has ended, so that its lease need not run out."""

    shard: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FailFleet:
    """Gives the fleet up: starting it again would end the same way. ``reason`` is for people."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing more to do before ``until_us`` unless something changes."""

    until_us: int


Action = WriteLayout | TakeOver | StartShard | RestartShard | StopShard | ConfirmEnded | FailFleet | Wait


def shard_name(fleet: str, ordinal: int) -> str:
    return f"{fleet}-{ordinal}"


def ordinal_of(shard: str, fleet: str) -> int | None:
    """The ordinal in a shard's name, None where it is no shard of this fleet."""
    prefix, dash, number = shard.rpartition("-")
    is_ordinal = len(number) < 10 and number.isascii() and number.isdigit() and number == str(int(number))
    return int(number) if dash and prefix == fleet and is_ordinal else None


def first_layout(config: FleetConfig) -> Layout:
    """The layout that a new fleet starts with: ordinals 0 to replicas - 1 along the paths."""
    names = [shard_name(config.name, ordinal) for ordinal in range(config.replicas)]
    return initial_layout(config.world_low, config.world_high, names)


def backoff_us(restarts: int) -> int:
    """How long after an end the next start may come: 0, then doubling up to the bound."""
    if restarts <= 0:
        return 0
    return min(FIRST_BACKOFF_US << min(restarts - 1, 16), MAX_BACKOFF_US)


def plan(desired: Desired, observed: Observed, now_us: int) -> list[Action]:
    """What to do now, in this order. The same inputs give the same actions.

    Args:
        now_us: Unix microseconds of the clock that also stamped the processes.
    """
    shards, first, reason = _wanted(desired, observed)
    processes = newest(observed.processes)
    if desired.gives_up:
        reason = reason or _hopeless(shards, processes)
    actions: list[Action] = list(first)
    if reason or observed.failed:
        shards, actions = {}, [] if observed.failed else [FailFleet(reason=reason)]

    return actions + drive(shards, observed, now_us)


def drive(shards: Mapping[str, int], observed: Observed, now_us: int) -> list[Action]:
    """What makes exactly ``shards`` run (with their ordinals): starts, restarts, stops, in this order.

    Total: any observation has an answer. Never starts a shard whose former process may still run.
    """
    processes = newest(observed.processes)
    actions: list[Action] = []
    living = {member.shard: member for member in observed.members if member.living}
    freed = set()
    for process in processes.values():
        if process.state is ProcessState.ENDED and (confirmation := _confirm(process, living)):
            actions.append(confirmation)
            freed.add(process.shard)
        elif process.state is ProcessState.RUNNING and process.shard not in shards:
            actions.append(StopShard(shard=process.shard, ordinal=process.ordinal))
    waits: list[int] = []
    for shard, ordinal in sorted(shards.items(), key=lambda item: item[1]):
        former = processes.get(shard)
        if former is not None and former.state is not ProcessState.ENDED:
            continue
        if shard in living and shard not in freed:
            # A process that this platform doesn't know, or knows too little of, still holds the shard.
            waits.append(now_us + LOOK_AGAIN_US)
        elif former is None:
            actions.append(StartShard(shard=shard, ordinal=ordinal))
        elif isinstance(action := _restart(former, now_us), Wait):
            waits.append(action.until_us)
        else:
            actions.append(action)
    if waits:
        actions.append(Wait(until_us=min(waits)))
    return actions


def newest(processes: tuple[Process, ...]) -> dict[str, Process]:
    """One process a shard, by ordinal. Where a platform shows several, one that has not ended counts."""
    ordered = sorted(processes, key=lambda p: (p.ordinal, p.shard, p.state is not ProcessState.ENDED, p.started_us))
    return {process.shard: process for process in ordered}


def _wanted(desired: Desired, observed: Observed) -> tuple[Mapping[str, int], list[Action], str]:
    """(shards that should run with their ordinals, a layout to write first, why the fleet can't go on)."""
    if not desired.running or observed.phase != "run":
        return {}, [], ""
    layout, first = observed.layout, []
    if layout is None:
        layout = first_layout(desired.config)
        first = [WriteLayout(layout=layout)]
    # The layout says who runs. Where it has other shards than the file asks for, check_resume has refused before.
    shards = {}
    for shard in layout.shards:
        ordinal = ordinal_of(shard, desired.name)
        if ordinal is None:
            return {}, [], f"the layout gives a cell to {shard}, which is no shard of {desired.name}"
        shards[shard] = ordinal
    return shards, list(first), ""


_HOPELESS = (ExitCode.WRONG_USE, ExitCode.SCHEMA)


def _hopeless(shards: Mapping[str, int], processes: Mapping[str, Process]) -> str:
    """The words of a process that would end the same way again."""
    for process in processes.values():
        is_hopeless = process.state is ProcessState.ENDED and process.exit_code in _HOPELESS
        if is_hopeless and process.shard in shards:
            return f"{process.shard} cannot run: {process.detail or f'exit code {process.exit_code}'}"
    return ""


_WITHOUT_LEASE = (ExitCode.SUPERSEDED, ExitCode.SCHEMA)
"""Who ends like this has lost its lease to another process, or never had one."""


def _confirm(process: Process, living: Mapping[str, Member]) -> ConfirmEnded | None:
    """An ended process' lease goes at once. Nothing is said of an epoch that may be someone else's."""
    member = living.get(process.shard)
    if member is None:
        return None
    # Without an epoch it ended before that was seen here. The lease is its own then, or its successor's, if one
    # has superseded it.
    is_its_own = member.epoch <= process.epoch if process.epoch else process.exit_code not in _WITHOUT_LEASE
    return ConfirmEnded(shard=process.shard, epoch=member.epoch) if is_its_own else None


def _restart(process: Process, now_us: int) -> RestartShard | Wait:
    was_healthy = process.ended_us - process.started_us >= HEALTHY_US
    restarts = 0 if was_healthy else process.restarts
    # Bounded from now, too, should the clock have been set back.
    until_us = min(process.ended_us + backoff_us(restarts), now_us + MAX_BACKOFF_US)
    if now_us < until_us:
        return Wait(until_us=until_us)
    return RestartShard(
        shard=process.shard,
        ordinal=process.ordinal,
        restarts=restarts + 1,
        reason=process.detail or f"ended with {process.exit_code}",
    )


def check_resume(desired: Desired, layout: Layout | None, *, stored: FleetConfig | None = None) -> None:
    """Whether a stored world can be run on as the fleet's file now wants it on one machine.

    Args:
        layout: the stored one, None in a new data folder.
        stored: the settings that the world was last run with, where they are known.

    Raises:
        DataFolderError: what differs and what to do.
    """
    config, way_out = desired.config, "or start anew with --fresh"
    if layout is not None:
        # A shard that could not run was taken over: its cell comes back with it.
        was_taken_over = (
            stored is not None and stored.replicas == config.replicas and len(layout.shards) < config.replicas
        )
        strangers = [shard for shard in layout.shards if ordinal_of(shard, config.name) is None]
        if strangers:
            raise DataFolderError(
                f"the data folder holds a world of another fleet ({strangers[0]}), not of {config.name}: "
                f"give another folder with --data, {way_out}"
            )
        if len(layout.shards) != config.replicas and not was_taken_over:
            raise DataFolderError(
                f"spec.replicas: {config.replicas}, but the stored world has {len(layout.shards)} shards, and one "
                f"machine cannot change that yet: put replicas: {len(layout.shards)} back, {way_out}"
            )
        if len(layout.cells[0].low) != config.dimensions:
            raise DataFolderError(
                f"spec.world: {config.dimensions} dimensions, but the stored world has {len(layout.cells[0].low)}: "
                f"put them back, {way_out}"
            )
    for name, value, before in _fixed(config, stored) if stored is not None else ():
        if value != before:
            raise DataFolderError(f"{name}: {value}, but the stored world has {before}: put it back, {way_out}")


def _fixed(config: FleetConfig, stored: FleetConfig) -> list[tuple[str, object, object]]:
    """(field, now, then) of what cannot change in a world's life."""

    def box(c: FleetConfig) -> str:
        return f"{[*map(int, c.world_low)]} to {[*map(int, c.world_high)]}"

    return [
        ("metadata.name", config.name, stored.name),
        ("spec.replicas", config.replicas, stored.replicas),
        ("spec.tickRate", config.tick_rate, stored.tick_rate),
        ("spec.world", box(config), box(stored)),
        ("spec.simulation.name", config.simulation, stored.simulation),
    ]
