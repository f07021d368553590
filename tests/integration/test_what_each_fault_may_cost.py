"""The table "What each fault may cost", a test a row, on real processes: nothing lost, nothing doubled, owned again.

One fleet of two shards goes through them all, and at its end its traces are read. No test here looks at how long
anything took: a busy machine would fail it. `make chaos` does (tests/chaos). What it took is noted in
build/fault-costs.json.

| fault | tested by |
| --- | --- |
| packet lost, doubled, late | tests/simulation, tests/unit/runtime/scenarios |
| link cut; target silent before accept | ``test_cuts_and_a_full_disk``, ``test_target_silent_before_accept`` |
| source or target killed at any step | ``test_source_or_target_killed``; local/test_fleet.py |
| motion back at most a publish interval | ``test_how_far_motion_fell_back`` |
| shard paused past its lease, inside a tick | ``test_paused_past_its_lease_inside_a_tick``; local/test_fleet.py |
| Redis restarted; wiped, lagging | ``test_redis_restarted``; test_redis_forgets.py |
| clock of one shard jumping; off by 10 s | ``test_clock_jumps``, ``test_clock_off_by_10_s`` |
| operator killed or away | local/test_fleet.py (the supervisor), operator/test_survival.py, tests/e2e |
| apiserver away; kubelet stopped, node gone | tests/e2e; local/test_takeover.py, operator/test_takeover.py |
| a planned move | tests/simulation/test_layout_changes.py, tests/e2e/test_3_changes.py |
| the whole machine suspended | documented, not tested |
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import redis
from shardfleet_operator.checker import check_directory
from shardfleet_shard.core.stats import ShardStats
from shardfleet_shard.telemetry import MAX_INTERVAL_US

from tests.chaos import crossings
from tests.chaos.control import Cell
from tests.chaos.driver import Meter
from tests.chaos.faults import ClockStep, Fault, KillSource, KillTarget, Pause, RedisRestart, now_us
from tests.chaos.fleet import Fleet
from tests.chaos.namespaces import unshare_command
from tests.chaos.points import NUMBER, POINTS, Point
from tests.fault_costs import ONE_MACHINE, note
from tests.patience import PATIENCE_S
from tests.traced import fallbacks, longest_wait

ENTITIES = 200
TICK_US = 50_000


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with (
        tempfile.TemporaryDirectory(prefix="sf-faults-", dir="/tmp") as folder,
        Fleet(Path(folder) / "run", shards=2, entities=ENTITIES, speed=200.0) as running,
    ):
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A fault under its row and its test. ``whole_us``: when every entity was seen simulated again."""

    row: str
    test: str
    fault: Fault
    whole_us: int


@dataclass(slots=True)
class Story:
    """What the fleet has gone through so far. ``intervals_us``: between two manifests of each process, at last."""

    played: list[Played] = field(default_factory=list)
    intervals_us: dict[tuple[str, int], int] = field(default_factory=dict)


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


@pytest.fixture
def play(fleet: Fleet, story: Story, request: pytest.FixtureRequest) -> Callable[[Fault, str], None]:
    """A fault of a row from its strike until every entity is simulated again, under the eye of a census."""

    def until_whole(fault: Fault, row: str) -> None:
        meter = Meter(fleet)
        if isinstance(fault, KillSource | Pause) and fault.point is not None:
            fault.aim_s = PATIENCE_S  # it strikes at its step, however slow the machine
        meter.look(0)
        fault.strike()
        while now_us() - fault.struck_us < fault.hold_s * 1e6:
            _look(fault, meter, 0)
            time.sleep(0.02)
        fault.end()
        fleet.wait("all owned again", PATIENCE_S, lambda: _look(fault, meter, fault.ended_us) == ENTITIES)
        assert meter.remarks == []
        story.played.append(Played(row=row, test=request.node.name, fault=fault, whole_us=now_us()))
        story.intervals_us |= meter.intervals_us

    return until_whole


def _look(fault: Fault, meter: Meter, since_us: int) -> int | None:
    with suppress(redis.RedisError):
        fault.look()
    return meter.look(since_us)


def _point(name: str) -> Point:
    return POINTS[NUMBER[name] - 1]


def _stats(fleet: Fleet, shard: str) -> ShardStats:
    """Of the shard's newest process; those of none where Redis does not answer."""
    try:
        found = {epoch: stats for (name, epoch), stats in fleet.reader.stats().items() if name == shard}
    except redis.RedisError:
        return ShardStats()
    return found[max(found)] if found else ShardStats()


