"""``plan``: single answers by hand, and a small world in which any beginning must come to rest."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfleet_operator.plan import (
    Action,
    ConfirmEnded,
    Desired,
    FailFleet,
    Observed,
    Process,
    ProcessState,
    RestartShard,
    StartShard,
    StopShard,
    Wait,
    WriteLayout,
    backoff_us,
    check_resume,
    first_layout,
    initial_layout,
    ordinal_of,
    plan,
    reassign,
    shard_name,
)
from shardfleet_operator.plan.plan import HEALTHY_US, LOOK_AGAIN_US, MAX_BACKOFF_US
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.requests import Member
from shardfleet_shard.errors import DataFolderError
from shardfleet_shard.exit_codes import ExitCode

CONFIG = FleetConfig(name="arena", replicas=2)
DESIRED = Desired(config=CONFIG)
LAYOUT = first_layout(CONFIG)
NOW = 1_700_000_000_000_000
RUNNING, STOPPING, ENDED = ProcessState.RUNNING, ProcessState.STOPPING, ProcessState.ENDED


def process(ordinal: int, state: ProcessState = RUNNING, **more: Any) -> Process:
    more.setdefault("started_us", NOW - 1_000_000)
    if state is ENDED:
        more.setdefault("ended_us", NOW)
    return Process(shard=f"arena-{ordinal}", ordinal=ordinal, state=state, **more)


def member(ordinal: int, epoch: int, *, living: bool = True) -> Member:
    return Member(shard=f"arena-{ordinal}", ordinal=ordinal, epoch=epoch, address="", living=living)


def observed(*processes: Process, **more: Any) -> Observed:
    return Observed(**{"layout": LAYOUT, "processes": processes, **more})


def start(ordinal: int) -> StartShard:
    return StartShard(shard=f"arena-{ordinal}", ordinal=ordinal)


def stop(ordinal: int) -> StopShard:
    return StopShard(shard=f"arena-{ordinal}", ordinal=ordinal)


def confirm(ordinal: int, epoch: int) -> ConfirmEnded:
    return ConfirmEnded(shard=f"arena-{ordinal}", epoch=epoch)


def restart(ordinal: int, restarts: int, reason: str) -> RestartShard:
    return RestartShard(shard=f"arena-{ordinal}", ordinal=ordinal, restarts=restarts, reason=reason)


# --- single answers --------------------------------------------------------------------------------------------


def test_a_new_fleet_gets_its_layout_and_then_its_shards() -> None:
    assert plan(DESIRED, Observed(), NOW) == [WriteLayout(layout=LAYOUT), start(0), start(1)]


def test_a_stored_layout_is_kept_whoever_has_its_cells() -> None:
    moved = reassign(LAYOUT, "0", "arena-7")
    assert plan(DESIRED, Observed(layout=moved), NOW) == [start(1), start(7)]


def test_where_all_run_there_is_nothing_to_do() -> None:
    assert plan(DESIRED, observed(process(0), process(1), members=(member(0, 5), member(1, 6))), NOW) == []


def test_a_killed_shard_is_started_again_at_once_and_its_lease_goes_first() -> None:
    seen = observed(process(0), process(1, ENDED, epoch=6, exit_code=-9), members=(member(0, 5), member(1, 6)))
    assert plan(DESIRED, seen, NOW) == [confirm(1, 6), restart(1, 1, "ended with -9")]


def test_without_a_lease_there_is_nothing_to_confirm() -> None:
    seen = observed(process(0), process(1, ENDED, epoch=6, exit_code=1), members=(member(1, 6, living=False),))
    assert plan(DESIRED, seen, NOW) == [restart(1, 1, "ended with 1")]


def test_one_that_ended_before_its_epoch_was_seen_is_confirmed_by_its_lease() -> None:
    seen = observed(process(0), process(1, ENDED, exit_code=4), members=(member(1, 9),))
    assert plan(DESIRED, seen, NOW)[0] == confirm(1, 9)


@pytest.mark.parametrize("epoch", [0, 6])
def test_a_superseded_shard_waits_for_its_successors_lease(epoch: int) -> None:
    ended = process(1, ENDED, epoch=epoch, exit_code=ExitCode.SUPERSEDED)
    seen = observed(process(0), ended, members=(member(1, 7),))
    assert plan(DESIRED, seen, NOW) == [Wait(until_us=NOW + LOOK_AGAIN_US)]
    gone = replace(seen, members=(member(1, 7, living=False),))
    assert plan(DESIRED, gone, NOW) == [restart(1, 1, "ended with 3")]


def test_a_shard_that_never_joined_says_nothing_of_a_lease() -> None:
    seen = observed(process(0), process(1, ENDED, exit_code=ExitCode.SCHEMA), members=(member(1, 7),))
    assert plan(replace(DESIRED, gives_up=False), seen, NOW) == [Wait(until_us=NOW + LOOK_AGAIN_US)]


def test_a_shard_that_lives_without_a_process_known_here_is_not_started_twice() -> None:
    assert plan(DESIRED, observed(process(0), members=(member(1, 7),)), NOW) == [Wait(until_us=NOW + LOOK_AGAIN_US)]


def test_the_second_quick_end_waits_and_the_wait_is_bounded() -> None:
    seen = observed(process(0), process(1, ENDED, restarts=1, exit_code=1, detail="boom"))
    assert plan(DESIRED, seen, NOW) == [Wait(until_us=NOW + 500_000)]
    assert plan(DESIRED, seen, NOW + 499_999) == [Wait(until_us=NOW + 500_000)]
    assert plan(DESIRED, seen, NOW + 500_000) == [restart(1, 2, "boom")]
    assert [backoff_us(n) for n in range(9)] == [
        0, 500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000, 16_000_000, 30_000_000, 30_000_000,
    ]  # fmt: skip
    assert backoff_us(10**9) == MAX_BACKOFF_US


def test_some_time_of_health_is_a_new_beginning() -> None:
    def ended(ran_us: int) -> Observed:
        return observed(process(0), process(1, ENDED, restarts=7, exit_code=1, started_us=NOW - ran_us))

    assert plan(DESIRED, ended(HEALTHY_US), NOW) == [restart(1, 1, "ended with 1")]
    assert plan(DESIRED, ended(HEALTHY_US - 1), NOW) == [Wait(until_us=NOW + MAX_BACKOFF_US)]


def test_a_clock_that_was_set_back_costs_one_backoff_and_not_more() -> None:
    seen = observed(process(0), process(1, ENDED, ended_us=NOW + 10**12, started_us=NOW + 10**12, restarts=1))
    assert plan(DESIRED, seen, NOW) == [Wait(until_us=NOW + MAX_BACKOFF_US)]


@pytest.mark.parametrize("code", [ExitCode.WRONG_USE, ExitCode.SCHEMA])
def test_wrong_use_fails_the_fleet_and_the_rest_is_stopped(code: ExitCode) -> None:
    seen = observed(process(0), process(1, ENDED, exit_code=code, epoch=6, detail="unknown simulation 'orbti'"))
    actions = plan(DESIRED, seen, NOW)
    assert actions == [FailFleet(reason="arena-1 cannot run: unknown simulation 'orbti'"), stop(0)]
    failed = replace(seen, failed="arena-1 cannot run: unknown simulation 'orbti'")
    assert plan(DESIRED, failed, NOW) == [stop(0)]
    assert plan(DESIRED, replace(failed, processes=(process(0, ENDED), seen.processes[1])), NOW) == []


def test_a_failed_fleet_starts_nothing_even_without_a_layout() -> None:
    assert plan(DESIRED, Observed(failed="no"), NOW) == []


def test_a_layout_of_another_fleet_fails_this_one() -> None:
    other = initial_layout((0, 0), (1, 1), ["games-0"])
    assert plan(DESIRED, Observed(layout=other), NOW) == [
        FailFleet(reason="the layout gives a cell to games-0, which is no shard of arena")
    ]


@pytest.mark.parametrize("more", [{"phase": "settle"}, {}])
def test_settling_stops_each_shard_once_and_starts_none(more: dict[str, Any]) -> None:
    desired = DESIRED if more else Desired(config=CONFIG, running=False)
    seen = observed(process(0), process(1, STOPPING), **more)
    assert plan(desired, seen, NOW) == [stop(0)]
    done = observed(process(0, ENDED, exit_code=2), process(1, ENDED, epoch=6), members=(member(1, 6),), **more)
    assert plan(desired, done, NOW) == [confirm(1, 6)]
    assert plan(desired, replace(done, members=()), NOW) == []
    assert plan(desired, Observed(phase="settle"), NOW) == []


def test_a_shard_without_a_cell_is_stopped() -> None:
    assert plan(DESIRED, observed(process(0), process(1), process(5), process(6, STOPPING)), NOW) == [stop(5)]


def test_of_several_processes_of_a_shard_the_one_that_has_not_ended_counts() -> None:
    old = process(1, ENDED, exit_code=1)
    for both in ((old, process(1)), (process(1), old)):
        assert plan(DESIRED, observed(process(0), *both, members=(member(1, 6),)), NOW) == []


def test_names_and_ordinals() -> None:
    assert ordinal_of(shard_name("my-fleet", 12), "my-fleet") == 12
    for name in ("arena", "arena-", "arena-x", "arena-01", "arena-²", "other-1", "arena-1-1", "arena-" + "9" * 5000):
        assert ordinal_of(name, "arena") is None


# --- resuming --------------------------------------------------------------------------------------------------


def test_what_can_be_resumed() -> None:
    check_resume(DESIRED, None)
    check_resume(DESIRED, LAYOUT)
    check_resume(DESIRED, reassign(LAYOUT, "0", "arena-7"), stored=replace(CONFIG, lease_us=5_000_000, seed_entities=1))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(CONFIG, replicas=3), "spec.replicas: 3, but the stored world has 2 shards"),
        (replace(CONFIG, name="games"), r"a world of another fleet \(arena-0\), not of games"),
        (replace(CONFIG, world_low=(0.0,) * 3, world_high=(9.0,) * 3), "spec.world: 3 dimensions, but the stored"),
    ],
)  # fmt: skip
def test_a_layout_that_does_not_fit_is_refused(config: FleetConfig, message: str) -> None:
    with pytest.raises(DataFolderError, match=f"{message}.*--fresh"):
        check_resume(Desired(config=config), LAYOUT)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(CONFIG, tick_rate=40), "spec.tickRate: 40, but the stored world has 20"),
        (replace(CONFIG, world_high=(120.0, 99.0)), r"spec.world: \[-120, -120\] to \[120, 99\], but the stored world"),
        (replace(CONFIG, simulation="linear"), "spec.simulation.name: linear, but the stored world has orbit"),
    ],
)
def test_settings_that_cannot_change_are_refused(config: FleetConfig, message: str) -> None:
    with pytest.raises(DataFolderError, match=message):
        check_resume(Desired(config=config), LAYOUT, stored=CONFIG)


# --- a small world ---------------------------------------------------------------------------------------------

LEASE_US = 3_000_000


@dataclass
class World:
    """A platform and a Redis of a few lines: processes announce themselves, leases run out, ends are seen."""

    observed: Observed
    now_us: int = NOW
    lease_ends: dict[str, int] = field(default_factory=dict)
    performed: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lease_ends = {m.shard: self.now_us + LEASE_US for m in self.observed.members if m.living}

    def set_process(self, new: Process) -> None:
        others = tuple(p for p in self.observed.processes if p.shard != new.shard)
        self.observed = replace(self.observed, processes=(*others, new))

    def process(self, shard: str) -> Process | None:
        return next((p for p in self.observed.processes if p.shard == shard), None)

    def set_member(self, new: Member) -> None:
        others = tuple(m for m in self.observed.members if m.shard != new.shard)
        self.observed = replace(self.observed, members=(*others, new))

    def pass_time(self, duration_us: int) -> None:
        """Shards that run announce themselves and renew; one told to stop ends; leases of the others run out."""
        self.now_us += duration_us
        for p in self.observed.processes:
            if p.state is STOPPING:
                self.set_process(replace(p, state=ENDED, exit_code=0, ended_us=self.now_us))
                self.lease_ends.pop(p.shard, None)
            elif p.state is RUNNING:
                if not p.epoch:
                    p = replace(p, epoch=self.now_us)
                    self.set_process(p)
                self.set_member(Member(shard=p.shard, ordinal=p.ordinal, epoch=p.epoch, address="", living=True))
                self.lease_ends[p.shard] = self.now_us + LEASE_US
        for m in self.observed.members:
            if m.living and self.lease_ends.get(m.shard, 0) <= self.now_us:
                self.set_member(replace(m, living=False))

    def end(self, shard: str, exit_code: int) -> None:
        p = self.process(shard)
        if p is not None and p.state is not ENDED:
            self.set_process(replace(p, state=ENDED, exit_code=exit_code, ended_us=self.now_us))

    def perform(self, action: Action) -> None:
        self.performed.append(action)
        match action:
            case WriteLayout(layout=layout):
                assert self.observed.layout is None, "a layout was written over another"
                self.observed = replace(self.observed, layout=layout)
            case StartShard(shard=shard, ordinal=ordinal):
                self._start(shard, ordinal, 0)
            case RestartShard(shard=shard, ordinal=ordinal, restarts=restarts):
                self._start(shard, ordinal, restarts)
            case StopShard(shard=shard):
                p = self.process(shard)
                assert p is not None and p.state is RUNNING, "stopped what does not run"
                self.set_process(replace(p, state=STOPPING))
            case ConfirmEnded(shard=shard, epoch=epoch):
                p = self.process(shard)
                assert p is not None and p.state is ENDED, "the end of a living process was confirmed"
                for m in self.observed.members:
                    if m.shard == shard and m.epoch <= epoch:
                        self.set_member(replace(m, living=False))
                        self.lease_ends.pop(shard, None)
            case FailFleet(reason=reason):
                assert not self.observed.failed
                self.observed = replace(self.observed, failed=reason)
            case Wait(until_us=until_us):
                assert self.now_us < until_us <= self.now_us + MAX_BACKOFF_US

    def _start(self, shard: str, ordinal: int, restarts: int) -> None:
        p = self.process(shard)
        assert p is None or p.state is ENDED, "two processes of one shard"
        assert not any(m.shard == shard and m.living for m in self.observed.members), "started under a living lease"
        assert self.observed.layout is not None and shard in self.observed.layout.shards
        assert not self.observed.failed and (p is None or p.exit_code != ExitCode.WRONG_USE)
        self.set_process(
            Process(shard=shard, ordinal=ordinal, state=RUNNING, started_us=self.now_us, restarts=restarts)
        )

    def run(self, desired: Desired, *, rounds: int) -> bool:
        """Whether the plan came to rest."""
        for _ in range(rounds):
            actions = plan(desired, self.observed, self.now_us)
            assert actions == plan(desired, self.observed, self.now_us)
            if not actions and not any(p.state is STOPPING for p in self.observed.processes):
                return True
            for action in actions:
                self.perform(action)
            waits = [a.until_us for a in actions if isinstance(a, Wait)]
            self.pass_time(min([w - self.now_us for w in waits], default=100_000))
        return False


@st.composite
def worlds(draw: st.DrawFn) -> tuple[World, Desired]:
    """Anything that could be seen, also what should never be."""
    replicas = draw(st.integers(1, 5))
    config = FleetConfig(name="arena", replicas=replicas)
    layout = draw(st.sampled_from([None, first_layout(config)]))
    if layout is not None and draw(st.booleans()):
        layout = reassign(layout, draw(st.sampled_from(layout.cells)).path, f"arena-{draw(st.integers(0, 7))}")
    processes, members = [], []
    for ordinal in range(8):
        state = draw(st.sampled_from([None, None, RUNNING, STOPPING, ENDED]))
        epoch = draw(st.sampled_from([0, NOW - 5_000_000, NOW - 1_000]))
        started = NOW - draw(st.sampled_from([0, 1_000_000, HEALTHY_US]))
        if state is not None:
            processes.append(
                Process(
                    shard=f"arena-{ordinal}",
                    ordinal=ordinal,
                    state=state,
                    epoch=epoch,
                    started_us=started,
                    ended_us=NOW + draw(st.sampled_from([-MAX_BACKOFF_US, 0, 5_000_000])) if state is ENDED else 0,
                    exit_code=draw(st.sampled_from([0, 1, 2, 3, 4, 5, -9, 137])) if state is ENDED else 0,
                    restarts=draw(st.integers(0, 20)),
                )
            )
        if draw(st.booleans()):
            members.append(member(ordinal, draw(st.sampled_from([epoch, NOW - 500])), living=draw(st.booleans())))
    seen = Observed(
        layout=layout,
        processes=tuple(draw(st.permutations(processes))),
        members=tuple(members),
        phase=draw(st.sampled_from(["run", "run", "run", "settle"])),
        failed=draw(st.sampled_from(["", "", "", "given up"])),
    )
    return World(seen), Desired(config=config, running=draw(st.sampled_from([True, True, True, False])))


def assert_at_rest(world: World, desired: Desired) -> None:
    running = {p.shard for p in world.observed.processes if p.state is RUNNING}
    if desired.running and world.observed.phase == "run" and not world.observed.failed:
        assert world.observed.layout is not None
        assert running == set(world.observed.layout.shards)
    else:
        assert running == set()


@given(worlds())
@settings(max_examples=300)
def test_any_beginning_comes_to_rest(beginning: tuple[World, Desired]) -> None:
    world, desired = beginning
    assert world.run(desired, rounds=40), world.performed[-5:]
    assert_at_rest(world, desired)
    assert plan(desired, world.observed, world.now_us + 10**9) == []


@given(worlds(), st.data())
@settings(max_examples=100)
def test_after_any_deaths_it_comes_to_rest_again(beginning: tuple[World, Desired], data: st.DataObject) -> None:
    world, desired = beginning
    for _ in range(data.draw(st.integers(1, 6))):
        world.run(desired, rounds=data.draw(st.integers(0, 4)))
        shards = sorted(p.shard for p in world.observed.processes)
        if shards:
            world.end(data.draw(st.sampled_from(shards)), data.draw(st.sampled_from([0, 1, 2, 3, 4, 5, -9])))
    assert world.run(desired, rounds=80), world.performed[-5:]
    assert_at_rest(world, desired)


def test_a_shard_that_always_dies_is_started_ever_more_rarely() -> None:
    world = World(Observed(layout=LAYOUT))
    for _ in range(60):
        for action in plan(DESIRED, world.observed, world.now_us):
            world.perform(action)
        world.pass_time(100_000)
        world.end("arena-1", 1)
    starts = [a for a in world.performed if isinstance(a, RestartShard)]
    assert 4 <= len(starts) <= 6  # 6 s: 0, 0.5, 1, 2, 4
    assert [a.restarts for a in starts] == list(range(1, len(starts) + 1))


def test_a_thousand_shards_are_planned_in_milliseconds() -> None:
    config = FleetConfig(name="arena", replicas=1000)
    layout = first_layout(config)
    running = tuple(process(ordinal) for ordinal in range(999))
    members = tuple(member(ordinal, 5) for ordinal in range(999))
    seen = Observed(layout=layout, processes=running, members=members)
    took = []
    for _ in range(5):
        before = time.process_time()
        assert plan(Desired(config=config), seen, NOW) == [start(999)]
        took.append(time.process_time() - before)
    assert min(took) < 0.05