def test_target_silent_before_accept(fleet: Fleet, play: Callable[[Fault, str], None]) -> None:
    """Within its lease: what it does not answer is canceled, stays with its source, and goes later."""
    canceled = _canceled(fleet)
    fault = Pause(fleet, random.Random(1), (1,), _point("accept-before"))
    fault.hold_s = 1.0
    play(fault, "packet lost")
    assert fault.at == "accept-before"
    fleet.wait("the source has canceled", PATIENCE_S, lambda: _canceled(fleet) > canceled)
    moved = _stats(fleet, "chaos-1").handed_over_in
    fleet.wait("it takes entities again", PATIENCE_S, lambda: _stats(fleet, "chaos-1").handed_over_in > moved)


def _canceled(fleet: Fleet) -> int:
    with fleet.server.client() as client:
        return int(client.hget("sf:chaos:counters", "canceled_transfers") or 0)


@pytest.mark.parametrize(
    ("fault", "victim", "point"),
    [
        (KillSource, 0, "offer-queued"),
        (KillSource, 1, "released-before"),
        (KillTarget, 0, "accept-sent"),
        (KillTarget, 1, "adopted-before"),
    ],
)
def test_source_or_target_killed(
    fleet: Fleet, play: Callable[[Fault, str], None], fault: type[KillSource], victim: int, point: str
) -> None:
    struck = fault(fleet, random.Random(2), (victim,), _point(point))
    play(struck, "source or target killed")
    assert struck.at == point
    assert struck.pid != fleet.pid(fleet.shards[victim])


def test_paused_past_its_lease_inside_a_tick(fleet: Fleet, play: Callable[[Fault, str], None]) -> None:
    """The tick in which it stood still is thrown away: what it would have simulated others have by then."""
    fault = Pause(fleet, random.Random(3), (1,), _point("step-before"))
    thrown_away = _stats(fleet, "chaos-1").ticks_thrown_away
    play(fault, "shard paused")
    assert fault.at == "step-before"
    if fleet.pid("chaos-1") == fault.pid:  # else the supervisor took it for dead: then nothing of it counts at all
        assert _stats(fleet, "chaos-1").ticks_thrown_away > thrown_away


def test_redis_restarted(fleet: Fleet, play: Callable[[Fault, str], None]) -> None:
    """The shards stay and call the roll."""
    pids = [fleet.pid(shard) for shard in fleet.shards]
    play(RedisRestart(fleet, random.Random(4), ()), "Redis restarted")
    assert [fleet.pid(shard) for shard in fleet.shards] == pids


def test_clock_jumps(fleet: Fleet, play: Callable[[Fault, str], None]) -> None:
    """It is slewed, so nothing is to be seen of it; the process stays."""
    pid = fleet.pid("chaos-1")
    play(ClockStep(fleet, random.Random(5), (1,)), "clock of one shard")
    assert fleet.pid("chaos-1") == pid


def test_clock_off_by_10_s(fleet: Fleet, play: Callable[[Fault, str], None]) -> None:
    """From its start on: nothing goes to it or comes from it, its peer says why; with the right time all goes on."""
    control = fleet.controls["chaos-1"]
    control[Cell.CLOCK_OFFSET_US] = -10_000_000
    try:
        # All that it simulated is stored then. What is repeated under a clock that is behind would bear a time at which
        # its predecessor still lived, and the checker goes by that.
        fault = KillTarget(fleet, random.Random(6), (1,), _point("manifest-answered"))
        fault.aim_s = PATIENCE_S
        fault.strike()
        fleet.wait("its peer says so", PATIENCE_S, lambda: _stats(fleet, "chaos-0").skewed_peers == "chaos-1")
        said_s = (now_us() - fault.struck_us) / 1e6
        note("clock of one shard", ONE_MACHINE, "test_clock_off_by_10_s", said_after_the_shard_began_s=said_s)
        exact = pytest.approx(10_000_000, rel=0.01)  # once an answer has come quickly enough
        fleet.wait("by how much", PATIENCE_S, lambda: _stats(fleet, "chaos-0").clock_offset_us_max == exact)
        before = _stats(fleet, "chaos-0")
        fleet.wait("time passes", PATIENCE_S, lambda: _stats(fleet, "chaos-0").ticks > before.ticks + 20)
        after = _stats(fleet, "chaos-0")
        assert (after.handed_over_in, after.transfers_open) == (before.handed_over_in, 0)
    finally:
        control[Cell.CLOCK_OFFSET_US] = 0
    play(KillTarget(fleet, random.Random(7), (1,), None), "source or target killed")
    moved = _stats(fleet, "chaos-0").handed_over_in
    fleet.wait("transfers again", PATIENCE_S, lambda: _stats(fleet, "chaos-0").handed_over_in > moved)


def test_what_all_of_that_left(fleet: Fleet, story: Story) -> None:
    """Runs last: the fleet settles, and traces, versions and counters agree."""
    ended = fleet.settle()
    entities = ended["report"]["entities"]
    assert {name: entities[name] for name in ("expected", "owned", "missing", "doubled")} == {
        "expected": ENTITIES, "owned": ENTITIES, "missing": 0, "doubled": 0
    }  # fmt: skip
    report = check_directory(fleet.trace, bound_s=PATIENCE_S)
    assert report.ok, report.to_text()
    ids, versions = fleet.reader.snapshot().versions()
    np.testing.assert_array_equal(ids, fleet.expected)
    assert crossings.count(fleet.trace, ids, versions, fleet.reader.completed()).faults == []
    for one in story.played:
        _note(one, fleet.trace)


def _note(one: Played, trace: Path) -> None:
    fault = one.fault
    # A wait begins with the tick before it; the next fault's must not be among these.
    to_us = max(fault.ended_us, one.whole_us - 3 * TICK_US)
    wait = longest_wait(trace, from_us=fault.struck_us - 3 * TICK_US, to_us=to_us)
    figures = {"unsimulated_ticks": wait.ticks, "owned_again_s": (one.whole_us - fault.ended_us) / 1e6}
    if fault.detected_us:
        figures["noticed_s"] = (fault.detected_us - fault.struck_us) / 1e6
    note(one.row, ONE_MACHINE, one.test, **figures)


def test_how_far_motion_fell_back(fleet: Fleet, story: Story) -> None:
    """From a kill's last tick to the state that its successor goes on from: the last manifest, so an interval at most.

    A busy machine publishes late, but never later than the longest interval; and not after every second kill.
    """
    found = [one for one in fallbacks(fleet.trace) if (one.shard, one.epoch) in story.intervals_us]
    intervals = [-(-story.intervals_us[one.shard, one.epoch] // TICK_US) for one in found]
    backs = [one.ticks for one in found]
    assert len(backs) >= 4, "each kill of above"
    assert 0 <= min(backs) <= max(backs) <= MAX_INTERVAL_US // TICK_US
    in_time = [back <= interval for back, interval in zip(backs, intervals, strict=True)]
    assert sum(in_time) >= len(in_time) / 2, f"{backs} ticks, where {intervals} pass from one manifest to the next"
    note(
        "source or target killed",
        ONE_MACHINE,
        "test_how_far_motion_fell_back",
        kills=len(backs),
        motion_back_ticks=max(backs),
        publish_interval_ticks=max(intervals),
    )


def test_cuts_and_a_full_disk(tmp_path: Path) -> None:
    """The harness itself, on the faults that need namespaces: link cut, Redis cut off from a shard, its disk full."""
    if why_not := unshare_command()[1]:
        pytest.skip(why_not)
    out = tmp_path / "chaos.json"
    command = [sys.executable, "-m", "tests.chaos", "--quick", "--minutes", "0", "--seed", "1", "--out", str(out)]
    command += ["--kinds", "link-cut,redis-cut,disk-full", "--entities", str(ENTITIES), "--rate", "200"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_S,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: also where a busy machine was late
    written = json.loads(out.read_text())
    assert set(written["kinds"]) == {"link-cut", "redis-cut", "disk-full"}
    rows = {"link-cut": "packet lost", "redis-cut": "Redis restarted", "disk-full": "Redis restarted"}
    for one in written["faults"]:
        if not one["beside"]:  # else it costs what both do
            times = {"noticed_s": one["detected_s"], "owned_again_s": one["owned_s"]}
            note(rows[one["kind"]], ONE_MACHINE, one["kind"], **times)
    assert written["crossings"]["by_versions"] == written["crossings"]["counted"] == written["check"]["handoffs"] > 0
